import type { Files } from "../../system/files/files.ts";
import { type PostgresSession, quoteIdentifier, quoteLiteral } from "../../system/postgres/postgres.ts";
import type { Store } from "./store.ts";

/** The role that a homeserver uses, in its database, and what is known of it. */
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

/** As the session's own role. What a role has set for a database is in pg_db_role_setting, which everybody may read. */
export async function roleState(session: PostgresSession): Promise<RoleState> {
  return session.one<RoleState>(`
    SELECT current_user::text AS role, current_database()::text AS database, r.rolsuper AS "isSuperuser",
      (SELECT split_part(setting, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) AS setting
       WHERE s.setrole = r.oid AND s.setdatabase = d.oid AND setting LIKE 'default_transaction_read_only=%') AS before
    FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`);
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
  await session.run(`ALTER ROLE ${quoteIdentifier(role)} IN DATABASE ${quoteIdentifier(database)} ${what};`);
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
