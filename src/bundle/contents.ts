import { MigrationError } from "../errors.ts";
import { mustEndTar, wholeTar } from "../pipeline/tar.ts";
import type { Stage } from "../pipeline/stage.ts";
import type { Artifact } from "./manifest.ts";

/** What pg_dump writes last. The `\unrestrict` line of newer ones comes after it. */
const DUMP_END = "-- PostgreSQL database dump complete";

/** The last bytes among which an artifact's end is looked for. */
export const TAIL = 1024;

const DUMP_TAIL = 400;

/** Passes a plain SQL dump on and throws `bundle-damaged` when pg_dump did not get to its last line. */
export const wholeDump: Stage = async function* (source) {
  let tail: Uint8Array = new Uint8Array();
  for await (const chunk of source) {
    tail =
      chunk.length >= DUMP_TAIL
        ? chunk.subarray(-DUMP_TAIL)
        : Buffer.concat([tail, chunk]).subarray(-DUMP_TAIL);
    yield chunk;
  }
  mustEndDump(tail);
};

function mustEndDump(tail: Uint8Array): void {
  if (Buffer.from(tail.subarray(-DUMP_TAIL)).includes(DUMP_END)) return;
  throw new MigrationError("bundle-damaged", "the database dump ends too early: its last line is missing");
}

/** The stage that looks whether what an artifact holds is whole. */
export const wholeContents = (format: Artifact["format"]): Stage => (format === "sql" ? wholeDump : wholeTar);

/** The same, given the size and the last `TAIL` bytes of what it holds. Throws `bundle-damaged`. */
export function mustBeWhole(
  format: Artifact["format"],
  { size, tail }: { size: number; tail: Uint8Array },
): void {
  if (format === "sql") mustEndDump(tail);
  else mustEndTar(size, tail);
}
