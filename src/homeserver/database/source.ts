import type { Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import {
  type PostgresAddress,
  postgresProgramVersion,
  type PostgresSession,
} from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import type { Homeserver } from "../homeserver.ts";
import { addressOfStore, connect, databaseAddress, stateAddress } from "./address.ts";
import { missingKeys } from "./checks/missing-keys.ts";
import { entriesOf, findObstacles, type Obstacle, obstacleFinding } from "./checks/obstacles.ts";
import { orphanRows } from "./checks/orphans.ts";
import { assertNoPooler } from "./checks/pooler.ts";
import { catalogueFindings } from "./checks/postgres-findings.ts";
import { schemaOf, sequenceFindings } from "./checks/readiness.ts";
import { sqliteDamage } from "./checks/sqlite-findings.ts";
import { databaseMarker, IDLE_STATISTICS_DELAY_MS, masMarker, STATISTICS_DELAY_MS } from "./count.ts";
import { excludeExtensions } from "./dump/extensions.ts";
import type { DumpEntry } from "./dump/left-out.ts";
import { type DatabaseFacts, databaseFacts, majorOf } from "./facts.ts";
import { fileMarker, sqliteBytes } from "./file-state.ts";
import { assertMasDatabase, assertStateDatabase, assertSynapseDatabase } from "./identity.ts";
import { databaseConnections, type DatabaseConnections, fileUserFindings } from "./in-use.ts";
import { findProgram } from "./program.ts";
import { inDatabase, type Store, STORES } from "./store.ts";

/** A PostgreSQL database as an export reads it. */
export interface PostgresSource {
  readonly address: PostgresAddress;
  readonly pgDump: string;
  /** server_version_num: 150018. */
  readonly serverVersion: number;
  readonly versionText: string;
  /** Bytes, about. */
  readonly size: number;
  /** What could make its dump or a restore fail, by its catalogue. */
  readonly findings: readonly Finding[];
  /** What its dump is made without, once a person has accepted that. */
  readonly leftOut: readonly DumpEntry[];
}

/**
 * A homeserver's database as an export reads it, with the one that its state groups have, if they have their own, and
 * the one of its authentication service.
 */
export type DatabaseSource = { readonly mas?: PostgresSource } & (
  | ({ readonly engine: "postgres"; readonly state?: PostgresSource } & PostgresSource)
  | {
      readonly engine: "sqlite";
      readonly path: string;
      readonly size: number;
      readonly findings: readonly Finding[];
    }
);

export interface FoundDatabase {
  readonly database: DatabaseSource;
  /** See `markerOf`. */
  readonly marker: string;
  readonly users: DatabaseConnections;
}

/**
 * Checks everything about the database that could make a dump fail, and changes nothing. Throws `program-missing`,
 * `program-too-old`, `database-unreachable`, `database-unsupported`, `file-missing`.
 */
export async function findDatabase(homeserver: Homeserver, system: System): Promise<FoundDatabase> {
  const found = await findOwn(homeserver, system);
  const service = homeserver.mas && (await findPostgres(homeserver.mas.address, homeserver, system, "mas"));
  const all = service ? { ...found, mas: service } : found;
  return { database: all, marker: await markerOf(all, system), users: await findDatabaseUsers(all, system) };
}

async function findOwn(homeserver: Homeserver, system: System): Promise<DatabaseSource> {
  const { database, serverName } = homeserver;
  if (database.kind === "sqlite") {
    const { path } = database;
    const size = await sqliteBytes(path, system.files);
    const session = await system.sqlite.connect(path);
    try {
      const findings = await sqliteDamage({ session, path, bytes: size, deep: false });
      if (findings.length > 0) return { engine: "sqlite", path, size, findings };
      await assertSynapseDatabase(session, serverName);
      return { engine: "sqlite", path, size, findings: await keyFindings(session) };
    } finally {
      await session.close();
    }
  }
  const main = await findPostgres(databaseAddress(homeserver), homeserver, system);
  const second = stateAddress(homeserver);
  const state = second && (await findPostgres(second, homeserver, system, "state"));
  return { engine: "postgres", ...main, ...(state ? { state } : {}) };
}

async function findPostgres(
  named: PostgresAddress,
  { serverName, mediaStore }: Homeserver,
  system: System,
  store: Store = "main",
): Promise<PostgresSource> {
  const { session, address } = await connect(named, system, mediaStore);
  try {
    const facts = await databaseFacts(session);
    if (store === "main") await assertSynapseDatabase(session, serverName);
    else await (store === "state" ? assertStateDatabase(session) : assertMasDatabase(session));
    await assertNoPooler(address, system.postgres);
    const { obstacles, ...dump } = await readDumpSource(session, address, facts, system);
    const catalogue = await catalogueFindings(session, facts, store);
    // What the role may not read would end the question without a clear word.
    const isReadable = catalogue.every(({ level }) => level !== "blocker");
    const sequences = isReadable && store === "main" ? [await sequenceFindings(session)] : [];
    const keys = isReadable && store !== "mas" ? await keyFindings(session) : [];
    const findings = [...catalogue, ...obstacles.map(obstacleFinding), ...sequences, ...keys];
    return { ...dump, findings: findingsOfStore(store, findings) };
  } finally {
    await session.close();
  }
}

async function keyFindings(session: QuerySession): Promise<Finding[]> {
  const schema = await schemaOf(session);
  return schema === undefined ? [] : missingKeys(session, schema, { deep: false });
}

const findingsOfStore = (store: Store, findings: readonly Finding[]) =>
  findings
    .filter(({ level }) => level !== "ok")
    .map((one) => (store === "main" ? one : inDatabase(store, one)));

/**
 * What only the rows of the databases tell, for those on PostgreSQL whose catalogues have no blocker: reads every foreign key once, which
 * takes time on a large database.
 */
export async function rowFindings(
  database: DatabaseSource,
  system: System,
  progress: Progress,
): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const { address, store } of postgresOf(database)) {
    const orphans = (session: PostgresSession) => orphanRows(session, { thorough: false }, progress);
    found.push(...findingsOfStore(store, await querySession(address, orphans, system)));
  }
  return found;
}

/** How a database is dumped, and what that dump is made without. Throws `program-missing`, `program-too-old`. */
async function readDumpSource(
  session: PostgresSession,
  address: PostgresAddress,
  { serverVersion, serverVersionText: versionText, size }: DatabaseFacts,
  system: System,
): Promise<Omit<PostgresSource, "findings"> & { readonly obstacles: readonly Obstacle[] }> {
  const through = address.commandPrefix;
  const needs = { program: "pg_dump", major: majorOf(serverVersion), versionText, through } as const;
  const pgDump = await findProgram(needs, system);
  const program = await postgresProgramVersion(pgDump, system.programs, through);
  const obstacles = await findObstacles(session, address, system.postgres);
  const extensions = await excludeExtensions(session, program.major);
  const leftOut = [...extensions.entries, ...entriesOf(obstacles)];
  return { address, pgDump, serverVersion, versionText, size, leftOut, obstacles };
}

/**
 * The schemas of a homeserver's databases on PostgreSQL, for a trial before the move. Throws as a connection does, and `program-missing`,
 * `program-too-old`.
 */
export async function findTrialSources(homeserver: Homeserver, system: System): Promise<TrialSource[]> {
  const found: TrialSource[] = [];
  for (const store of STORES) {
    const named = addressOfStore(store, homeserver);
    if (named === undefined) continue;
    const { session, address } = await connect(named, system, homeserver.mediaStore);
    try {
      const dump = await readDumpSource(session, address, await databaseFacts(session), system);
      found.push({ ...dump, store });
    } finally {
      await session.close();
    }
  }
  return found;
}

/** Its databases on PostgreSQL, each with what it holds; its own first. */
export function postgresSources(database: DatabaseSource): (PostgresSource & { readonly store: Store })[] {
  const { mas } = database;
  const own = database.engine === "postgres" ? database : undefined;
  return [
    ...(own ? [{ ...own, store: "main" as const }] : []),
    ...(own?.state ? [{ ...own.state, store: "state" as const }] : []),
    ...(mas ? [{ ...mas, store: "mas" as const }] : []),
  ];
}

/** Who uses the databases now, besides this run. */
export async function findDatabaseUsers(
  database: DatabaseSource,
  system: System,
): Promise<DatabaseConnections> {
  const homeserver = database.engine === "sqlite" ? [...fileUserFindings(database.path, system.machine)] : [];
  const others: Finding[] = [];
  for (const { address } of postgresOf(database)) {
    const found = await querySession(address, databaseConnections, system);
    homeserver.push(...found.homeserver);
    // Two databases may have connections of one role.
    others.push(...found.others);
  }
  return { homeserver, others };
}

/**
 * The state of the databases: differs as soon as anybody wrote anything. Cheap. With `complete`, it waits first until
 * PostgreSQL has counted all that was written before this call: when nobody is connected any more, or when somebody is.
 */
export async function markerOf(
  database: DatabaseSource,
  system: System,
  complete?: "nobody-connected" | "connected",
): Promise<string> {
  const delay = complete === undefined ? 0 : statisticsDelay(database, complete === "connected");
  if (delay > 0) await system.machine.wait(delay, system.signal);
  const markers = database.engine === "sqlite" ? [await fileMarker(database.path, system.files)] : [];
  for (const { address, store } of postgresOf(database))
    markers.push(await querySession(address, store === "mas" ? masMarker : databaseMarker, system));
  return markers.join("+");
}

function statisticsDelay(database: DatabaseSource, connected: boolean): number {
  const versions = [database.engine === "postgres" ? database : undefined, database.mas].flatMap(
    (one) => one?.serverVersion ?? [],
  );
  if (versions.length === 0) return 0;
  if (connected) return IDLE_STATISTICS_DELAY_MS;
  // From 15 on, a session has written its counts to shared memory before it disappears (pgstat.c).
  return versions.some((version) => version < 150_000) ? STATISTICS_DELAY_MS : 0;
}

/** A database whose schema can be tried. */
export type TrialSource = Pick<PostgresSource, "address" | "pgDump" | "serverVersion" | "leftOut"> & {
  readonly store: Store;
};

/** Their addresses. */
export const postgresOf = (database: DatabaseSource): { address: PostgresAddress; store: Store }[] =>
  postgresSources(database).map(({ address, store }) => ({ address, store }));

/** What could make a dump or a restore fail, of all of them. */
export function databaseFindings(database: DatabaseSource): Finding[] {
  if (database.engine === "sqlite") return [...database.findings, ...(database.mas?.findings ?? [])];
  return [database, database.state, database.mas].flatMap((one) => one?.findings ?? []);
}

/** Opens the database for queries. The caller closes the session. */
export function openSource(database: DatabaseSource, system: System): Promise<QuerySession> {
  return database.engine === "sqlite"
    ? system.sqlite.connect(database.path)
    : system.postgres.connect(database.address);
}

/** For people: "on PostgreSQL 15.18, 12 MB". */
export function describeDatabase(database: DatabaseSource): string {
  const size = formatBytes(database.size);
  return database.engine === "sqlite"
    ? `on SQLite, at ${database.path}, ${size}`
    : `on PostgreSQL ${database.versionText}, ${size}${describeStateDatabase(database.state)}`;
}

const describeStateDatabase = (state: PostgresSource | undefined) =>
  state ? `, and its state database on PostgreSQL ${state.versionText}, ${formatBytes(state.size)}` : "";

async function querySession<T>(
  address: PostgresAddress,
  question: (session: PostgresSession) => Promise<T>,
  { postgres }: System,
): Promise<T> {
  const session = await postgres.connect(address);
  try {
    return await question(session);
  } finally {
    await session.close();
  }
}
