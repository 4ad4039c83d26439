import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import { quoteIdentifier, type QuerySession } from "../../../system/query.ts";
import { creatorOf } from "../checks/known-tables.ts";
import { listTables } from "../count.ts";
import { PORT_FIXES, type PortFix } from "../fixes.ts";
import { EVENT_SEARCH, reasonNotCompared } from "./tables.ts";

/** What would keep a database of SQLite from arriving whole on PostgreSQL. */
export interface PortFault {
  /** Undefined where only a repaired database helps. */
  readonly fix: PortFix | undefined;
  readonly finding: Finding;
}

/** Finds everything that keeps the script from working, or that it would lose. Reads every row once; changes nothing. */
export async function inspectForPort(session: QuerySession): Promise<PortFault[]> {
  const damage = await integrity(session);
  // What a damaged file says about its rows means nothing.
  if (damage.length > 0) return damage;
  return [
    ...(await autoVacuum(session)),
    ...(await pendingUpdates(session)),
    ...(await orphans(session)),
    ...(await nulBytes(session)),
    ...(await unknownTables(session)),
  ];
}

function fault(
  fix: PortFix,
  { id, sentence, evidence }: Pick<Finding, "id" | "sentence" | "evidence">,
): PortFault {
  const hint = `--fix ${fix} does this on a copy: ${PORT_FIXES[fix]}; the file of the server is not changed`;
  return { fix, finding: { id, level: "blocker", sentence, evidence: evidence ?? [], hint } };
}

async function integrity(session: QuerySession): Promise<PortFault[]> {
  const said = (await session.all<Record<string, string>>("PRAGMA quick_check(20)")).flatMap(Object.values);
  if (said.join() === "ok") return [];
  return [
    {
      fix: undefined,
      finding: {
        id: "port-damage",
        level: "blocker",
        sentence: "SQLite finds damage in the database: what cannot be read could not be copied",
        evidence: said,
        hint: "restore it from a backup, or repair it with Synapse stopped: sqlite3 homeserver.db .recover | sqlite3 repaired.db; check the disk first",
      },
    },
  ];
}

/** The script goes by row numbers, and refuses such a file. */
async function autoVacuum(session: QuerySession): Promise<PortFault[]> {
  const [row] = await session.all<{ auto_vacuum: number }>("PRAGMA auto_vacuum");
  if (!row?.auto_vacuum) return [];
  const sentence = "auto_vacuum is on in the database, with which synapse_port_db refuses to work";
  return [fault("auto-vacuum", { id: "port-auto-vacuum", sentence })];
}

/** The script refuses to work while there are any. */
async function pendingUpdates(session: QuerySession): Promise<PortFault[]> {
  const pending = await session.all<{ name: string }>(
    "SELECT update_name AS name FROM background_updates ORDER BY ordering, 1",
  );
  if (pending.length === 0) return [];
  const one = pending.length === 1;
  return [
    fault("pending-updates", {
      id: "port-pending-updates",
      sentence: `${pending.length} background ${one ? "update is" : "updates are"} pending: synapse_port_db copies nothing until ${one ? "it is" : "they are"} finished`,
      evidence: pending.map(({ name }) => name),
    }),
  ];
}

/** A row whose foreign key refers to nothing. */
export interface Orphan {
  readonly table: string;
  readonly rowid: number;
  readonly parent: string;
}

/** SQLite accepts such rows, PostgreSQL does not. Those of tables that are not copied do not matter. */
export async function findOrphans(session: QuerySession): Promise<Orphan[]> {
  const found = await session.all<{ table: string; rowid: number | null; parent: string }>(
    'SELECT "table", rowid, parent FROM pragma_foreign_key_check',
  );
  return found.flatMap(({ table, rowid, parent }) =>
    rowid === null || reasonNotCompared(table) !== undefined ? [] : [{ table, rowid, parent }],
  );
}

async function orphans(session: QuerySession): Promise<PortFault[]> {
  const found = await findOrphans(session);
  if (found.length === 0) return [];
  const kinds = Map.groupBy(found, ({ table, parent }) => `${table}: the row of ${parent} is missing`);
  return [
    fault("orphans", {
      id: "port-orphans",
      sentence: `${formatCount(found.length)} ${found.length === 1 ? "row refers" : "rows refer"} to rows that do not exist: PostgreSQL refuses ${found.length === 1 ? "it" : "them"}`,
      evidence: [...kinds].map(([kind, rows]) => `${kind}, ${formatCount(rows.length)}`),
    }),
  ];
}

/** A column of a table with texts that contain a NUL character. */
export interface NulColumn {
  readonly table: string;
  readonly column: string;
  readonly rows: number;
}

/** Texts of PostgreSQL cannot contain it, and the script leaves such rows out. */
export async function findNulBytes(session: QuerySession): Promise<NulColumn[]> {
  const found: NulColumn[] = [];
  const tables = (await listTables(session)).map(({ name }) => name);
  for (const table of [...tables, EVENT_SEARCH]) {
    if (reasonNotCompared(table) !== undefined) continue;
    const columns = await session.all<{ name: string; type: string }>(
      `SELECT name, type FROM pragma_table_info('${table.replaceAll("'", "''")}')`,
    );
    // SQLite keeps a text in a column of any type, but these only ever get numbers.
    const names = columns.filter(({ type }) => !/INT|BOOL/i.test(type)).map(({ name }) => name);
    if (names.length === 0) continue;
    const counts = names.map(
      (name, at) => `sum(${hasNul(quoteIdentifier(name))}) AS ${quoteIdentifier(`n${at}`)}`,
    );
    const sums = await session.one<Record<string, number | null>>(
      `SELECT ${counts.join(", ")} FROM ${quoteIdentifier(table)}`,
    );
    for (const [at, column] of names.entries()) {
      const rows = sums[`n${at}`] ?? 0;
      if (rows > 0) found.push({ table, column, rows });
    }
  }
  return found;
}

export const hasNul = (column: string) => `(typeof(${column}) = 'text' AND instr(${column}, char(0)) > 0)`;

async function nulBytes(session: QuerySession): Promise<PortFault[]> {
  const found = await findNulBytes(session);
  if (found.length === 0) return [];
  return [
    fault("nul-bytes", {
      id: "port-nul-bytes",
      sentence: "texts in the database contain NUL characters: synapse_port_db would leave these rows out",
      evidence: found.map(({ table, column, rows }) => `${table}.${column}: ${formatCount(rows)} rows`),
    }),
  ];
}

/** Rows of a table that the new database does not have are not copied. */
async function unknownTables(session: QuerySession): Promise<PortFault[]> {
  const filled: string[] = [];
  for (const { name } of await listTables(session)) {
    if (creatorOf(name) === "synapse" || reasonNotCompared(name) !== undefined) continue;
    const { count } = await session.one<{ count: number }>(
      `SELECT count(*) AS count FROM ${quoteIdentifier(name)}`,
    );
    if (count > 0) filled.push(`${name}: ${formatCount(count)} rows`);
  }
  if (filled.length === 0) return [];
  return [
    fault("unknown-tables", {
      id: "port-unknown-tables",
      sentence:
        filled.length === 1
          ? "a table is not Synapse's: its rows are not copied"
          : `${filled.length} tables are not Synapse's: their rows are not copied`,
      evidence: filled,
    }),
  ];
}
