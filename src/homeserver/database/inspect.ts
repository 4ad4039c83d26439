import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import { sqlText, type PostgresSession } from "../../system/postgres.ts";

export interface DatabaseFacts {
  /** server_version_num: 150018. */
  readonly serverVersion: number;
  readonly serverVersionText: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** Bytes. */
  readonly size: number;
}

/** What PostgreSQL says of itself and of this database. */
export async function databaseFacts(session: PostgresSession): Promise<DatabaseFacts> {
  return session.one<DatabaseFacts>(`
    SELECT current_setting('server_version_num')::int AS "serverVersion", current_setting('server_version') AS "serverVersionText",
      pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
      pg_database_size(oid) AS size
    FROM pg_database WHERE datname = current_database()`);
}

/** PostgreSQL's major version out of server_version_num. */
export const majorOf = (serverVersion: number) => Math.floor(serverVersion / 10_000);

/** Throws `database-unsupported` when this is not the database of that homeserver. */
export async function mustBeSynapse(session: PostgresSession, serverName: string): Promise<void> {
  const { tables } = await session.one<{ tables: number }>(`
    SELECT count(*) AS tables FROM pg_tables
    WHERE tablename IN ('schema_version', 'schema_compat_version', 'users', 'events', 'local_media_repository', 'e2e_one_time_keys_json')`);
  const { name } = await session.one<{ name: string }>("SELECT current_database() AS name");
  if (tables < 6) {
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

/** Who else is connected: a server that is down is connected to nothing. */
export async function connections(session: PostgresSession): Promise<Finding[]> {
  const others = await session.all<{ who: string; count: number }>(`
    SELECT usename || CASE WHEN application_name <> '' THEN ' (' || application_name || ')' ELSE '' END AS who, count(*) AS count
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND application_name NOT IN ('pg_dump', 'synlift')
    GROUP BY 1 ORDER BY 1`);
  if (others.length === 0) return [];
  return [
    {
      id: "database-in-use",
      level: "blocker",
      sentence: "somebody is still connected to the homeserver's database",
      evidence: others.map(
        ({ who, count }) => `${who}: ${count} ${count === 1 ? "connection" : "connections"}`,
      ),
      hint: "stop Synapse, its workers and whatever else uses the database",
    },
  ];
}
