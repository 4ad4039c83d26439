/**
 * From SQLite to PostgreSQL: Synapse's synapse_port_db alone, and `synlift port` with all that it checks; and what the outage
 * of a move is, ported on the new host or on the old one.
 *
 *     node scripts/node.mjs bench/port.ts [MESSAGES] [ROUNDS]
 *
 * 100,000 messages and one round when left out; 2000 for a quick run. Both hosts are this one: no network is measured. The
 * program alone is given the file of the stopped server and a whole configuration, as Synapse's documentation says; once more
 * without the second that it sleeps after each background update of the new database, which synlift spares. Ported on the old
 * host, its database is then dumped by pg_dump through gzip and loaded by psql; ported on the new host, the file is read once
 * more, through gzip: neither is encrypted here.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { quoteShellWord } from "../src/system/shell-quoting.ts";
import { type DatabaseSettings, postgresDatabase } from "../test/support/lab/homeserver-folder.ts";
import { PostgresCluster } from "../test/support/lab/postgres-cluster.ts";
import { synapsePython } from "../test/support/lab/synapse-server.ts";
import { temporaryFolder } from "../test/support/lab/temporary-folder.ts";
import { addMessages, makeSqliteServer, type SqliteServer } from "../test/support/ported.ts";
import { timed } from "./processes.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

interface Place {
  readonly cluster: PostgresCluster;
  readonly old: SqliteServer;
  readonly work: string;
}

async function bench(messages: number, rounds: number): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  const old = await makeSqliteServer();
  await old.server.stop();
  addMessages(old.path, messages);
  const cluster = await PostgresCluster.start({ settings: { shared_buffers: "256MB", max_wal_size: "4GB" } });
  try {
    const place = { cluster, old, work: temporaryFolder("bench") };
    const megabytes = (statSync(old.path).size / 1e6).toFixed(0);
    const host = `${cpus()[0]?.model ?? "?"}, ${availableParallelism()} cores, Node ${process.version}`;
    console.log(`SQLite file ${megabytes} MB, ${messages} messages; ${host}`);
    for (let round = 1; round <= rounds; round += 1) {
      const line = (what: string, seconds: number, more = "") => {
        console.log(`  ${what.padEnd(34)} ${seconds.toFixed(1)} s${more}`);
      };
      console.log(`round ${round}: load ${loadavg()[0]!.toFixed(1)}`);
      const alone = await scriptAlone(place, `alone${round}`, { sleeps: true });
      line("synapse_port_db alone", alone);
      const ours = await synliftPort(place, `ours${round}`);
      line("synlift port", ours, `, ${(ours / alone).toFixed(2)} of it`);
      const awake = await scriptAlone(place, `awake${round}`, { sleeps: false });
      line(
        "synapse_port_db without its sleeps",
        awake,
        `; synlift port is ${(ours / awake).toFixed(2)} of it`,
      );
      const unpack = `gzip -1 < ${quoteShellWord(old.path)} | gzip -d > ${join(place.work, "file")}`;
      const file = await timed(unpack, { env: process.env });
      line("outage, ported on the new host", ours + file.seconds);
      const dump = await dumpAndLoad(place, `ours${round}`, `loaded${round}`);
      line("outage, ported on the old host", ours + dump);
      console.log(`  load at the end ${loadavg()[0]!.toFixed(1)}`);
    }
  } finally {
    await cluster.stop();
    rmSync(old.home.folder, { recursive: true, force: true });
  }
}

async function scriptAlone(
  { cluster, old, work }: Place,
  name: string,
  { sleeps }: { readonly sleeps: boolean },
): Promise<number> {
  const database = await postgresDatabase(cluster, name);
  const config = join(work, `${name}.yaml`);
  const settings = parse(readFileSync(old.home.configFile, "utf8")) as Record<string, unknown>;
  // Synapse's own default: the bench's homeserver has another one, to be made sooner.
  delete settings["background_updates"];
  if (!sleeps) settings["background_updates"] = { sleep_enabled: false, sleep_duration_ms: 0 };
  writeFileSync(config, stringify({ ...settings, database }), { mode: 0o600 });
  const args = ["--sqlite-database", old.path, "--postgres-config", config].map(quoteShellWord).join(" ");
  const run = `${synapsePython()} -m synapse._scripts.synapse_port_db ${args} > ${work}/alone.log 2>&1`;
  return (await timed(run, { env: process.env, folder: work })).seconds;
}

const addressOf = ({ args }: DatabaseSettings) =>
  ["host", "port", "user", "dbname"].map((key) => `${key}=${args[key]!}`).join(" ");

async function synliftPort({ cluster, old, work }: Place, name: string): Promise<number> {
  const database = await postgresDatabase(cluster, name);
  const args = [
    ...["port", ...old.config, "--to", addressOf(database), "--out", join(work, name)],
    ...["--synapse", synapsePython()],
  ];
  const run = [process.execPath, MAIN, ...args].map(quoteShellWord).join(" ");
  return (await timed(run, { env: process.env, tell: () => undefined })).seconds;
}

/** What porting on the old host adds: the rows are written a second time. */
async function dumpAndLoad({ cluster, work }: Place, from: string, to: string): Promise<number> {
  await cluster.createDatabase(to);
  const { host, port, superuser } = cluster.address;
  const login = `-h ${host} -p ${port} -U ${superuser}`;
  const [dump, psql] = ["pg_dump", "psql"].map((program) => join(cluster.programs, program));
  const file = join(work, "dump.sql.gz");
  const pack = `${dump!} -O ${login} ${from} | gzip -1 > ${file}`;
  const load = `gzip -dc ${file} | ${psql!} -X -q -v ON_ERROR_STOP=1 ${login} -d ${to} > /dev/null`;
  const analyze = `${psql!} -X -q ${login} -d ${to} -c ANALYZE`;
  return (await timed(`${pack} && ${load} && ${analyze}`, { env: process.env })).seconds;
}

const [messages = 100_000, rounds = 1] = process.argv.slice(2).map(Number);
await bench(messages, rounds);
