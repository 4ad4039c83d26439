/**
 * The outage when a database moves to another host: dumped, copied and restored one after the other, as in Element's
 * guide but without its encryption, and by `synlift pull`; the same database in turn, over the same ssh.
 *
 *     node scripts/node.mjs bench/direct.ts [MESSAGES] [MEDIA_MIB] [ROUNDS]
 *
 * 170,000 messages (some 300 MB of database), 16 MiB and 3 rounds when left out; 2000 1 1 for a quick run. Both hosts are this
 * one, and so are both databases: no network is measured.
 *
 * synlift's run is the real program, no rehearsal, of a server that is stopped; from when media is transferred, which
 * happens while the server serves, to its end: the fence, the database and later media, the new configuration. How long a server takes
 * to stop and to start is the same for both, and in neither.
 */
import { rmSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { quoteShellWord } from "../src/system/shell-quoting.ts";
import { freePort } from "../test/support/lab/server-process.ts";
import { type SshServer, startSshServer } from "../test/support/lab/ssh-server.ts";
import { temporaryFolder } from "../test/support/lab/temporary-folder.ts";
import { makeNewPlace } from "../test/support/old-server.ts";
import { type Filled, filledHomeserver } from "./filled-homeserver.ts";
import { stepTimes, timed } from "./processes.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const MEDIA_HAS_COME = "end receive/customer_backup_media_export.tar.gz";
const DATABASE_BEGINS = "begin receive/customer_db_export.sql.gz";
const DATABASE_HAS_COME = "end receive/customer_db_export.sql.gz";

type Figures = Record<string, number>;

async function bench(messages: number, mebibytes: number, rounds: number): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  const filled = await filledHomeserver(messages, mebibytes * 1024 * 1024);
  const ssh = await startSshServer({ env: { PATH: process.env["PATH"]! } });
  try {
    console.log(
      `database ${(filled.databaseBytes / 1e6).toFixed(0)} MB; ${cpus()[0]?.model ?? "?"}, ${availableParallelism()} cores, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`,
    );
    const all: Figures[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const parts = [oneAfterTheOther, straightByHand, ours];
      // Each goes first once, because the first one finds the caches and the disk in another state.
      const figures: Figures = { load: loadavg()[0]! };
      for (const part of [...parts.slice(round % 3), ...parts.slice(0, round % 3)]) {
        await filled.cluster.sql("postgres", "checkpoint");
        Object.assign(figures, await part(filled, ssh));
      }
      all.push(figures);
      console.log(`round ${round + 1}: load ${figures["load"]!.toFixed(1)} to ${loadavg()[0]!.toFixed(1)}`);
      console.log(table(all));
    }
  } finally {
    await ssh.stop();
    await filled.close();
  }
}

/** A compressed dump on the old host, copied to the new one and restored there. */
async function oneAfterTheOther(filled: Filled, ssh: SshServer): Promise<Figures> {
  const [old, fresh] = [temporaryFolder("old"), temporaryFolder("new")];
  const dump = "customer_db_export.sql.gz";
  const run = (command: string) => timed(command, { env: loginOf(filled) });
  const { dumps, restores } = await byHand(filled);
  const dumped = await run(`${dumps} | gzip > ${join(old, dump)}`);
  const shipped = await run(
    `${remote(ssh)} ${quoteShellWord(`cat ${join(old, dump)}`)} > ${join(fresh, dump)}`,
  );
  const restored = await run(`gunzip -c ${join(fresh, dump)} | ${restores}`);
  await countedAgain(filled, "by_hand");
  for (const folder of [old, fresh]) rmSync(folder, { recursive: true });
  return {
    dump: dumped.seconds,
    ship: shipped.seconds,
    restore: restored.seconds,
    "one after the other": dumped.seconds + shipped.seconds + restored.seconds,
  };
}

/** The lower bound: nothing is checked, nothing is counted. */
async function straightByHand(filled: Filled, ssh: SshServer): Promise<Figures> {
  const { dumps, restores } = await byHand(filled);
  const over = `export PGPASSWORD=${quoteShellWord(loginOf(filled).PGPASSWORD)}; ${dumps}`;
  const { seconds } = await timed(`${remote(ssh)} ${quoteShellWord(over)} | ${restores}`, {
    env: loginOf(filled),
  });
  await countedAgain(filled, "by_hand");
  return { "pg_dump, ssh, psql": seconds };
}

async function ours({ home, cluster }: Filled, ssh: SshServer): Promise<Figures> {
  const place = await makeNewPlace(cluster, "synlift", await freePort());
  const out = join(temporaryFolder("synlift"), "move");
  const sender = [process.execPath, MAIN, "pull-sender", "--config", home.configFile];
  const args = [
    ...[process.execPath, MAIN, "pull", ssh.address, "--ssh-config", ssh.configFile],
    ...[
      "--export-command",
      [...sender, "--working-directory", home.dataFolder].map(quoteShellWord).join(" "),
    ],
    ...["--export-folder", out, ...place.restoreArgs, "--yes", "--json"],
  ];
  const { times, tell } = stepTimes();
  const began = performance.now();
  const { seconds } = await timed(args.map(quoteShellWord).join(" "), { env: process.env, tell });
  const since = (name: string) => seconds - (times.get(name)! - began) / 1000;
  await countedAgain({ cluster }, place.database);
  await timed([process.execPath, MAIN, "rollback", "--out", out, "--yes"].map(quoteShellWord).join(" "), {
    env: process.env,
  });
  await cluster.sql("postgres", `drop database "${place.database}"`);
  await cluster.sql("postgres", `drop role "${place.database}"`);
  for (const folder of [place.folder, out]) rmSync(folder, { recursive: true });
  return {
    "synlift: outage": since(MEDIA_HAS_COME),
    "synlift: of it until the database comes": since(MEDIA_HAS_COME) - since(DATABASE_BEGINS),
    "synlift: of it while it comes": since(DATABASE_BEGINS) - since(DATABASE_HAS_COME),
    "synlift: of it once it has come": since(DATABASE_HAS_COME),
    "synlift: all": seconds,
  };
}

const remote = ({ configFile, port }: SshServer) => `ssh -F ${configFile} -p ${port} 127.0.0.1`;

const loginOf = ({ home }: Pick<Filled, "home">) => ({
  ...process.env,
  PGPASSWORD: String(home.database.args["password"]),
});

/** The commands for an empty database of the old one's owner. */
async function byHand({ home, cluster }: Filled): Promise<{ dumps: string; restores: string }> {
  const { args } = home.database;
  await cluster.sql("postgres", "drop database if exists by_hand");
  await cluster.createDatabase("by_hand", { owner: String(args["user"]) });
  const login = `-h ${args["host"]!} -p ${args["port"]!} -U ${args["user"]!}`;
  return {
    dumps: `pg_dump -O ${login} -d ${args["dbname"]!}`,
    restores: `psql -q -v ON_ERROR_STOP=1 ${login} -d by_hand`,
  };
}

/** Throws when not all of the messages have come. */
async function countedAgain({ cluster }: Pick<Filled, "cluster">, database: string): Promise<void> {
  const count = "select count(*) from events";
  const [old, fresh] = [await cluster.sql("large", count), await cluster.sql(database, count)];
  if (old !== fresh) throw new Error(`${fresh} of ${old} events are in ${database}`);
}

/** Medians, and how they stand to that of one after the other. */
function table(all: readonly Figures[]): string {
  const median = (key: string) => {
    const sorted = all.map((one) => one[key] ?? NaN).toSorted((a, b) => a - b);
    return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
  };
  const keys = Object.keys(all[0] ?? {}).toSorted();
  return [
    "| what | seconds | ratio |\n| --- | --: | --: |",
    ...keys
      .filter((key) => key !== "load")
      .map(
        (key) =>
          `| ${key} | ${median(key).toFixed(1)} | ${(median(key) / median("one after the other")).toFixed(2)} |`,
      ),
    "",
    `load: ${median("load").toFixed(1)}`,
  ].join("\n");
}

const [messages = "170000", mebibytes = "16", rounds = "3"] = process.argv.slice(2);
await bench(Number(messages), Number(mebibytes), Number(rounds));
