import type { Machine } from "../../../system/machine.ts";
import type { PostgresAddress } from "../../../system/postgres/postgres.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import { quoteIdentifier } from "../../../system/query.ts";
import { copyOut } from "./copy.ts";
import type { TableSize } from "./sizes.ts";

/** A sample of what a dump would contain, read as a dump reads it, and the estimate for the whole. */
export interface DumpSample {
  /** Some of the rows, as text: at most `KEPT` bytes. */
  readonly text: readonly Uint8Array[];
  /** Bytes of text that the whole dump will have, about. */
  readonly dumpBytes: number;
  /** The same, for each table. */
  readonly byTable: ReadonlyMap<string, number>;
  /** Bytes of text per second that the database gives out. */
  readonly bytesPerSecond: number;
}

/** Bytes of a table that are read of it, on its pages. */
const PER_TABLE = 4 * 1024 * 1024;
/** Tables that are sampled: the largest have nearly all there is. */
const TABLES = 6;
const KEPT = 8 * 1024 * 1024;
/** Text per byte on disk, where nothing could be sampled. Rows of small numbers shrink in text, compressed values grow. */
const USUAL_RATIO = 0.7;

/** Reads random pages of the largest tables, in a second or two however large they are. Undefined when there is nothing to read. */
export async function sampleDump(
  tables: readonly TableSize[],
  from: { address: PostgresAddress; encoding: string },
  { programs, machine }: { programs: Programs; machine: Machine },
): Promise<DumpSample | undefined> {
  const sampled = tables
    .toSorted((a, b) => b.dataBytes - a.dataBytes)
    .slice(0, TABLES)
    .filter(({ dataBytes }) => dataBytes > 0);
  if (sampled.length === 0) return undefined;
  const shares = sampled.map(({ dataBytes }) => Math.min(1, PER_TABLE / dataBytes));
  const text: Uint8Array[] = [];
  const seen = sampled.map(() => 0);
  let kept = 0;
  let began: number | undefined;
  const queries = sampled.map(({ name }, index) => queryOf(name, shares[index]!));
  for await (const { query, lines } of copyOut(queries, from, programs)) {
    // Connecting is not what is measured.
    began ??= machine.elapsed();
    seen[query]! += lines.length;
    if (kept + lines.length <= KEPT) text.push(Uint8Array.from(lines));
    kept += lines.length;
  }
  const seconds = Math.max(0.001, (machine.elapsed() - (began ?? machine.elapsed())) / 1000);
  const read = sampled.reduce((sum, { dataBytes }, index) => sum + dataBytes * shares[index]!, 0);
  const ratio = kept > 0 && read > 0 ? kept / read : USUAL_RATIO;
  const byTable = new Map(
    tables.map((table) => {
      const index = sampled.indexOf(table);
      return [table.name, index === -1 ? table.dataBytes * ratio : seen[index]! / shares[index]!];
    }),
  );
  const dumpBytes = [...byTable.values()].reduce((sum, bytes) => sum + bytes, 0);
  return { text, dumpBytes, byTable, bytesPerSecond: kept / seconds };
}

/** PostgreSQL documentation, SELECT, TABLESAMPLE: whole pages by chance, in percent. */
function queryOf(table: string, share: number): string {
  const name = table.split(".").map(quoteIdentifier).join(".");
  const sample = share >= 1 ? "" : ` TABLESAMPLE SYSTEM (${(share * 100).toFixed(6)})`;
  return `SELECT ctid, * FROM ${name}${sample}`;
}
