import { isUtf8 } from "node:buffer";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import { formatCount } from "../../report/units.ts";
import { postgresCall, reasonIn, type PostgresAddress, type PostgresSession } from "../../system/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { Call, Programs } from "../../system/programs.ts";

interface Table {
  readonly name: string;
  readonly bytes: number;
}

/**
 * Reads every row of every table, as a dump would, and tells those that a UTF-8 database would refuse or that cannot be
 * read at all. `bytes` of the progress are those on disk.
 */
export async function unreadableText(
  session: PostgresSession,
  { address, encoding, programs }: { address: PostgresAddress; encoding: string; programs: Programs },
  progress: Progress,
): Promise<Finding[]> {
  const tables = await session.all<Table>(`
    SELECT c.oid::regclass::text AS name, pg_table_size(c.oid) AS bytes FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
      AND has_table_privilege(c.oid, 'SELECT') ORDER BY 2, 1`);
  const id = "plan/rows";
  progress.begin({
    id,
    label: "every row",
    unit: "bytes",
    total: tables.reduce((sum, { bytes }) => sum + bytes, 0),
  });
  const refused: string[] = [];
  const broken: string[] = [];
  for (let next = 0; next < tables.length;) {
    const left = tables.slice(next);
    let at = -1;
    try {
      for await (const { table, rows, first } of badRows(programs.through(copyOf(left, address, encoding)))) {
        if (at >= 0) progress.advance(id, left[at]!.bytes);
        at = table;
        if (rows > 0)
          refused.push(
            `${left[at]!.name}: ${formatCount(rows)} ${rows === 1 ? "row" : "rows"}, the first at ctid ${first}`,
          );
      }
      next = tables.length;
    } catch (error) {
      if (!(error instanceof MigrationError && error.code === "program-failed")) throw error;
      // It stopped in the table after the last one that came to its end.
      at += 1;
      if (at >= left.length) throw error;
      broken.push(`${left[at]!.name}: ${reasonIn(error.message)}`);
      next += at + 1;
    }
  }
  progress.end(id);
  return [
    ...refusedFinding(refused),
    ...brokenFinding(broken),
    ...(refused.length + broken.length === 0 ? [FINE] : []),
  ];
}

/** One psql for all of them: a connection for each small table would take longer than reading it. */
function copyOf(tables: readonly Table[], address: PostgresAddress, encoding: string): Call {
  const commands = tables.flatMap(({ name }) => [
    `--command=COPY (SELECT ctid, * FROM ONLY ${name}) TO STDOUT`,
    `--command=\\echo ${MARK}`,
  ]);
  const quiet = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"];
  const call = postgresCall("psql", address, [...quiet, ...commands]);
  // A server that knows no encoding must not be asked to convert; any other converts, as pg_dump --encoding=UTF8 does.
  const PGCLIENTENCODING = encoding === "SQL_ASCII" ? "SQL_ASCII" : "UTF8";
  return { ...call, env: { ...call.env, PGCLIENTENCODING, PGOPTIONS: READ_ONLY } };
}

/** Ends a table. No row looks like this, as each begins with where it lies: "(0,1)". */
const MARK = "synlift-end-of-table";

const READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout=0";

const FINE: Finding = {
  id: "database-text",
  level: "ok",
  sentence: "every row can be read, and is text that a UTF-8 database takes",
};

function refusedFinding(evidence: readonly string[]): Finding[] {
  if (evidence.length === 0) return [];
  return [
    {
      id: "database-text",
      level: "blocker",
      sentence: "the database holds rows that a UTF-8 database refuses: a restore would stop at them",
      evidence,
      hint: "look at these rows (SELECT … WHERE ctid = …) and correct or remove them before the export",
    },
  ];
}

function brokenFinding(evidence: readonly string[]): Finding[] {
  if (evidence.length === 0) return [];
  return [
    {
      id: "tables-broken",
      level: "blocker",
      sentence: "tables cannot be read to their end: a dump would fail at them",
      evidence,
      hint: "look at PostgreSQL's log and at the disk; restore the damaged table from a backup",
    },
  ];
}

interface Counted {
  /** Its position among those that were asked for. */
  readonly table: number;
  readonly rows: number;
  /** Where the first of them lies. */
  readonly first: string;
}

const NEWLINE = 10;
const MARK_LINE = Buffer.from(`${MARK}\n`);

/** For each table that came to its end: how many of its lines are no UTF-8. */
async function* badRows(source: AsyncIterable<Uint8Array>): AsyncIterable<Counted> {
  let table = 0;
  let count = { rows: 0, first: "" };
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    const block = Buffer.concat([rest, chunk.subarray(0, end)]);
    rest = Buffer.from(chunk.subarray(end));
    if (end === 0) {
      rest = Buffer.concat([block, rest]);
      continue;
    }
    let from = 0;
    for (let mark = endOfTable(block, from); mark !== -1; mark = endOfTable(block, from)) {
      lookAt(block.subarray(from, mark), count);
      yield { table, ...count };
      table += 1;
      count = { rows: 0, first: "" };
      from = mark + MARK_LINE.length;
    }
    lookAt(block.subarray(from), count);
  }
}

function endOfTable(block: Buffer, from: number): number {
  const found = block.indexOf(MARK_LINE, from);
  return found === -1 || found === from || block[found - 1] === NEWLINE
    ? found
    : endOfTable(block, found + 1);
}

function lookAt(block: Uint8Array, count: { rows: number; first: string }): void {
  if (isUtf8(block)) return;
  for (let from = 0; from < block.length;) {
    const end = block.indexOf(NEWLINE, from);
    const line = block.subarray(from, end === -1 ? block.length : end);
    if (!isUtf8(line)) {
      count.rows += 1;
      count.first ||= Buffer.from(line.subarray(0, 40)).toString("latin1").split("\t")[0]!;
    }
    from += line.length + 1;
  }
}
