import { hasSqlstate, MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import {
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
  quoteIdentifier,
  quoteLiteral,
} from "../../system/postgres/postgres.ts";
import { schemaTable, type Store } from "./store.ts";

/** The role with which a homeserver logs in to its database, and what is known of it. */
export interface RoleState {
  readonly role: string;
  readonly database: string;
  /** The role's own default for `default_transaction_read_only` in this database; null when it has none. */
  readonly before: string | null;
  readonly isSuperuser: boolean;
}

/** The role's name in the record of the fence, with its database. */
export const roleName = ({ role, database }: RoleInDatabase, store: Store) =>
  `${role} in ${database}${store === "main" ? "" : ` (${store})`}`;

/** The inverse of `roleName`. */
export function parseRoleName(name: string): RoleInDatabase & { readonly store: Store } {
  const [, role = "", database = "", store = "main"] =
    /^(.*?) in (.*?)(?: \((state|mas)\))?$/s.exec(name) ?? [];
  return { role, database, store: store as Store };
}

/**
 * Of the role that logged in. It may have become another since, by `SET role`, but PostgreSQL takes the settings of a new
 * session from the role that logs in (PostgreSQL documentation, ALTER ROLE). What a role has set for a database is in
 * pg_db_role_setting, which everybody may read.
 */
export async function roleState(session: PostgresSession): Promise<RoleState> {
  return session.one<RoleState>(`
    SELECT session_user::text AS role, current_database()::text AS database, r.rolsuper AS "isSuperuser",
      (SELECT split_part(setting, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) AS setting
       WHERE s.setrole = r.oid AND s.setdatabase = d.oid AND setting LIKE 'default_transaction_read_only=%') AS before
    FROM pg_roles r, pg_database d WHERE r.rolname = session_user AND d.datname = current_database()`);
}

/**
 * From the next connection on, sessions of this role in this database are read-only, unless they explicitly request
 * writing. A role may set this for itself (PostgreSQL documentation, ALTER ROLE). May be repeated.
 */
export async function makeRoleReadOnly(
  session: PostgresSession,
  { role, database }: RoleInDatabase,
): Promise<void> {
  await alter(session, { role, database }, "SET default_transaction_read_only = 'on'");
}

/** Restores the role's own default, or resets it where it had none. May be repeated. */
export async function restoreRoleDefault(
  session: PostgresSession,
  { role, database, before }: RoleInDatabase & Pick<RoleState, "before">,
): Promise<void> {
  const setting = "default_transaction_read_only";
  await alter(
    session,
    { role, database },
    before === null ? `RESET ${setting}` : `SET ${setting} = ${quoteLiteral(before)}`,
  );
}

type RoleInDatabase = Pick<RoleState, "role" | "database">;

/** In a session that writes: what the fence has set is a default, and its transactions ask for more. */
async function alter(
  session: PostgresSession,
  { role, database }: RoleInDatabase,
  what: string,
): Promise<void> {
  // Only the role itself may do this, if it may not administrate roles: not another one that the session has become.
  const { mayBecome } = await session.one<{ mayBecome: boolean }>(
    `SELECT current_user <> ${quoteLiteral(role)} AND pg_has_role(session_user, ${quoteLiteral(role)}, 'MEMBER') AS "mayBecome"`,
  );
  const become = mayBecome ? `SET LOCAL ROLE ${quoteIdentifier(role)};` : "";
  await session.run(
    `${become} ALTER ROLE ${quoteIdentifier(role)} IN DATABASE ${quoteIdentifier(database)} ${what};`,
  );
}

/**
 * Proves the fence in a new session, as the homeserver begins one: read-only by default, and a write is refused.
 * Throws `fence-failed` with what overrides the role's setting.
 */
export async function assertReadOnlySessions(
  address: PostgresAddress,
  { role }: Pick<RoleState, "role">,
  store: Store,
  postgres: Postgres,
): Promise<void> {
  const session = await postgres.connect(address);
  try {
    const state = await readOnlyDefault(session);
    if (!state.isOn) throw notReadOnly(describeOverride(state, role));
    try {
      // As the homeserver begins a transaction: without saying whether it writes.
      await session.runAlone(
        `BEGIN; UPDATE ${schemaTable(store)} SET version = version WHERE false; ROLLBACK;`,
      );
    } catch (error) {
      if (hasSqlstate(error, [READ_ONLY_SQL_TRANSACTION])) return;
      throw error;
    }
    throw notReadOnly("a write was not refused in a session that should be read-only");
  } finally {
    await session.close();
  }
}

/** SQLSTATE `read_only_sql_transaction` (PostgreSQL documentation, Appendix A). */
const READ_ONLY_SQL_TRANSACTION = "25006";

/**
 * Finds out while the server still runs that its own connection settings will override the fence. Changes nothing. Throws
 * `fence-failed`.
 */
export async function assertFenceCanHold(address: PostgresAddress, postgres: Postgres): Promise<void> {
  const session = await postgres.connect(address);
  try {
    const state = await readOnlyDefault(session);
    if (!state.isOn && state.source === "client") throw notReadOnly(describeOverride(state, state.role));
  } finally {
    await session.close();
  }
}

interface ReadOnlyDefault {
  readonly isOn: boolean;
  /** What set it, as the column `source` of pg_settings tells it. */
  readonly source: string;
  readonly role: string;
}

const readOnlyDefault = (session: PostgresSession) =>
  session.one<ReadOnlyDefault>(`
    SELECT setting = 'on' AS "isOn", source, session_user::text AS role
    FROM pg_settings WHERE name = 'default_transaction_read_only'`);

const notReadOnly = (why: string) =>
  new MigrationError("fence-failed", `new sessions of the homeserver could still write: ${why}`);

/** A setting of the connection wins over all settings of roles and databases (PostgreSQL documentation, 20.1). */
function describeOverride({ source, role }: ReadOnlyDefault, fenced: string): string {
  if (source === "client")
    return "its connection settings set default_transaction_read_only to off, which overrides the setting of the role: remove that from `options` in the database settings, or from PGOPTIONS";
  if (role !== fenced) return `they log in as ${role} and not as ${fenced}`;
  if (source === "session" || source === "interactive")
    return `something sets default_transaction_read_only to off when a session of ${role} begins, such as an event trigger`;
  if (source === "database user")
    return `something has set default_transaction_read_only to off again for ${role} in this database`;
  return `the setting of the role ${role} has no effect: a connection pooler keeps sessions that are older than it and must close them, or the sessions begin in another database`;
}

/** Removes all write permissions from a file. Does not stop a server that runs as root. May be repeated. */
export async function makeFileReadOnly(path: string, files: Files): Promise<void> {
  const found = await files.stat(path);
  if (found) await files.setMode(await files.real(path), found.mode & 0o555);
}

/** `before` is the mode, octal. Does nothing when the file no longer exists. */
export async function restoreFileMode(path: string, before: string, files: Files): Promise<void> {
  if (await files.stat(path)) await files.setMode(await files.real(path), Number.parseInt(before, 8));
}
