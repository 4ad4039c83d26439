/**
 * The outage of a move whose database follows the old one (`synlift follow`, `synlift pull --followed`), with databases of several sizes
 * under the same load, and what a dump and a restore of the same database take beside it. And what the old server's people
 * notice while it is followed: messages per second that it acknowledges, with and without.
 *
 *     LAB_DATABASES=FOLDER node scripts/node.mjs bench/follow.ts [--logical] [--outage-only] [GIGABYTES …]
 *
 * 0.2, 0.8 and 3 when left out. FOLDER is where the databases are: it needs four times the largest. A standby, or with --logical a copy by
 * logical replication in the newest PostgreSQL there is. With --outage-only, what it costs the old server is not measured.
 *
 * Both hosts are this one, on loopback, with one set of processors for the two servers, the two databases, and the people: no network is
 * measured, and every figure is worse than with two hosts. The old PostgreSQL waits for its disk with each commit, as Debian's does.
 *
 * The outage is what the people see: the longest time in which nobody's message was acknowledged, neither by the old server nor by the
 * new one. `synlift open` is run as soon as `synlift pull` has ended.
 */
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { startFollow, untilFollows } from "../test/support/follow/running-follow.ts";
import {
  makeNewSide,
  type NewSide,
  roomOf,
  type WayToOldHost,
  wayTo,
} from "../test/support/follow/two-sides.ts";
import { Writer } from "../test/support/follow/writer.ts";
import { type MatrixClient, register } from "../test/support/lab/matrix-client.ts";
import { PostgresCluster, serverMajors } from "../test/support/lab/postgres-cluster.ts";
import { synapsePython } from "../test/support/lab/synapse-server.ts";
import { temporaryFolder } from "../test/support/lab/temporary-folder.ts";
import { StandInSystemctl } from "../test/support/stand-in-systemctl.ts";
import { type Ran, synlift, synliftWell } from "../test/support/synlift.ts";
import { UNIT } from "../test/support/unit-server.ts";
import { type Filled, filledHomeserver } from "./filled-homeserver.ts";
import { stepTimes, timed } from "./processes.ts";

const MESSAGES_PER_GIGABYTE = 570_000;
/** Of the load during the cut-over. */
const PER_SECOND = 20;
const RATE_MS = 8_000;
const RATE_ROUNDS = 3;

type Figures = Record<string, number>;

const CLUSTER = {
  access: [
    "local all postgres trust",
    "host replication all 127.0.0.1/32 scram-sha-256",
    "host all all 127.0.0.1/32 scram-sha-256",
  ],
  settings: { fsync: "on", synchronous_commit: "on", full_page_writes: "on", autovacuum: "on" },
};

interface OldHost {
  readonly filled: Filled;
  readonly systemctl: StandInSystemctl;
  readonly baseUrl: string;
  readonly people: readonly MatrixClient[];
  readonly roomIds: readonly string[];
}

interface Choice {
  readonly isLogical: boolean;
  readonly withCosts: boolean;
}

async function bench(gigabytes: readonly number[], choice: Choice): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  console.log(`${cpus()[0]?.model ?? "?"}, ${availableParallelism()} cores, Node ${process.version}`);
  const all: Figures[] = [];
  const settings = { ...CLUSTER.settings, wal_level: choice.isLogical ? "logical" : "replica" };
  for (const size of gigabytes) {
    const messages = Math.round(size * MESSAGES_PER_GIGABYTE);
    const filled = await filledHomeserver(messages, 1, 1, { ...CLUSTER, settings });
    const old = await startOld(filled);
    try {
      // They change tables: logical replication is refused before.
      const left = () => filled.cluster.sql("large", "select count(*) from background_updates");
      while (choice.isLogical && (await left()) !== "0") await new Promise((r) => setTimeout(r, 500));
      all.push(await benchOne(old, choice));
      console.log(table(all));
    } finally {
      old.systemctl.run("stop", UNIT);
      await filled.close();
    }
  }
}

async function benchOne(old: OldHost, { isLogical, withCosts }: Choice): Promise<Figures> {
  const { filled, systemctl } = old;
  const { home, cluster } = filled;
  const to = await wayTo({ home, cluster, configPaths: [home.configFile], path: systemctl.path });
  const major = Math.max(...serverMajors());
  const target = isLogical ? await PostgresCluster.start({ settings: CLUSTER.settings, major }) : undefined;
  const place = await makeNewSide(to, {
    folder: temporaryFolder("new", undefined, process.env["LAB_DATABASES"]),
    ...(target && { target }),
  });
  try {
    const figures: Figures = { "database, MB": filled.databaseBytes / 1e6, load: loadavg()[0]! };
    Object.assign(figures, await dumpAndRestore(filled, to));
    if (withCosts) Object.assign(figures, await whatItCosts(old, place));
    Object.assign(figures, await cutOver(old, place));
    return figures;
  } finally {
    await place.close();
    await target?.stop();
    await to.close();
  }
}

/** As Element's guide does it, but without files between and without encryption: the lower bound of it. */
async function dumpAndRestore({ cluster, home }: Filled, { ssh, database }: WayToOldHost): Promise<Figures> {
  await cluster.createDatabase("by_hand", { owner: database.role });
  const { host, port } = cluster.address;
  const login = `-h ${host} -p ${port} -U ${database.role}`;
  const dump = `PGPASSWORD=${database.password} pg_dump -O ${login} -d ${database.name}`;
  const { seconds } = await timed(
    `ssh -F ${ssh.configFile} -p ${ssh.port} 127.0.0.1 '${dump}' | psql -q -v ON_ERROR_STOP=1 ${login} -d by_hand`,
    { env: { ...process.env, PGPASSWORD: String(home.database.args["password"]) } },
  );
  await cluster.sql("postgres", "drop database by_hand");
  await cluster.sql("postgres", "checkpoint");
  return { "pg_dump, ssh, psql": seconds };
}

/** The first copy, and how many messages the old server acknowledges without a copy, while the first one is made, and with it. */
async function whatItCosts({ people, roomIds, filled }: OldHost, place: NewSide): Promise<Figures> {
  const writer = new Writer({ people, roomIds, onlyMessages: true });
  try {
    await writer.more(200);
    const alone = [await writer.rate(RATE_MS)];
    const began = performance.now();
    const before = writer.acknowledged.length;
    await synliftWell([...place.follow, "--until-caught-up"]);
    const copied = (performance.now() - began) / 1000;
    const during = (writer.acknowledged.length - before) / copied;
    const followed: number[] = [];
    for (let round = 0; round < RATE_ROUNDS; round += 1) {
      const running = startFollow(place);
      await untilFollows(
        place,
        await filled.cluster.sql("postgres", "select pg_current_wal_insert_lsn()"),
        running,
      );
      followed.push(await writer.rate(RATE_MS));
      await running.interrupt();
      alone.push(await writer.rate(RATE_MS));
    }
    return {
      "first copy": copied,
      "messages/s, not followed": median(alone),
      "messages/s, while the first copy is made": during,
      "messages/s, followed": median(followed),
    };
  } finally {
    await writer.stop();
  }
}

async function cutOver({ people, roomIds, filled }: OldHost, place: NewSide): Promise<Figures> {
  await synliftWell([...place.follow, "--until-caught-up"]);
  const compared = await took(() => synliftWell(place.rehearse));
  const writer = new Writer({ people, roomIds, perSecond: PER_SECOND });
  try {
    await writer.more(PER_SECOND * 5);
    const began = performance.now();
    writer.alsoAt(place.url);
    const pulled = await watched(place.cutOver);
    const opened = await watched(place.open);
    await writer.more(PER_SECOND * 2);
    const gap = writer.longestGap(began, performance.now());
    await writer.stop();
    await writer.mustAllBeAt(place.url);
    const after = await place.sql("select count(*) from events");
    console.log(
      `${after} events; steps, in seconds after the last message that the old server acknowledged:`,
    );
    for (const [name, at] of [...pulled.times, ...opened.times]) {
      const since = (at - gap.began) / 1000;
      if (since > -1) console.log(`  ${since.toFixed(2).padStart(6)} ${name}`);
    }
    const rows = await filled.cluster.sql(
      filled.home.database.args["dbname"] as string,
      "select count(*) from events",
    );
    if (Number(after) < Number(rows)) throw new Error(`${after} of ${rows} events`);
    return {
      "comparison beforehand": compared,
      outage: gap.milliseconds / 1000,
      "of it until pull has ended": (pulled.ended - gap.began) / 1000,
      "of it open, until it has ended": (opened.ended - pulled.ended) / 1000,
    };
  } finally {
    await writer.stop();
  }
}

const took = async (run: () => Promise<unknown>): Promise<number> => {
  const began = performance.now();
  await run();
  return (performance.now() - began) / 1000;
};

/** Runs it, with when each step began and ended. */
async function watched(
  args: readonly string[],
): Promise<{ times: ReadonlyMap<string, number>; ended: number; ran: Ran }> {
  const { times, tell } = stepTimes();
  let seen = 0;
  const ran = await synlift(args, {
    killWhen: (said) => {
      const end = said.lastIndexOf("\n") + 1;
      for (const line of said.slice(seen, end).split("\n")) tell(line);
      seen = end;
      return false;
    },
  });
  if (ran.code !== 0) throw new Error(`${args[0]!}: ${ran.code ?? "?"} ${ran.stderr.slice(-3000)}`);
  return { times, ended: performance.now(), ran };
}

async function startOld(filled: Filled): Promise<OldHost> {
  const { configFile, dataFolder, registrationSharedSecret } = filled.home;
  const systemctl = new StandInSystemctl([
    {
      name: UNIT,
      start: `cd ${dataFolder} && exec ${synapsePython()} -m synapse.app.homeserver -c ${configFile} -D`,
      pidFile: join(dataFolder, "homeserver.pid"),
    },
  ]);
  systemctl.run("start", UNIT);
  const baseUrl = filled.baseUrl;
  while (!(await fetch(`${baseUrl}/health`).catch(() => undefined))?.ok)
    await new Promise((r) => setTimeout(r, 50));
  const people = [];
  for (const name of ["p1", "p2", "p3", "p4"])
    people.push(await register(baseUrl, registrationSharedSecret, { name, password: "p" }));
  const [first, ...others] = people;
  const roomIds = [await roomOf(first!, others), await roomOf(first!, others)];
  return { filled, systemctl, baseUrl, people, roomIds };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
}

/** One column for each database. */
function table(all: readonly Figures[]): string {
  const keys = Object.keys(all[0] ?? {}).filter((key) => key !== "database, MB");
  return [
    `| database | ${all.map((one) => `${one["database, MB"]!.toFixed(0)} MB`).join(" | ")} |`,
    `| --- | ${all.map(() => "--:").join(" | ")} |`,
    ...keys.map((key) => `| ${key} | ${all.map((one) => (one[key] ?? NaN).toFixed(1)).join(" | ")} |`),
    "",
  ].join("\n");
}

const words = process.argv.slice(2);
const sizes = words.filter((word) => !word.startsWith("--")).map(Number);
await bench(sizes.length > 0 ? sizes : [0.2, 0.8, 3], {
  isLogical: words.includes("--logical"),
  withCosts: !words.includes("--outage-only"),
});
