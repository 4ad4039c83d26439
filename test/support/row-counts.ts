import type { PostgresCluster } from "./lab/postgres-cluster.ts";

/** Rows of every table, counted by psql, without any code of the product. */
export async function rowCounts(
  cluster: PostgresCluster,
  database: string,
): Promise<ReadonlyMap<string, number>> {
  const names = await cluster.sql(
    database,
    "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in ('pg_catalog', 'information_schema') order by 1",
  );
  const counts = names.split("\n").map((name) => `select '${name}', count(*) from ${name}`);
  const rows = await cluster.sql(database, counts.join(" union all "));
  return new Map(
    rows
      .split("\n")
      .map((row) => row.split("\t"))
      .map(([name, count]): [string, number] => [name!, Number(count)])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
