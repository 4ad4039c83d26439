import type { Postgres, PostgresAddress } from "../../../system/postgres/postgres.ts";
import { type Store, TELLING_TABLES } from "../store.ts";
import { USER_SCHEMAS } from "../user-schemas.ts";

/**
 * Statements for psql after the dump, in its transaction: where the tables are in a schema outside of this user's
 * search_path, it is set to that schema and public, in this database only; the server finds its tables by unqualified names. A dump
 * does not contain it, as it is a setting of the role. Changes nothing where they are found, or where several schemas have them.
 */
export function setSearchPathSql(store: Store): string {
  const telling = TELLING_TABLES[store];
  return `RESET search_path;
SELECT format('ALTER ROLE %I IN DATABASE %I SET search_path TO %I, public', session_user, current_database(), schema),
  format('SET search_path TO %I, public', schema)
FROM (SELECT min(nspname) AS schema FROM (
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relname IN ('${telling.join("', '")}') AND ${USER_SCHEMAS} GROUP BY 1 HAVING count(*) = ${telling.length}
  ) whole HAVING count(*) = 1) found
WHERE to_regclass('${telling[1]}') IS NULL \\gexec
`;
}

/** The search_path that this user has in this database alone; undefined for that of all databases. */
export async function ownSearchPath(
  address: PostgresAddress,
  postgres: Postgres,
): Promise<string | undefined> {
  const session = await postgres.connect(address);
  try {
    const [found] = await session.all<{ path: string }>(`
      SELECT substr(setting, length('search_path=') + 1) AS path
      FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
        JOIN pg_roles r ON r.oid = s.setrole AND r.rolname = session_user, unnest(s.setconfig) AS setting
      WHERE setting LIKE 'search\\_path=%'`);
    return found?.path;
  } finally {
    await session.close();
  }
}
