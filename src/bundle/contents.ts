import { MigrationError } from "../errors.ts";
import { wholeTar } from "../pipeline/tar.ts";
import type { Stage } from "../pipeline/stage.ts";
import type { Artifact } from "./manifest.ts";

/** What pg_dump writes last. The `\unrestrict` line of newer ones comes after it. */
const DUMP_END = "-- PostgreSQL database dump complete";

/** Passes a plain SQL dump on and throws `bundle-damaged` when pg_dump did not get to its last line. */
export const wholeDump: Stage = async function* (source) {
  let tail: Uint8Array = new Uint8Array();
  for await (const chunk of source) {
    tail = chunk.length >= 400 ? chunk.subarray(-400) : Buffer.concat([tail, chunk]).subarray(-400);
    yield chunk;
  }
  if (!Buffer.from(tail).includes(DUMP_END)) {
    throw new MigrationError("bundle-damaged", "the database dump ends too early: its last line is missing");
  }
};

/** The stage that looks whether what an artifact holds is whole. */
export const wholeContents = (format: Artifact["format"]): Stage => (format === "sql" ? wholeDump : wholeTar);
