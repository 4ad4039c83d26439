import { isUtf8 } from "node:buffer";
import { MigrationError, reasonOf } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import type { PostgresAddress, PostgresSession } from "../../../system/postgres/postgres.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import type { Progress } from "../../../system/progress.ts";
import { USER_SCHEMAS } from "../user-schemas.ts";
import { copyOut } from "./copy.ts";

interface Table {
  readonly name: string;
  readonly bytes: number;
}

/**
 * Reads every row of every table, as a dump would, and reports those that a UTF-8 database would reject or that cannot be
 * read at all. `bytes` of the progress are those on disk.
 */
export async function unreadableText(
  session: PostgresSession,
  { address, encoding, programs }: { address: PostgresAddress; encoding: string; programs: Programs },
  progress: Progress,
): Promise<{ findings: Finding[]; broken: readonly string[] }> {
  const tables = await session.all<Table>(`
    SELECT c.oid::regclass::text AS name, pg_table_size(c.oid) AS bytes FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND ${USER_SCHEMAS}
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
  const reasons: string[] = [];
  for (let next = 0; next < tables.length;) {
    const left = tables.slice(next);
    let at = 0;
    try {
      let count = { rows: 0, first: "" };
      const queries = left.map(({ name }) => `SELECT ctid, * FROM ONLY ${name}`);
      for await (const { lines, last } of copyOut(queries, { address, encoding }, programs)) {
        countInvalidRows(lines, count);
        if (!last) continue;
        const { name, bytes } = left[at]!;
        if (count.rows > 0) refused.push(describe(name, count));
        progress.advance(id, bytes);
        count = { rows: 0, first: "" };
        at += 1;
      }
      next = tables.length;
    } catch (error) {
      // Beyond the last table it is not a table that failed.
      if (!(error instanceof MigrationError && error.code === "program-failed") || at >= left.length)
        throw error;
      broken.push(left[at]!.name);
      reasons.push(`${left[at]!.name}: ${reasonOf(error, "sqlstate")?.message ?? error.message}`);
      next += at + 1;
    }
  }
  progress.end(id);
  const fine = refused.length + broken.length === 0 ? [FINE] : [];
  return { findings: [...refusedFinding(refused), ...brokenFinding(reasons), ...fine], broken };
}

const describe = (name: string, { rows, first }: { rows: number; first: string }) =>
  `${name}: ${formatCount(rows)} ${rows === 1 ? "row" : "rows"}, the first at ctid ${first}`;

const FINE: Finding = {
  id: "database-text",
  level: "ok",
  sentence: "every row can be read and is valid UTF-8",
};

function refusedFinding(evidence: readonly string[]): Finding[] {
  if (evidence.length === 0) return [];
  return [
    {
      id: "database-text",
      level: "blocker",
      sentence: "the database holds rows that are not valid UTF-8: a restore would fail on them",
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
      sentence: "tables cannot be read completely: a dump would fail on them",
      evidence,
      hint: "check PostgreSQL's log and the disk; restore the damaged table from a backup",
    },
  ];
}

const NEWLINE = 10;

function countInvalidRows(block: Uint8Array, count: { rows: number; first: string }): void {
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
