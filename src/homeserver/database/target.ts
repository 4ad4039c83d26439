import { resolve } from "node:path";
import { MigrationError } from "../../errors.ts";
import { describeAddress, type PostgresAddress } from "../../system/postgres/postgres.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import type { Homeserver } from "../homeserver.ts";
import { connect, databaseAddress, synapseArgs } from "./address.ts";
import { ENGINE_NAMES } from "./artifact.ts";
import { inspectTarget } from "./fill/inspect-target.ts";
import type { DatabaseSection } from "./section.ts";
import { inspectSqliteTarget } from "./sqlite/restore.ts";
import type { Store } from "./store.ts";

/** Where a database is to be restored to. */
export type DatabaseTarget =
  | { readonly engine: "postgres"; readonly address: PostgresAddress }
  /** Absolute. */
  | { readonly engine: "sqlite"; readonly path: string };

/** A database to be filled, and what was counted of it. */
export interface DatabaseRestore {
  readonly store: Store;
  readonly target: DatabaseTarget;
  /** During a direct transfer, only the values that decide where the database can be restored. */
  readonly section:
    DatabaseSection | Pick<DatabaseSection, "engine" | "serverVersion" | "kept" | "dumpFormat">;
}

/** The absolute path in "sqlite:PATH"; undefined for any other address. Throws `bad-usage` when it names no file. */
export function sqlitePathIn(text: string, folder: string): string | undefined {
  const path = /^sqlite:(.*)$/s.exec(text)?.[1];
  if (path === undefined) return undefined;
  if (path !== "" && !path.endsWith("/") && !path.startsWith("//")) return resolve(folder, path);
  throw new MigrationError("bad-usage", `${text} names no file`, {
    hint: "write it as sqlite:/var/lib/matrix-synapse/homeserver.db",
  });
}

/** For people, and for the journal. Holds no secret. */
export const describeTarget = (target: DatabaseTarget) =>
  target.engine === "sqlite" ? `sqlite:${target.path}` : describeAddress(target.address);

/** As Synapse's settings have them: the `args` of each. */
export function argsOf(databases: readonly DatabaseRestore[]): {
  database: Args;
  stateDatabase?: Args;
} {
  const [main, state] = (["main", "state"] as const).map((store) =>
    databases.find((one) => one.store === store),
  );
  return {
    database: main ? targetArgs(main.target) : {},
    ...(state ? { stateDatabase: targetArgs(state.target) } : {}),
  };
}

type Args = Record<string, string | number>;

const targetArgs = (target: DatabaseTarget): Args =>
  target.engine === "sqlite" ? { database: target.path } : synapseArgs(target.address);

/** Throws `target-unsuitable` when a database of this engine cannot be restored there; `ports` for SQLite into PostgreSQL. */
export function assertSameEngine(
  { engine }: Pick<DatabaseSection, "engine">,
  target: DatabaseTarget,
  ports = false,
): void {
  if (engine === target.engine || (ports && engine === "sqlite")) return;
  throw new MigrationError(
    "target-unsuitable",
    `the database in the bundle is ${ENGINE_NAMES[engine]}, but ${describeTarget(target)} is ${ENGINE_NAMES[target.engine]}`,
    {
      hint:
        engine === "sqlite"
          ? "port it to PostgreSQL on the way: --port; or restore it as SQLite, --database sqlite:PATH (any layout but compose)"
          : "name a PostgreSQL database: 'host=… user=… dbname=…'; PostgreSQL cannot be converted to SQLite",
    },
  );
}

/**
 * Checks whether the database can be restored there, and changes nothing. Throws `target-not-empty`, `target-unsuitable`,
 * `database-unreachable`.
 */
export async function inspectDatabaseTarget(
  { target, section, store }: DatabaseRestore,
  { postgres, files }: Pick<System, "postgres" | "files">,
): Promise<void> {
  if (target.engine === "sqlite") await inspectSqliteTarget(target.path, { begun: false }, files);
  else await inspectTarget({ address: target.address, section, store }, postgres);
}

/** Opens a restored database for reading. The caller closes the session. */
export function openTarget(
  target: DatabaseTarget,
  { postgres, sqlite }: Pick<System, "postgres" | "sqlite">,
): Promise<QuerySession> {
  return target.engine === "sqlite" ? sqlite.connect(target.path) : postgres.connect(target.address);
}

/** Opens the database that a configuration names. The caller closes the session. */
export async function openDatabaseOf(homeserver: Homeserver, system: System): Promise<QuerySession> {
  const { database, mediaStore } = homeserver;
  if (database.kind === "sqlite") return system.sqlite.connect(database.path);
  return (await connect(databaseAddress(homeserver), system, mediaStore)).session;
}
