import type { Finding } from "../../report/finding.ts";
import { type QuerySession, quoteLiteral } from "../../system/query.ts";
import { describeStore, type Store, TELLING_TABLES } from "./store.ts";

/**
 * A condition for a query with `pg_namespace n`: user schemas, not PostgreSQL's own. PostgreSQL reserves all names that begin with
 * "pg_" to itself (PostgreSQL documentation, "The System Catalog Schema"); beside its catalogue those are of temporary tables and of TOAST.
 */
export const USER_SCHEMAS =
  "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'";
/** `setSearchPathSql` in fill/search-path.ts sets the search_path for Synapse's tables. Tables of other programs are moved too. */
export async function otherSchemas(session: QuerySession, store: Store = "main"): Promise<Finding[]> {
  const telling = TELLING_TABLES[store];
  const found = await session.all<{ schema: string; tables: number; own: boolean }>(`
    SELECT n.nspname AS schema, count(*) AS tables,
      count(*) FILTER (WHERE c.relname IN (${telling.map(quoteLiteral).join(", ")})) = ${telling.length} AS own
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND ${USER_SCHEMAS} AND n.nspname <> 'public'
    GROUP BY 1 ORDER BY 1`);
  const listed = (some: typeof found) =>
    some.map(({ schema, tables }) => `${schema}: ${tables} ${tables === 1 ? "table" : "tables"}`);
  const [own, others] = [found.filter((one) => one.own), found.filter((one) => !one.own)];
  return [
    ...(own.length === 0
      ? []
      : [
          {
            id: "schema-not-public",
            level: "note" as const,
            sentence: `${describeStore(store)} has the server's tables outside the schema public`,
            evidence: listed(own),
            hint: "restore sets the search_path of the new database's user, in that database; no action is needed",
          },
        ]),
    ...(others.length === 0
      ? []
      : [
          {
            id: "schemas-other",
            level: "warning" as const,
            sentence: `${describeStore(store)} has tables outside the schema public`,
            evidence: listed(others),
            hint: "they are included in the dump: drop them if they are not needed",
          },
        ]),
  ];
}
