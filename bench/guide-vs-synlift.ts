/**
 * The commands of Element's guide and ours, in turn, on the same homeserver: a real Synapse's database with so many
 * messages, and a media store of so many MiB that no compression makes smaller.
 *
 *     node scripts/node.mjs bench/guide-vs-synlift.ts [MESSAGES] [MEDIA_MIB] [ROUNDS] [--files NUMBER] [--exporter PATH]
 *       [--many NUMBER]
 *
 * 270,000 messages (some 500 MB of database), 1,024 MiB in 3,000 files and 3 rounds when left out; 5000 50 1 --files 100 --many 0
 * for a quick run. Below the folder for temporary files it takes about four times the media. PATH is that of
 * matrix-media-repo's export_synapse_for_import, or "least" (when left out) for the least that it does: it packs all uploads with gzip.
 *
 * Each round also measures what this machine can do at all: pg_dump alone, gpg from file to file with the media in one file,
 * and a copy of that file, synced.
 *
 * Ours is the program as it is published, compiled. Database and media: of a rehearsal. With zlib alone: the same with
 * neither igzip nor pigz in PATH, without media. The outage is a real one: a Synapse that serves is stopped and fenced, from the moment in which it is told
 * to stop to the end of the export; its media are packed before. The guide's outage is all of its commands for database and
 * media backup.
 *
 * At the end, with --many (30,000 when left out): the memory for both media artifacts of as many MiB in that many files.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import type { HomeserverFolder } from "../test/support/lab/homeserver-folder.ts";
import type { PostgresCluster } from "../test/support/lab/postgres-cluster.ts";
import { SynapseServer } from "../test/support/lab/synapse-server.ts";
import { temporaryFolder } from "../test/support/lab/temporary-folder.ts";
import { compiledProgram } from "./compiled.ts";
import { filledHomeserver } from "./filled-homeserver.ts";
import { stepTimes, timed, type Took } from "./processes.ts";

const ARTIFACTS = {
  database: "customer_db_export.sql.gz.gpg",
  media: "customer_backup_media_export.tar.gz.gpg",
  archive: "customer_media_export.tar.gz.gpg",
};
const LEAST = "least";

type Figures = Record<string, number>;

interface Order {
  readonly messages: number;
  readonly mebibytes: number;
  readonly rounds: number;
  readonly files: number;
  readonly exporter: string;
  /** Files for the memory at the end; 0 for none. */
  readonly many: number;
}

async function bench({ messages, mebibytes, rounds, files, exporter, many }: Order): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  const main = compiledProgram();
  const bytes = mebibytes * 1024 * 1024;
  const { home, databaseBytes, ...filled } = await filledHomeserver(messages, bytes, files);
  const host: Host = { home, cluster: filled.cluster, main };
  try {
    console.log(
      `database ${(databaseBytes / 1e6).toFixed(0)} MB, media ${mebibytes} MiB in ${files} files; ${cpus()[0]?.model ?? "?"}, ${availableParallelism()} cores, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`,
    );
    console.log(
      exporter === LEAST
        ? "export_synapse_for_import is taken for the least that it does: tar with gzip, once"
        : `the real export_synapse_for_import: ${exporter}`,
    );
    const all: Figures[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const path = process.env["PATH"]!;
      const parts = [
        () => limits(home),
        () => guide(home, exporter),
        async () => named("igzip", await ours(host, path)),
        async () => named("zlib", await ours(host, withoutGzipPrograms(), ["--media", "none"])),
        async () => named("both", await bothMedia(host)),
        async () => named("igzip", await outage(host, path)),
      ];
      // Each goes first once, because the first one finds the caches and the disk in another state.
      const turned = [...parts.slice(round % parts.length), ...parts.slice(0, round % parts.length)];
      const figures: Figures = { load: loadavg()[0]! };
      for (const part of turned) Object.assign(figures, await part());
      all.push(figures);
      console.log(`round ${round + 1}: load ${figures["load"]!.toFixed(1)} to ${loadavg()[0]!.toFixed(1)}`);
      console.log(table(all));
    }
  } finally {
    await filled.close();
  }
  if (many === 0) return;
  const more = await filledHomeserver(1, bytes, many);
  try {
    const { "peak, MiB": peak } = await bothMedia({ ...more, main });
    console.log(`both media artifacts of ${many} files, ${mebibytes} MiB: peak ${peak!.toFixed(0)} MiB`);
  } finally {
    await more.close();
  }
}

/** What the commands are run on. */
interface Host {
  readonly home: HomeserverFolder;
  readonly cluster: PostgresCluster;
  /** The program. */
  readonly main: string;
}

/** What this machine can do at all, without any checks. */
async function limits(home: HomeserverFolder): Promise<Figures> {
  const folder = temporaryFolder("limits");
  const gpgHome = temporaryFolder("limits-gpg");
  chmodSync(gpgHome, 0o700);
  const env = { ...process.env, GNUPGHOME: gpgHome };
  const run = (command: string) => timed(command, { folder, env });
  await run(`tar -cf media.tar -C ${dirname(home.mediaStorePath)} media_store`);
  const gpg = await run(
    "gpg --batch --quiet --pinentry-mode loopback --passphrase bench --symmetric --no-symkey-cache --compress-algo none --cipher-algo AES256 media.tar",
  );
  const disk = await run("dd if=media.tar of=copy bs=1M conv=fsync status=none");
  rmSync(folder, { recursive: true });
  spawnSync("gpgconf", ["--kill", "gpg-agent"], { env });
  return { "gpg, file to file": gpg.seconds, "disk, a copy": disk.seconds };
}

/** The guide's stages, one after the other, as it has them. */
async function guide(home: HomeserverFolder, exporter: string): Promise<Figures> {
  const folder = temporaryFolder("guide");
  const gpgHome = temporaryFolder("guide-gpg");
  chmodSync(gpgHome, 0o700);
  const { args } = home.database;
  const env = { ...process.env, PGPASSWORD: String(args["password"]), GNUPGHOME: gpgHome };
  const login = `-h ${args["host"]!} -p ${args["port"]!} -U ${args["user"]!} -d ${args["dbname"]!}`;
  const run = (command: string) => timed(command, { folder, env });
  const sealed = (name: string) =>
    run(
      `gpg --batch --quiet --pinentry-mode loopback --passphrase bench --symmetric --no-symkey-cache ${name} && rm ${name}`,
    );
  const store = home.mediaStorePath;
  const floor = await run(`pg_dump -O ${login} > /dev/null`);

  const dump = "customer_db_export.sql.gz";
  const database = sum([await run(`pg_dump -O ${login} | gzip > ${dump}`), await sealed(dump)]);
  const databaseSize = statSync(join(folder, ARTIFACTS.database)).size / 1e6;

  const backup = "customer_backup_media_export.tar.gz";
  const media = sum([await run(`tar -zcf ${backup} -C ${dirname(store)} media_store`), await sealed(backup)]);
  rmSync(join(folder, ARTIFACTS.media));

  const given = `-dbHost ${args["host"]!} -dbPort ${args["port"]!} -dbName ${args["dbname"]!} -dbUsername ${args["user"]!} -dbPassword "$PGPASSWORD"`;
  const archive = "customer_media_export";
  const exporting =
    exporter === LEAST
      ? `mkdir ${archive} && tar -zcf ${archive}/export-part-1.tgz -C ${store} local_content`
      : `${exporter} ${given} -mediaDirectory ${store} -serverName large.example -destination ./${archive} >&2`;
  const exported = [
    await timed(exporting, { folder, env, tell: () => undefined }),
    await run(`tar -zcf ${archive}.tar.gz ${archive}`),
    await sealed(`${archive}.tar.gz`),
  ];
  const all = sum([database, media, ...exported]);
  rmSync(folder, { recursive: true });
  spawnSync("gpgconf", ["--kill", "gpg-agent"], { env });
  return {
    "pg_dump alone": floor.seconds,
    "guide: database": database.seconds,
    "guide: database, MB": databaseSize,
    "guide: media backup": media.seconds,
    "guide: five media stages": sum([media, ...exported]).seconds,
    "guide: database and media": sum([database, media]).seconds,
    "guide: database and media, processor": sum([database, media]).processor,
    "guide: all": all.seconds,
    "guide: all, processor": all.processor,
  };
}

const sum = (all: readonly Took[]): Took => ({
  seconds: all.reduce((total, { seconds }) => total + seconds, 0),
  processor: all.reduce((total, { processor }) => total + processor, 0),
});

/** The archive for another media server and the backup, of one read; and all of it, with the database. */
async function bothMedia(host: Host): Promise<Figures> {
  const more = ["--rehearse", "--media", "archive,backup"];
  const { times, peak, seconds, processor } = await packed(host, process.env["PATH"]!, more);
  const of = (event: string) =>
    [ARTIFACTS.media, ARTIFACTS.archive].map((name) => times.get(`${event}/${name}`)!);
  const media = (Math.max(...of("end check")) - Math.min(...of("begin write"))) / 1000;
  return { media, "peak, MiB": peak, all: seconds, "all, processor": processor };
}

async function packed({ home, main }: Host, PATH: string, more: readonly string[]) {
  const out = join(temporaryFolder("synlift"), "bundle");
  const passphrase = `${out}.passphrase`;
  writeFileSync(passphrase, "bench\n", { mode: 0o600 });
  const where = ["--config", home.configFile, "--working-directory", home.dataFolder, "--out", out];
  const args = [main, "export", ...where, "--passphrase-file", passphrase, "--json", ...more];
  const { times, tell } = stepTimes();
  const command = [process.execPath, ...args].map((word) => `'${word}'`).join(" ");
  const watched = await timed(command, { env: { ...process.env, PATH }, tell });
  const ended = performance.timeOrigin + performance.now();
  const databaseSize = statSync(join(out, ARTIFACTS.database)).size / 1e6;
  rmSync(dirname(out), { recursive: true });
  return { ...watched, times, ended, databaseSize };
}

/** A rehearsal: when each piece of work began and ended, its peak memory, and what it wrote. */
async function ours(host: Host, PATH: string, more: readonly string[] = []): Promise<Figures> {
  const { times, databaseSize, ...watched } = await packed(host, PATH, ["--rehearse", ...more]);
  const { seconds, processor, peak, peakOfAll } = watched;
  const took = (name: string) => (times.get(`end check/${name}`)! - times.get(`begin write/${name}`)!) / 1000;
  return {
    database: took(ARTIFACTS.database),
    "database, MB": databaseSize,
    ...(more.length === 0 ? { media: took(ARTIFACTS.media) } : {}),
    all: seconds,
    "all, processor": processor,
    "peak, MiB": peak,
    "peak with its programs, MiB": peakOfAll,
  };
}

/** A Synapse that serves is stopped, by a command that notes when; and all is packed. */
async function outage(host: Host, PATH: string): Promise<Figures> {
  const { home, cluster } = host;
  const server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  const noted = join(temporaryFolder("outage"), "stopped");
  const stop = `date +%s%3N > ${noted}; kill ${server.pid!}; while kill -0 ${server.pid!} 2> /dev/null; do sleep 0.02; done`;
  try {
    const { ended } = await packed(host, PATH, ["--yes", "--start-command", "true", "--stop-command", stop]);
    return { outage: (ended - Number(readFileSync(noted, "utf8"))) / 1000 };
  } finally {
    await server.stop();
    // As a rollback undoes the fence, without the server that it would wait for.
    const { user, dbname } = home.database.args;
    await cluster.sql(
      "postgres",
      `alter role ${user!} in database ${dbname!} reset default_transaction_read_only`,
    );
  }
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

/** Medians, and how they stand to the guide's. */
function table(all: readonly Figures[]): string {
  const middle = (values: readonly number[]) => {
    const sorted = values.toSorted((a, b) => a - b);
    return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
  };
  const median = (key: string) => middle(all.map((one) => one[key] ?? NaN));
  const ratio = (key: string, to: string) => middle(all.map((one) => one[key]! / one[to]!)).toFixed(2);
  const rows = [
    ["pg_dump alone", "guide: database"],
    ["igzip: database", "guide: database"],
    ["zlib: database", "guide: database"],
    ["igzip: media", "guide: media backup"],
    ["both: media", "guide: five media stages"],
    ["igzip: outage", "guide: database and media"],
    ["igzip: all", "guide: database and media"],
    ["igzip: all, processor", "guide: database and media, processor"],
    ["both: all", "guide: all"],
    ["both: all, processor", "guide: all, processor"],
  ].map(
    ([key, to]) =>
      `| ${key!} | ${median(key!).toFixed(1)} | ${median(to!).toFixed(1)} | ${ratio(key!, to!)} |`,
  );
  const ownLimits = [
    ["igzip: database", "pg_dump alone"],
    ["zlib: database", "pg_dump alone"],
    ["igzip: media", "gpg, file to file"],
    ["both: media", "gpg, file to file"],
    ["igzip: media", "disk, a copy"],
  ].map(
    ([key, to]) =>
      `| ${key!} | ${median(key!).toFixed(1)} | ${to!} | ${median(to!).toFixed(1)} | ${ratio(key!, to!)} |`,
  );
  const also = [
    "guide: database, MB",
    "igzip: database, MB",
    "zlib: database, MB",
    "igzip: peak, MiB",
    "both: peak, MiB",
    "igzip: peak with its programs, MiB",
    "load",
  ];
  return [
    "| what | seconds | the guide's | ratio |\n| --- | --: | --: | --: |",
    ...rows,
    "",
    "| what | seconds | the machine's own limit | seconds | ratio |\n| --- | --: | --- | --: | --: |",
    ...ownLimits,
    "",
    ...also.map((key) => `${key}: ${median(key).toFixed(1)}`),
  ].join("\n");
}

const { values, positionals } = parseArgs({
  options: {
    files: { type: "string", default: "3000" },
    exporter: { type: "string", default: LEAST },
    many: { type: "string", default: "30000" },
  },
  allowPositionals: true,
});
const [messages = "270000", mebibytes = "1024", rounds = "3"] = positionals;
await bench({
  messages: Number(messages),
  mebibytes: Number(mebibytes),
  rounds: Number(rounds),
  files: Number(values.files),
  exporter: values.exporter,
  many: Number(values.many),
});
