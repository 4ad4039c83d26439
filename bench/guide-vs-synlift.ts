/**
 * The commands of Element's guide and ours, in turn, on the same homeserver: a real Synapse's database with so many
 * messages, and a media store of so many MiB that no compression makes smaller.
 *
 *     node scripts/node.mjs bench/guide-vs-synlift.ts [MESSAGES] [MEDIA_MIB] [ROUNDS] [EXPORTER]
 *
 * 500,000 messages (some 1 GB of database), 2,048 MiB and 3 rounds when left out; 5000 50 1 for a look. Below the folder
 * for temporary files it takes about four times the media. EXPORTER is the path of matrix-media-repo's
 * export_synapse_for_import; without it the guide's third archive is left out of its sum.
 *
 * Ours is the real program, as a rehearsal; the outage is its time without configuration and media, which are packed
 * while the server serves. With zlib alone: the same with neither igzip nor pigz in PATH.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  makeHomeserverFolder,
  postgresDatabase,
  type HomeserverFolder,
} from "../test/support/lab/homeserver-folder.ts";
import { register } from "../test/support/lab/matrix-client.ts";
import { PostgresCluster } from "../test/support/lab/postgres-cluster.ts";
import { SynapseServer } from "../test/support/lab/synapse-server.ts";
import { temporaryFolder } from "../test/support/lab/temporary-folder.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const ARTIFACTS = {
  database: "customer_db_export.sql.gz.gpg",
  media: "customer_backup_media_export.tar.gz.gpg",
};

type Figures = Record<string, number>;

async function bench(messages: number, mebibytes: number, rounds: number, exporter?: string): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  const cluster = await PostgresCluster.start({ settings: { shared_buffers: "256MB", max_wal_size: "4GB" } });
  const database = await postgresDatabase(cluster, "large");
  const home = await makeHomeserverFolder({ serverName: "large.example", database });
  try {
    await fill(home, cluster, messages);
    makeMedia(home.mediaStorePath, mebibytes * 1024 * 1024);
    const size = Number(await cluster.sql("large", "select pg_database_size('large')")) / 1e6;
    const [cpu] = cpus();
    console.log(
      `database ${size.toFixed(0)} MB, media ${mebibytes} MiB; ${cpu?.model ?? "?"}, ${availableParallelism()} cores, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`,
    );
    const all: Figures[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const figures = {
        ...(await guide(home, exporter)),
        ...named("igzip", await ours(home, process.env["PATH"]!)),
        ...named("zlib", await ours(home, withoutGzipPrograms())),
        load: loadavg()[0]!,
      };
      all.push(figures);
      console.log(`round ${round + 1}: load ${figures.load.toFixed(1)}`);
    }
    console.log(table(all));
  } finally {
    await cluster.stop();
    rmSync(home.folder, { recursive: true, force: true });
  }
}

async function fill(home: HomeserverFolder, cluster: PostgresCluster, messages: number): Promise<void> {
  const server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  const person = { name: "ann", password: "p", admin: true };
  const admin = await register(server.baseUrl, home.registrationSharedSecret, person);
  const room = await admin.createRoom({ preset: "public_chat" });
  await admin.send(room, "the message that all the others are made of");
  await server.stop();
  await cluster.sql("large", messagesSql(messages));
}

/** Copies of the one message, each with an id, a place in the stream and words of its own: as well and as badly compressed as life. */
const messagesSql = (count: number) => `
  create temporary table base as select * from events where type = 'm.room.message' limit 1;
  create temporary table copy as select n, '$' || encode(sha256(n::text::bytea), 'hex') as id from generate_series(1, ${count}) n;
  insert into events (topological_ordering, event_id, type, room_id, content, unrecognized_keys, processed, outlier, depth,
      origin_server_ts, received_ts, sender, contains_url, instance_name, stream_ordering, state_key, rejection_reason)
    select topological_ordering + n, id, type, room_id, content, unrecognized_keys, processed, outlier, depth + n,
      origin_server_ts + n, received_ts + n, sender, contains_url, instance_name, stream_ordering + n, state_key, rejection_reason
    from base, copy;
  insert into event_json (event_id, room_id, internal_metadata, json, format_version)
    select id, j.room_id, j.internal_metadata, replace(j.json, 'the message', 'message ' || md5(random()::text) || md5(random()::text) || ' '), j.format_version
    from event_json j join base using (event_id), copy;
  select setval('events_stream_seq', (select max(stream_ordering) from events));
  vacuum analyze;`;

const SIZES = [4_000, 40_000, 400_000, 2_000_000, 12_000_000];

function makeMedia(store: string, bytes: number): void {
  for (let number = 0, left = bytes; left > 0; number += 1) {
    const size = Math.min(left, SIZES[number % SIZES.length]!);
    const id = randomBytes(12).toString("hex");
    const path = join(store, "local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, randomBytes(size));
    left -= size;
  }
}

/** The guide's stages, one after the other, as it has them. Seconds. */
async function guide(home: HomeserverFolder, exporter: string | undefined): Promise<Figures> {
  const folder = temporaryFolder("guide");
  const gpgHome = temporaryFolder("guide-gpg");
  chmodSync(gpgHome, 0o700);
  const { args } = home.database;
  const env = {
    ...process.env,
    PGPASSWORD: String(args["password"]),
    GNUPGHOME: temporaryFolder("guide-gpg"),
  };
  const login = `-h ${args["host"]!} -p ${args["port"]!} -U ${args["user"]!} -d ${args["dbname"]!}`;
  const seal = (name: string) =>
    `gpg --batch --quiet --pinentry-mode loopback --passphrase bench --symmetric --no-symkey-cache ${name} && rm ${name}`;
  const timed = async (command: string) => {
    const began = performance.now();
    await end(
      spawn("bash", ["-c", `set -euo pipefail; umask 077; ${command}`], {
        cwd: folder,
        env,
        stdio: ["ignore", "ignore", "inherit"],
      }),
    );
    return (performance.now() - began) / 1000;
  };
  const store = home.mediaStorePath;
  const dump = "customer_db_export.sql.gz";
  const floor = await timed(`pg_dump -O ${login} > /dev/null`);
  const database = (await timed(`pg_dump -O ${login} | gzip > ${dump}`)) + (await timed(seal(dump)));
  const databaseSize = statSync(join(folder, ARTIFACTS.database)).size / 1e6;
  const backup = "customer_backup_media_export.tar.gz";
  const media =
    (await timed(`tar -zcf ${backup} -C ${dirname(store)} media_store`)) + (await timed(seal(backup)));
  rmSync(join(folder, ARTIFACTS.media));
  let exported = 0;
  if (exporter !== undefined) {
    const given = `-dbHost ${args["host"]!} -dbPort ${args["port"]!} -dbName ${args["dbname"]!} -dbUsername ${args["user"]!} -dbPassword "$PGPASSWORD"`;
    const archive = "customer_media_export";
    exported =
      (await timed(
        `${exporter} ${given} -mediaDirectory ${store} -serverName large.example -destination ./${archive}`,
      )) +
      (await timed(`tar -zcf ${archive}.tar.gz ${archive}`)) +
      (await timed(seal(`${archive}.tar.gz`)));
  }
  rmSync(folder, { recursive: true });
  spawnSync("gpgconf", ["--kill", "gpg-agent"], { env });
  return {
    "pg_dump alone": floor,
    "guide: database": database,
    "guide: database, MB": databaseSize,
    "guide: media backup": media,
    "guide: all": database + media + exported,
  };
}

/** The real program: when each piece of work began and ended, its peak memory (proc(5), VmHWM), and what it wrote. */
async function ours(home: HomeserverFolder, PATH: string): Promise<Figures> {
  const out = join(temporaryFolder("synlift"), "bundle");
  const passphrase = `${out}.passphrase`;
  writeFileSync(passphrase, "bench\n", { mode: 0o600 });
  const where = ["--config", home.configFile, "--working-directory", home.dataFolder, "--out", out];
  const args = [MAIN, "export", "--rehearse", ...where, "--passphrase-file", passphrase, "--json"];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, PATH },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const times = new Map<string, number>();
  let said = "";
  const began = performance.now();
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    const lines = (said + text).split("\n");
    said = lines.pop()!;
    for (const line of lines.filter((one) => one.startsWith("{"))) {
      const { type, id } = JSON.parse(line) as { type: string; id?: string };
      if (type === "begin" || type === "end") times.set(`${type} ${id ?? ""}`, performance.now());
      if (type === "error") console.log(line);
    }
  });
  let peak = 0;
  const look = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid ?? 0}/status`, "utf8");
      peak = Math.max(peak, Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // It has just ended.
    }
  }, 50);
  await end(child).finally(() => {
    clearInterval(look);
  });
  const total = (performance.now() - began) / 1000;
  const took = (name: string) => (times.get(`end check/${name}`)! - times.get(`begin write/${name}`)!) / 1000;
  const [database, media] = [took(ARTIFACTS.database), took(ARTIFACTS.media)];
  const before = (times.get(`begin write/${ARTIFACTS.database}`)! - began) / 1000;
  const databaseSize = statSync(join(out, ARTIFACTS.database)).size / 1e6;
  rmSync(dirname(out), { recursive: true });
  return {
    database,
    "database, MB": databaseSize,
    media,
    outage: total - before - media,
    all: total,
    "peak, MiB": peak,
  };
}

const named = (name: string, figures: Figures): Figures =>
  Object.fromEntries(Object.entries(figures).map(([key, value]) => [`${name}: ${key}`, value]));

/** Every program that is to be found, but for those two. */
function withoutGzipPrograms(): string {
  const folder = temporaryFolder("programs");
  for (const name of [
    "gpg",
    "gpg-agent",
    "gpgconf",
    "pg_dump",
    "psql",
    "mkfifo",
    "sync",
    "getent",
    "sh",
    "ps",
  ]) {
    const { stdout } = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" });
    if (stdout.trim() !== "") symlinkSync(stdout.trim(), join(folder, name));
  }
  return folder;
}

function end(child: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${child.spawnargs.slice(0, 3).join(" ")}: exit code ${code ?? "none"}`));
    });
  });
}

/** Medians, and how they stand to the guide's. */
function table(all: readonly Figures[]): string {
  const median = (key: string) =>
    all.map((one) => one[key] ?? NaN).toSorted((a, b) => a - b)[Math.floor(all.length / 2)]!;
  const ratio = (key: string, to: string) =>
    all
      .map((one) => one[key]! / one[to]!)
      .toSorted((a, b) => a - b)
      [Math.floor(all.length / 2)]!.toFixed(2);
  const rows = [
    ["pg_dump alone", "guide: database"],
    ["igzip: database", "guide: database"],
    ["zlib: database", "guide: database"],
    ["igzip: media", "guide: media backup"],
    ["igzip: outage", "guide: all"],
    ["zlib: outage", "guide: all"],
  ].map(
    ([key, to]) =>
      `| ${key!} | ${median(key!).toFixed(1)} | ${median(to!).toFixed(1)} | ${ratio(key!, to!)} |`,
  );
  const also = [
    "guide: database, MB",
    "igzip: database, MB",
    "zlib: database, MB",
    "igzip: peak, MiB",
    "zlib: peak, MiB",
    "load",
  ];
  return [
    "| what | seconds | the guide's | ratio |\n| --- | --: | --: | --: |",
    ...rows,
    "",
    ...also.map((key) => `${key}: ${median(key).toFixed(1)}`),
  ].join("\n");
}

const [messages = "500000", mebibytes = "2048", rounds = "3", exporter] = process.argv.slice(2);
await bench(Number(messages), Number(mebibytes), Number(rounds), exporter);
