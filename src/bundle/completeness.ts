import { MigrationError } from "../errors.ts";
import { assertTarEnd, checkTarEnd } from "../pipeline/tar.ts";
import type { ByteTransform } from "../pipeline/transform.ts";
import { DumpArchive } from "../system/formats/dump-archive.ts";
import type { Artifact } from "./manifest.ts";

/** The last comment that pg_dump writes. Newer versions write a `\unrestrict` line after it. */
const DUMP_END = "-- PostgreSQL database dump complete";

/** How many of the last bytes of the content are searched for its end marker. */
export const TAIL_BYTES = 1024;

const DUMP_TAIL = 400;

/** Passes a plain SQL dump on and throws `bundle-damaged` when pg_dump's last line is missing. */
const checkDumpEnd: ByteTransform = async function* (source) {
  let tail: Uint8Array = new Uint8Array();
  for await (const chunk of source) {
    tail =
      chunk.length >= DUMP_TAIL
        ? Uint8Array.from(chunk.subarray(-DUMP_TAIL))
        : Buffer.concat([tail, chunk]).subarray(-DUMP_TAIL);
    yield chunk;
  }
  assertDumpEnd(tail);
};

function assertDumpEnd(tail: Uint8Array): void {
  if (Buffer.from(tail.subarray(-DUMP_TAIL)).includes(DUMP_END)) return;
  throw new MigrationError("bundle-damaged", "the database dump is incomplete: its last line is missing");
}

/** Passes a dump in pg_dump's custom format on and throws `bundle-damaged` when it is incomplete. */
const checkArchive: ByteTransform = async function* (source) {
  const archive = new DumpArchive();
  for await (const chunk of source) {
    archive.add(chunk);
    yield chunk;
  }
  assertNoDefect(archive.findDefect());
};

function assertNoDefect(flaw: string | undefined): void {
  if (flaw !== undefined)
    throw new MigrationError("bundle-damaged", `the database dump is not a complete archive: ${flaw}`);
}

const WHOLE = { sql: checkDumpEnd, tar: checkTarEnd, "pg-custom": checkArchive } as const;

/** The transformation that verifies that the content of an artifact is complete. */
export const completenessCheck = (format: Artifact["format"]): ByteTransform => WHOLE[format];

/**
 * Throws `bundle-damaged` for incomplete content, given its size and its last `TAIL_BYTES` bytes and, for a dump in pg_dump's
 * custom format, its defect (see `DumpArchive`).
 */
export function assertComplete(
  format: Artifact["format"],
  { size, tail, flaw }: { size: number; tail: Uint8Array; flaw?: string | undefined },
): void {
  if (format === "sql") assertDumpEnd(tail);
  else if (format === "tar") assertTarEnd(size, tail);
  else assertNoDefect(flaw);
}
