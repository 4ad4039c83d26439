import { MigrationError } from "../../errors.ts";
import { sqlText, type PostgresSession } from "../../system/postgres.ts";
import { NEEDED } from "./whose.ts";

/** Throws `database-unsupported` when this is not the database of that homeserver. */
export async function mustBeSynapse(session: PostgresSession, serverName: string): Promise<void> {
  const { tables } = await session.one<{ tables: number }>(`
    SELECT count(*) AS tables FROM pg_tables
    WHERE tablename IN (${NEEDED.map(sqlText).join(", ")})`);
  const { name } = await session.one<{ name: string }>("SELECT current_database() AS name");
  if (tables < NEEDED.length) {
    throw new MigrationError(
      "database-unsupported",
      `database ${name} is not that of a Synapse: it lacks Synapse's tables`,
      {
        hint: "check the database settings; very old Synapses (before 1.37) must be upgraded first",
      },
    );
  }
  // synapse/storage/databases/main/__init__.py, check_database_before_upgrade, asks one row of users in the same way.
  const [stranger] = await session.all<{ name: string }>(
    `SELECT name FROM users WHERE right(name, length(${sqlText(serverName)}) + 1) <> ':' || ${sqlText(serverName)} LIMIT 1`,
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
