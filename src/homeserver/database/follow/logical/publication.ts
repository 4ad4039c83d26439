import { MigrationError } from "../../../../errors.ts";
import { type PostgresSession, quoteIdentifier, quoteLiteral } from "../../../../system/postgres/postgres.ts";
import type { QuerySession } from "../../../../system/query.ts";
import { keyOf, planPublication, quoteTable, type TableName, withoutIdentity } from "./tables.ts";

/**
 * Publishes the tables of the plan that the catalogue gives now, in one statement. A published table without a replica identity
 * refuses every UPDATE and DELETE at once, and people's messages with them: so `setIdentities` comes first, and this throws
 * `program-failed` where a table has none yet. An explicit list, as FOR ALL TABLES would publish the helper tables of a background
 * update the moment they are made. Needs a session that writes, of a superuser or of the tables' owner. Does nothing where the publication is there with these tables. One with others is replaced, unless the slot exists:
 * a subscriber would silently pass over the changes of tables that it does not know. Throws `database-unsupported` then.
 */
export async function createPublication(
  session: PostgresSession,
  { name, slot }: { readonly name: string; readonly slot: string },
): Promise<void> {
  const plan = await planPublication(session);
  const without = withoutIdentity(plan);
  if (without.length > 0)
    throw new MigrationError(
      "program-failed",
      `${without.length === 1 ? "a table has" : `${without.length} tables have`} no replica identity, and cannot be published without harm: ${without.slice(0, 3).map(keyOf).join(", ")}`,
      { hint: "a table was made or an index dropped just now: run the same command again" },
    );
  const published = await publishedTables(session, name);
  const wanted = plan.tables.map(keyOf).sort();
  if (published && published.map(keyOf).sort().join("\n") === wanted.join("\n")) return;
  if (published && (await hasSlot(session, slot)))
    throw new MigrationError(
      "database-unsupported",
      "tables were made or dropped in the old database since the copy was begun, which logical replication does not carry",
      { hint: "undo what was begun, then begin again: synlift follow stop" },
    );
  const quoted = quoteIdentifier(name);
  await session.run(
    `DROP PUBLICATION IF EXISTS ${quoted};\nCREATE PUBLICATION ${quoted} FOR TABLE ${plan.tables.map((table) => `ONLY ${quoteTable(table)}`).join(", ")};`,
  );
}

const hasSlot = async (session: QuerySession, slot: string) =>
  (
    await session.one<{ there: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(slot)}) AS there`,
    )
  ).there;

/** May be repeated. Needs a session that writes, of the publication's owner or a superuser. */
export const dropPublication = (session: PostgresSession, name: string): Promise<void> =>
  session.run(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)};`);

/** The tables of a publication, in order; undefined where there is no such publication. */
export async function publishedTables(session: QuerySession, name: string): Promise<TableName[] | undefined> {
  const { there } = await session.one<{ there: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = ${quoteLiteral(name)}) AS there`,
  );
  if (!there) return undefined;
  return session.all<TableName>(
    `SELECT schemaname AS schema, tablename AS name FROM pg_publication_tables WHERE pubname = ${quoteLiteral(name)} ORDER BY 1, 2`,
  );
}
