import { MigrationError } from "../errors.ts";
import type { Stage } from "../pipeline/stage.ts";
import { mustEndTar, wholeTar } from "../pipeline/tar.ts";
import { DumpArchive } from "../system/formats/dump-archive.ts";
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
        ? Uint8Array.from(chunk.subarray(-DUMP_TAIL))
        : Buffer.concat([tail, chunk]).subarray(-DUMP_TAIL);
    yield chunk;
  }
  mustEndDump(tail);
};

function mustEndDump(tail: Uint8Array): void {
  if (Buffer.from(tail.subarray(-DUMP_TAIL)).includes(DUMP_END)) return;
  throw new MigrationError("bundle-damaged", "the database dump ends too early: its last line is missing");
}

/** Passes a dump in PostgreSQL's own format on and throws `bundle-damaged` when it is no whole one. */
const wholeArchive: Stage = async function* (source) {
  const archive = new DumpArchive();
  for await (const chunk of source) {
    archive.add(chunk);
    yield chunk;
  }
  mustBeFlawless(archive.flaw());
};

function mustBeFlawless(flaw: string | undefined): void {
  if (flaw !== undefined)
    throw new MigrationError("bundle-damaged", `the database dump is no whole archive: ${flaw}`);
}

const WHOLE = { sql: wholeDump, tar: wholeTar, "pg-custom": wholeArchive } as const;

/** The stage that looks whether what an artifact holds is whole. */
export const wholeContents = (format: Artifact["format"]): Stage => WHOLE[format];

/**
 * The same, given the size and the last `TAIL` bytes of what it holds and, of a dump in PostgreSQL's own format, its
 * flaw (see `DumpArchive`). Throws `bundle-damaged`.
 */
export function mustBeWhole(
  format: Artifact["format"],
  { size, tail, flaw }: { size: number; tail: Uint8Array; flaw?: string | undefined },
): void {
  if (format === "sql") mustEndDump(tail);
  else if (format === "tar") mustEndTar(size, tail);
  else mustBeFlawless(flaw);
}
