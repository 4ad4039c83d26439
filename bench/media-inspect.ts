/**
 * How long the check of media takes, and how much memory: for N uploads with their files, as many rows of remote media
 * and three times as many thumbnails, in PostgreSQL and in SQLite.
 *
 *     node scripts/node.mjs bench/media-inspect.ts [N]
 *
 * N is 1,000,000 when left out. That takes some 5 GB and 2,000,000 inodes below the folder for temporary files, and
 * a few minutes to make and to remove. The check runs in a process of its own, whose peak memory is reported.
 */
import { spawnSync } from "node:child_process";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { inspectMedia } from "../src/homeserver/media/inspect.ts";
import { uploadPath } from "../src/homeserver/media/store/layout.ts";
import { readHomeserver } from "../src/homeserver/read.ts";
import { realFiles } from "../src/system/files/files.ts";
import { realHttp } from "../src/system/http/http.ts";
import { realPostgres } from "../src/system/postgres/postgres.ts";
import { noProgress } from "../src/system/progress.ts";
import { realObjectStores } from "../src/system/s3/s3.ts";
import { realSqlite } from "../src/system/sqlite/sqlite.ts";
import { PostgresCluster } from "../test/support/lab/postgres-cluster.ts";
import { removeFolder, temporaryFolder } from "../test/support/lab/temporary-folder.ts";
import { schemaOf } from "../test/support/media-database.ts";
import { programsWith } from "../test/support/real-world.ts";
import { makeFile, upload } from "./many-uploads.ts";

/** In a process of its own: `database` is "postgres HOST PORT" or the path of a SQLite file. */
async function look([folder, database]: [string, string]): Promise<void> {
  const { signal } = new AbortController();
  const start = performance.now();
  const homeserver = await readHomeserver(
    { configPaths: ["homeserver.yaml"], workingFolder: folder },
    realFiles,
  );
  const [kind, host, port] = database.split(" ");
  const session =
    kind === "postgres"
      ? await realPostgres(programsWith()).connect(
          { parameters: { host: host!, port: port!, user: "postgres", dbname: "bench" } },
          { responseTimeout: 120_000 },
        )
      : await realSqlite(realFiles, signal).connect(database);
  const tools = {
    session,
    files: realFiles,
    http: realHttp,
    objects: realObjectStores(signal),
    machine: { now: () => Date.now() },
    signal,
  };
  const { findings, facts } = await inspectMedia({ homeserver, deep: false }, tools, noProgress);
  await session.close();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  const peak = Math.round(maxRSS / 1024);
  const work = ((userCPUTime + systemCPUTime) / 1_000_000).toFixed(1);
  const told = findings.map(({ id, level }) => `${id} ${level}`).join(", ");
  console.log(
    `${session.engine}: ${seconds} s (of processor: ${work} s), peak ${peak} MiB; ${facts.packed?.files ?? 0} files; ${told}`,
  );
}

async function makeAndLook(uploads: number): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  const folder = temporaryFolder("bench");
  const cluster = await PostgresCluster.start({ settings: { shared_buffers: "256MB" } });
  try {
    await realFiles.writeAtomically(join(folder, "homeserver.yaml"), CONFIGURATION);
    const sqlite = await make(uploads, folder, cluster);
    const [cpu] = cpus();
    console.log(
      `${uploads} uploads; ${cpu?.model ?? "?"}, ${availableParallelism()} cores, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`,
    );
    const { host, port } = cluster.address;
    for (const database of [`postgres ${host} ${port}`, sqlite, `postgres ${host} ${port}`, sqlite]) {
      const args = [fileURLToPath(import.meta.url), String(uploads), folder, database];
      spawnSync(process.execPath, args, { stdio: "inherit" });
    }
  } finally {
    await cluster.stop();
    // Many times quicker than one call after the other.
    spawnSync("rm", ["-rf", folder]);
    removeFolder(folder);
  }
}

const CONFIGURATION = `server_name: example.org
report_stats: no
media_store_path: media_store
database: {name: sqlite3, args: {database: homeserver.db}}
`;

/** Rows in one statement. */
const STEP = 10_000;

async function make(uploads: number, folder: string, cluster: PostgresCluster): Promise<string> {
  const path = join(folder, "homeserver.db");
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA synchronous = OFF; ${schemaOf("sqlite", "new")}`);
  await cluster.createDatabase("bench", { owner: "postgres" });
  const inPostgres = (sql: string) => cluster.sql("bench", `set role postgres; ${sql}`);
  await inPostgres(schemaOf("postgres", "new"));
  for (let first = 0; first < uploads; first += STEP) {
    const rows: string[] = [];
    for (let number = first; number < Math.min(uploads, first + STEP); number += 1) {
      const { id, sha256 } = upload(number);
      const length = number % 100_000;
      makeFile(join(folder, "media_store", uploadPath(id)!), length);
      const created = 1_500_000_000_000 + number * 250_000;
      rows.push(
        `('${id}', 'image/png', ${length}, ${created}, 'picture ${number}.png', '@user${number % 500}:example.org', '${sha256}')`,
      );
    }
    const sql = `INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, upload_name, user_id, sha256) VALUES ${rows.join(", ")};`;
    database.exec(sql);
    await inPostgres(sql);
  }
  const series = `SELECT 0 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ${uploads}`;
  const more = `
    WITH RECURSIVE numbers AS (${series}) INSERT INTO remote_media_cache (media_origin, media_id, media_type, created_ts, media_length, filesystem_id, last_access_ts)
      SELECT 'server' || (n % 5000) || '.example', 'remote' || n, 'image/png', 1500000000000 + 250000 * CAST(n AS bigint), n % 100000, 'fs' || n, 0 FROM numbers;
    INSERT INTO local_media_repository_thumbnails (media_id, thumbnail_width, thumbnail_height, thumbnail_type, thumbnail_method, thumbnail_length)
      SELECT media_id, w, w, 'image/png', 'scale', 1000 FROM local_media_repository, (SELECT 32 AS w UNION SELECT 96 UNION SELECT 320) sizes;
    INSERT INTO remote_media_cache_thumbnails (media_origin, media_id, thumbnail_width, thumbnail_height, thumbnail_method, thumbnail_type, thumbnail_length, filesystem_id)
      SELECT media_origin, media_id, 32, 32, 'crop', 'image/png', 1000, filesystem_id FROM remote_media_cache;
    INSERT INTO destinations (destination, retry_last_ts, retry_interval, failure_ts) SELECT media_origin, 0, 0, NULL FROM remote_media_cache GROUP BY 1;
    ANALYZE;`;
  database.exec(more);
  database.close();
  await inPostgres(more);
  return path;
}

const [count = "1000000", ...order] = process.argv.slice(2);
if (order.length > 0) await look(order as [string, string]);
else await makeAndLook(Number(count));
