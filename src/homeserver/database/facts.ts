import type { QuerySession } from "../../system/query.ts";

export interface DatabaseFacts {
  /** server_version_num: 150018. */
  readonly serverVersion: number;
  readonly serverVersionText: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** What sorts text: the C library, the ICU library (from 15 on) or PostgreSQL itself (from 17 on). Only the first goes by `collate`. */
  readonly provider: "libc" | "icu" | "builtin";
  /** The locale of a provider other than libc, such as "en-US"; null for libc. */
  readonly providerLocale: string | null;
  /** Bytes. */
  readonly size: number;
}

/**
 * What PostgreSQL says of itself and of this database. The columns that not every version has are read through JSON, which
 * leaves out what is not there (PostgreSQL documentation, pg_database: `datlocprovider` from 15 on, `daticulocale` became `datlocale` in 17).
 */
export async function databaseFacts(session: QuerySession): Promise<DatabaseFacts> {
  return session.one<DatabaseFacts>(`
    SELECT current_setting('server_version_num')::int AS "serverVersion", current_setting('server_version') AS "serverVersionText",
      pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
      CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END AS provider,
      coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS "providerLocale",
      pg_database_size(oid) AS size
    FROM pg_database d WHERE datname = current_database()`);
}

/** PostgreSQL's major version out of server_version_num. */
export const majorOf = (serverVersion: number) => Math.floor(serverVersion / 10_000);
