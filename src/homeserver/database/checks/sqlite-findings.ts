import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatBytes } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import type { QuerySession } from "../../../system/query.ts";

/** Bytes up to which a file is read whole without being asked to: some seconds. */
export const FULL_CHECK_LIMIT = 1024 ** 3;

export interface SqliteInspectOptions {
  readonly session: QuerySession;
  readonly path: string;
  readonly deep: boolean;
  /** Whether the server runs: then a -wal file is its own affair. */
  readonly running: boolean;
  readonly bytes: number;
}

export async function sqliteFindings(look: SqliteInspectOptions, files: Files): Promise<Finding[]> {
  return [
    ...(await walFindings(look, files)),
    ...(await autoVacuum(look)),
    ...(look.deep || look.bytes <= FULL_CHECK_LIMIT ? await integrity(look) : [uncheckedFinding(look)]),
    ...(look.deep ? await foreignKeys(look) : []),
  ];
}

async function walFindings({ path, running }: SqliteInspectOptions, files: Files): Promise<Finding[]> {
  const wal = await files.lstat(`${path}-wal`);
  if (running || !wal || wal.size === 0) return [];
  return [
    {
      id: "sqlite-wal",
      level: "note",
      sentence: `${path}-wal holds ${formatBytes(wal.size)} that a killed Synapse did not write to the database file`,
      hint: "it is packed with the database; a copy of the .db file alone would lose it",
    },
  ];
}

/** Matters when the database is ported later: synapse/_scripts/synapse_port_db.py refuses such a database. */
async function autoVacuum({ session, path }: SqliteInspectOptions): Promise<Finding[]> {
  const [row] = await session.all<{ auto_vacuum: number }>("PRAGMA auto_vacuum");
  if (!row?.auto_vacuum) return [];
  return [
    {
      id: "sqlite-auto-vacuum",
      level: "note",
      sentence: `auto_vacuum is on in ${path}, with which synapse_port_db refuses to work`,
      hint: "nothing is to be done for a move to SQLite; a port to PostgreSQL mends it on a copy: --fix auto-vacuum",
    },
  ];
}

/** Whether SQLite finds damage in a file that is small enough to be read whole: a blocker, or nothing. */
export async function sqliteDamage(look: Omit<SqliteInspectOptions, "running">): Promise<Finding[]> {
  if (look.bytes > FULL_CHECK_LIMIT) return [];
  return (await integrity(look)).filter(({ level }) => level !== "ok");
}

async function integrity({
  session,
  path,
  deep,
}: Pick<SqliteInspectOptions, "session" | "path" | "deep">): Promise<Finding[]> {
  const pragma = deep ? "integrity_check" : "quick_check";
  const said = await runPragma(session, `PRAGMA ${pragma}(50)`);
  if (said.length === 1 && said[0] === "ok")
    return [{ id: "sqlite-integrity", level: "ok", sentence: `SQLite finds no damage in ${path}` }];
  return [
    {
      id: "sqlite-integrity",
      level: "blocker",
      sentence: `SQLite finds damage in ${path}`,
      // Names of tables and indexes, numbers of pages and rows; never what stands in a row.
      evidence: said,
      hint: "stop Synapse and keep a copy; REINDEX repairs indexes, `sqlite3 FILE .recover` recovers data from damaged tables",
    },
  ];
}

/** Damage can be such that SQLite cannot even look for it to the end. */
async function runPragma(session: QuerySession, pragma: string): Promise<string[]> {
  const lines: string[] = [];
  try {
    for await (const row of session.rows<Record<string, string>>(pragma)) lines.push(Object.values(row)[0]!);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    lines.push(error.message);
  }
  return lines;
}

const uncheckedFinding = ({ path, bytes }: SqliteInspectOptions): Finding => ({
  id: "sqlite-integrity",
  level: "note",
  sentence: `${path} was not checked for damage: reading ${formatBytes(bytes)} takes a while`,
  hint: "check it with --deep",
});

async function foreignKeys({ session }: SqliteInspectOptions): Promise<Finding[]> {
  const broken = new Map<string, number>();
  for await (const { table, parent } of session.rows<{ table: string; parent: string }>(
    "PRAGMA foreign_key_check",
  )) {
    const key = `${table} refers to rows of ${parent} that are not there`;
    broken.set(key, (broken.get(key) ?? 0) + 1);
  }
  if (broken.size === 0) return [];
  return [
    {
      id: "sqlite-foreign-keys",
      level: "note",
      sentence: "rows refer to others that do not exist, which SQLite allows and PostgreSQL rejects",
      evidence: [...broken].map(([what, count]) => `${what}: ${count} times`),
      hint: "a port to PostgreSQL would fail on these rows, and deletes them from a copy with --fix orphans",
    },
  ];
}
