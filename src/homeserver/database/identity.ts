import { MigrationError } from "../../errors.ts";
import { type QuerySession, sqlText } from "../../system/query.ts";
import { NEEDED } from "./whose.ts";

/** Throws `database-unsupported` when it is none of a Matrix Authentication Service. */
export async function mustBeMas(session: QuerySession): Promise<void> {
  const { tables, name } = await session.one<{ tables: number; name: string }>(`
    SELECT count(*) AS tables, current_database() AS name FROM pg_tables
    WHERE tablename IN ('_sqlx_migrations', 'users', 'compat_sessions')`);
  if (tables >= 3) return;
  throw new MigrationError(
    "database-unsupported",
    `database ${name} is not that of a Matrix Authentication Service: it lacks its tables`,
    { hint: "check database in the service's configuration" },
  );
}

/** Throws `database-unsupported` when it has no state groups. Whose they are, no table of them says. */
export async function mustBeState(session: QuerySession): Promise<void> {
  const { tables, name } = await session.one<{ tables: number; name: string }>(`
    SELECT count(*) AS tables, current_database() AS name FROM pg_tables
    WHERE tablename IN ('schema_version', 'schema_compat_version', 'state_groups', 'state_groups_state')`);
  if (tables >= 4) return;
  throw new MigrationError(
    "database-unsupported",
    `database ${name} is no state database of a Synapse: it lacks Synapse's tables`,
    { hint: "check databases in the configuration: the label whose data_stores has state" },
  );
}

/** Throws `database-unsupported` when this is not the database of that homeserver. */
export async function mustBeSynapse(session: QuerySession, serverName: string): Promise<void> {
  const isPostgres = session.engine === "postgres";
  const [catalogue, column] = isPostgres ? ["pg_tables", "tablename"] : ["sqlite_master", "name"];
  const { tables } = await session.one<{ tables: number }>(`
    SELECT count(*) AS tables FROM ${catalogue} WHERE ${column} IN (${NEEDED.map(sqlText).join(", ")})`);
  const { name } = await session.one<{ name: string }>(
    isPostgres
      ? "SELECT current_database() AS name"
      : "SELECT file AS name FROM pragma_database_list WHERE name = 'main'",
  );
  if (tables < NEEDED.length) {
    throw new MigrationError(
      "database-unsupported",
      `database ${name} is not that of a Synapse: it lacks Synapse's tables`,
      {
        hint: "check the database settings; very old Synapses (before 1.37) must be upgraded first",
      },
    );
  }
  const end = `:${serverName}`;
  // synapse/storage/databases/main/__init__.py, check_database_before_upgrade, asks one row of users in the same way.
  const [stranger] = await session.all<{ name: string }>(
    `SELECT name FROM users WHERE substr(name, length(name) - ${end.length - 1}) <> ${sqlText(end)} LIMIT 1`,
  );
  if (stranger) {
    throw new MigrationError(
      "database-unsupported",
      `database ${name} holds users of another server than ${serverName}`,
      {
        hint: "check that configuration and database belong together; a server_name can never be changed",
      },
    );
  }
}
