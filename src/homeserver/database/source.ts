import type { Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import type { PostgresAddress } from "../../system/postgres.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import type { Homeserver } from "../homeserver.ts";
import { connect, databaseAddress, stateAddress } from "./address.ts";
import { mustBeState, mustBeSynapse } from "./belongs.ts";
import { databaseMarker } from "./count.ts";
import { databaseFacts, majorOf } from "./facts.ts";
import { fileMarker, sqliteBytes } from "./file-state.ts";
import { connections, fileUsers } from "./in-use.ts";
import { findProgram } from "./program.ts";
import type { Store } from "./store.ts";

/** A PostgreSQL database as an export reads it. */
export interface PostgresSource {
  readonly address: PostgresAddress;
  readonly pgDump: string;
  /** server_version_num: 150018. */
  readonly serverVersion: number;
  readonly versionText: string;
  /** Bytes, about. */
  readonly size: number;
}

/** A homeserver's database as an export reads it, with the one that its state groups have, if they have their own. */
export type DatabaseSource =
  | ({ readonly engine: "postgres"; readonly state?: PostgresSource } & PostgresSource)
  | { readonly engine: "sqlite"; readonly path: string; readonly size: number };

export interface FoundDatabase {
  readonly database: DatabaseSource;
  /** See `markerOf`. */
  readonly marker: string;
  /** Who uses it. */
  readonly inUse: readonly Finding[];
}

/**
 * Looks at everything about the database that could make a dump fail, and changes nothing. Throws `program-missing`,
 * `program-too-old`, `database-unreachable`, `database-unsupported`, `file-missing`.
 */
export async function findDatabase(homeserver: Homeserver, system: System): Promise<FoundDatabase> {
  const { database, serverName } = homeserver;
  if (database.kind === "sqlite") {
    const { path } = database;
    const session = await system.sqlite.connect(path);
    await mustBeSynapse(session, serverName).finally(() => session.close());
    const found = { engine: "sqlite", path, size: await sqliteBytes(path, system.files) } as const;
    return { database: found, marker: await markerOf(found, system), inUse: await usersOf(found, system) };
  }
  const main = await findPostgres(databaseAddress(homeserver), homeserver, system);
  const second = stateAddress(homeserver);
  const state = second && (await findPostgres(second, homeserver, system, "state"));
  const found = { engine: "postgres", ...main, ...(state ? { state } : {}) } as const;
  return { database: found, marker: await markerOf(found, system), inUse: await usersOf(found, system) };
}

async function findPostgres(
  named: PostgresAddress,
  { serverName, mediaStore }: Homeserver,
  system: System,
  store: Store = "main",
): Promise<PostgresSource> {
  const { session, address } = await connect(named, system, mediaStore);
  try {
    const { serverVersion, serverVersionText: versionText, size } = await databaseFacts(session);
    await (store === "main" ? mustBeSynapse(session, serverName) : mustBeState(session));
    const through = address.through;
    const needs = { program: "pg_dump", major: majorOf(serverVersion), versionText, through } as const;
    const pgDump = await findProgram(needs, system);
    return { address, pgDump, serverVersion, versionText, size };
  } finally {
    await session.close();
  }
}

/** Who uses the database at this moment: of a server that is down, nobody does. */
export async function usersOf(database: DatabaseSource, system: System): Promise<Finding[]> {
  if (database.engine === "sqlite") return fileUsers(database.path, system.machine);
  const users = await asked(database.address, connections, system);
  return database.state ? [...users, ...(await asked(database.state.address, connections, system))] : users;
}

/** The state of the database: differs as soon as the server wrote anything. Cheap. */
export async function markerOf(database: DatabaseSource, system: System): Promise<string> {
  if (database.engine === "sqlite") return fileMarker(database.path, system.files);
  const marker = await asked(database.address, databaseMarker, system);
  return database.state ? `${marker}+${await asked(database.state.address, databaseMarker, system)}` : marker;
}

/** Opens it for questions, as it is now. Whoever opened it closes the session. */
export function openSource(database: DatabaseSource, system: System): Promise<QuerySession> {
  return database.engine === "sqlite"
    ? system.sqlite.connect(database.path)
    : system.postgres.connect(database.address);
}

/** For people: "on PostgreSQL 15.18, 12 MB". */
export function databaseWords(database: DatabaseSource): string {
  const size = formatBytes(database.size);
  return database.engine === "sqlite"
    ? `on SQLite, at ${database.path}, ${size}`
    : `on PostgreSQL ${database.versionText}, ${size}${stateWords(database.state)}`;
}

const stateWords = (state: PostgresSource | undefined) =>
  state ? `, and its state database on PostgreSQL ${state.versionText}, ${formatBytes(state.size)}` : "";

async function asked<T>(
  address: PostgresAddress,
  question: (session: QuerySession) => Promise<T>,
  { postgres }: System,
): Promise<T> {
  const session = await postgres.connect(address);
  try {
    return await question(session);
  } finally {
    await session.close();
  }
}
