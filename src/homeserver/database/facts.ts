import type { QuerySession } from "../../system/query.ts";

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
export async function databaseFacts(session: QuerySession): Promise<DatabaseFacts> {
  return session.one<DatabaseFacts>(`
    SELECT current_setting('server_version_num')::int AS "serverVersion", current_setting('server_version') AS "serverVersionText",
      pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
      pg_database_size(oid) AS size
    FROM pg_database WHERE datname = current_database()`);
}

/** PostgreSQL's major version out of server_version_num. */
export const majorOf = (serverVersion: number) => Math.floor(serverVersion / 10_000);
