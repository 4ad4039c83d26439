import type { ByteTransform } from "../../../pipeline/transform.ts";
import { retainBuffer } from "../../../system/buffers.ts";

/** An object as pg_dump names it in the comment above the statements that create it. */
export interface DumpEntry {
  /** "VIEW", "FUNCTION", … */
  readonly type: string;
  /** "-" where it belongs to none. */
  readonly schema: string;
  /** Not quoted: "slow", "f(integer, text)", "events refuse" for a trigger of a table. */
  readonly tag: string;
  /** As in COMMENT ON, without its type and schema: "slow", "f(a integer, b text)", "refuse ON events". */
  readonly comment: string;
}

/**
 * Leaves entries out of a plain dump, together with the comments on them and the data of a materialized view. pg_dump itself can
 * exclude only tables and, from 14 on, extensions. Rows are passed on as they are: only what stands between them is read as
 * pg_dump writes it (src/bin/pg_dump/pg_backup_archiver.c, `_printTocEntry`).
 */
export function leaveOutEntries(entries: readonly DumpEntry[]): ByteTransform {
  const isLeftOut = leftOutTest(entries);
  return async function* (source) {
    let held: Buffer = Buffer.alloc(0);
    let inRows = false;
    let isDropping = false;
    for await (const chunk of source) {
      held =
        held.length === 0
          ? Buffer.from(retainBuffer(chunk).buffer, chunk.byteOffset, chunk.length)
          : Buffer.concat([held, chunk]);
      const out: Buffer[] = [];
      for (let from = 0; ;) {
        if (inRows) {
          const end = held.indexOf(END_OF_ROWS, from);
          // The end may be cut in two by the end of the chunk.
          const until =
            end === -1 ? Math.max(from, held.length - END_OF_ROWS.length + 1) : end + END_OF_ROWS.length;
          out.push(held.subarray(from, until));
          from = until;
          if (end === -1) {
            held = held.subarray(from);
            break;
          }
          inRows = false;
        }
        const line = lineAt(held, from);
        const next = line?.text === "--" ? lineAt(held, line.end) : undefined;
        if (line === undefined || (line.text === "--" && next === undefined)) {
          held = held.subarray(from);
          break;
        }
        if (next)
          isDropping = startsEntry(next.text)
            ? isLeftOut(next.text)
            : isDropping && !next.text.startsWith(LAST_COMMENT);
        inRows = !isDropping && ROWS_FOLLOW.test(line.text);
        // The line break before the rows is the first character of an end that follows at once.
        const end = inRows ? line.end - 1 : line.end;
        if (!isDropping || KEPT_SETTING.test(line.text)) out.push(held.subarray(from, end));
        from = end;
      }
      for (const piece of out) if (piece.length > 0) yield piece;
    }
    if (held.length > 0 && !isDropping) yield held;
  };
}

const END_OF_ROWS = Buffer.from("\n\\.\n");
const ROWS_FOLLOW = /^COPY .* FROM stdin;$/;
const LAST_COMMENT = "-- PostgreSQL database dump complete";

/** Written before the comment of the next entry, for all that follow. */
const KEPT_SETTING = /^SET default_\w+ = [^;]*;$/;

const NEWLINE = 10;

function lineAt(bytes: Buffer, from: number): { text: string; end: number } | undefined {
  const end = bytes.indexOf(NEWLINE, from);
  if (end === -1) return undefined;
  // Only short lines are looked at: a line of a large object has thousands of characters.
  return { text: bytes.toString("utf8", from, Math.min(end, from + LONGEST)), end: end + 1 };
}

const LONGEST = 4096;

const ENTRY = /^-- (?:[A-Z][a-z]+ for )?Name: (.*); Type: ([A-Z ]+); Schema: (.*?); Owner: /;

const startsEntry = (line: string) => ENTRY.test(line);

function leftOutTest(entries: readonly DumpEntry[]): (line: string) => boolean {
  const keyOf = (schema: string, tag: string) => `${schema}\0${tag.replaceAll(/[\r\n]/g, " ")}`;
  const named = new Map<string, Set<string>>();
  for (const { type, schema, tag } of entries) {
    const key = keyOf(schema, tag);
    named.set(key, new Set([...(named.get(key) ?? []), type, ...(ALSO[type] ?? [])]));
  }
  const comments = entries.flatMap(({ type, schema, comment }) =>
    [type, ...(ALSO[type] ?? [])].map((one) => keyOf(schema, `${one} ${comment}`)),
  );
  const columns = entries.map(({ schema, comment }) => keyOf(schema, `COLUMN ${comment}.`));
  return (line) => {
    const [, tag = "", type = "", schema = ""] = ENTRY.exec(line) ?? [];
    const key = keyOf(schema, tag);
    if (type === "COMMENT") return comments.includes(key) || columns.some((column) => key.startsWith(column));
    return named.get(key)?.has(type) === true;
  };
}

/** Further entries that are made for an object of a type, with its own name. */
const ALSO: Readonly<Record<string, readonly string[]>> = {
  TYPE: ["DOMAIN"],
  "MATERIALIZED VIEW": ["MATERIALIZED VIEW DATA", "STATISTICS DATA"],
  INDEX: ["INDEX ATTACH", "STATISTICS DATA"],
  "FOREIGN TABLE": ["STATISTICS DATA"],
};
