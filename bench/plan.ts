/**
 * How long `synlift plan` takes on a large homeserver, and how much memory: a real Synapse's database with so many events
 * and uploads, each upload with its file.
 *
 *     node scripts/node.mjs bench/plan.ts [EVENTS] [UPLOADS]
 *
 * 500,000 events and 1,000,000 uploads when left out. That takes some 4 GB and 1,500,000 inodes below the folder for
 * temporary files, and some minutes to make and to remove. Three runs, and the median.
 */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { uploadPath } from "../src/homeserver/media/store/layout.ts";
import { makeHomeserverFolder, postgresDatabase } from "../test/support/lab/homeserver-folder.ts";
import { register } from "../test/support/lab/matrix-client.ts";
import { PostgresCluster } from "../test/support/lab/postgres-cluster.ts";
import { SynapseServer } from "../test/support/lab/synapse-server.ts";
import { messagesSql } from "./filled-homeserver.ts";
import { makeFile, upload } from "./many-uploads.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const RUNS = 3;

async function bench(eventCount: number, uploadCount: number): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  const cluster = await PostgresCluster.start({ settings: { shared_buffers: "256MB", max_wal_size: "4GB" } });
  const database = await postgresDatabase(cluster, "large");
  const settings = { background_updates: { sleep_enabled: false } };
  const home = await makeHomeserverFolder({ serverName: "large.example", database, settings });
  const server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  try {
    await server.start();
    const admin = await register(server.baseUrl, home.registrationSharedSecret, {
      name: "ann",
      password: "p",
      admin: true,
    });
    const room = await admin.createRoom({ preset: "public_chat" });
    await admin.send(room, "the message that all the others are made of");
    // Some 900 bytes each.
    await cluster.sql("large", messagesSql(eventCount, "n || ' ' || repeat(md5(n::text), 12)"));
    await makeUploads(uploadCount, home.mediaStorePath, (sql) => cluster.sql("large", sql));
    await cluster.sql("large", "analyze");
    const [cpu] = cpus();
    console.log(
      `${eventCount} events, ${uploadCount} uploads with files; ${cpu?.model ?? "?"}, ${availableParallelism()} cores, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`,
    );
    const seconds: number[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      const told = await plan([
        "--config",
        home.configFile,
        "--working-directory",
        home.dataFolder,
        "--out",
        home.folder,
      ]);
      seconds.push(told.seconds);
      console.log(`plan: ${told.seconds.toFixed(1)} s, peak ${told.peak} MiB, exit code ${told.code}`);
    }
    console.log(`median: ${seconds.toSorted((a, b) => a - b)[Math.floor(RUNS / 2)]!.toFixed(1)} s`);
  } finally {
    await server.stop();
    await cluster.stop();
    // Many times quicker than one call after the other.
    spawnSync("rm", ["-rf", home.folder]);
  }
}

const STEP = 20_000;

async function makeUploads(
  count: number,
  store: string,
  inDatabase: (sql: string) => Promise<string>,
): Promise<void> {
  for (let first = 0; first < count; first += STEP) {
    const rows: string[] = [];
    for (let number = first; number < Math.min(count, first + STEP); number += 1) {
      const { id, sha256 } = upload(number);
      const length = number % 100_000;
      makeFile(join(store, uploadPath(id)!), length);
      rows.push(
        `('${id}', 'image/png', ${length}, ${1_500_000_000_000 + number * 250_000}, '@ann:large.example', '${sha256}')`,
      );
    }
    await inDatabase(
      `insert into local_media_repository (media_id, media_type, media_length, created_ts, user_id, sha256) values ${rows.join(", ")}`,
    );
  }
}

/** The program as people run it; its peak memory is the kernel's own count (proc(5), VmHWM), children apart. */
function plan(args: readonly string[]): Promise<{ seconds: number; peak: number; code: number | null }> {
  const began = performance.now();
  const child = spawn(process.execPath, [MAIN, "plan", ...args, "--json"], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  let peak = 0;
  const look = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid ?? 0}/status`, "utf8");
      peak = Math.max(peak, Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024));
    } catch {
      // It has just ended.
    }
  }, 50);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(look);
      resolve({ seconds: (performance.now() - began) / 1000, peak, code });
    });
  });
}

const [events = "500000", uploads = "1000000"] = process.argv.slice(2);
await bench(Number(events), Number(uploads));
