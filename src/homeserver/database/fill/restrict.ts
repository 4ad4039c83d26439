import { MigrationError } from "../../../errors.ts";
import type { ByteTransform } from "../../../pipeline/transform.ts";
import { allocateBuffer, releaseBuffer } from "../../../system/buffers.ts";

/**
 * Keeps a dump from running psql meta-commands. A dump is a script for psql, whose meta-commands can run programs on the host
 * (`\!`, `\copy … program`), so a dump made by somebody else could do anything here. psql's `\restrict KEY` forbids
 * all of them until `\unrestrict KEY` (CVE-2025-8714). The dump's own such lines, whose key its author knows, are
 * removed, and the whole is enclosed in such lines with a random key.
 */
export function restrictDump(key: string | undefined): ByteTransform {
  return async function* (source) {
    if (key !== undefined) yield Buffer.from(`\\restrict ${key}\n`);
    yield* withoutTail(withoutHead(source));
    if (key !== undefined) yield Buffer.from(`\n\\unrestrict ${key}\n`);
  };
}

/** The first minor release of each major whose psql knows `\restrict` (PostgreSQL, release notes of August 2025). */
const FIRST_MINOR: Readonly<Record<number, number>> = { 13: 22, 14: 19, 15: 14, 16: 10, 17: 6 };

/** Whether a psql of this version ("15.18") can be restricted. One that cannot is only given what was cut off at both ends. */
export function knowsRestrict(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return major >= 18 || minor >= (FIRST_MINOR[major] ?? Infinity);
}

const HEAD_LIMIT = 64 * 1024;
const TAIL_SIZE = 512;

/** psql's commands among the comments at the top: `\restrict`, and our own `\set ON_ERROR_STOP on`. */
const withoutHead: ByteTransform = async function* (source) {
  let held: Uint8Array = new Uint8Array();
  let past = false;
  for await (const chunk of source) {
    if (past) {
      yield chunk;
      continue;
    }
    held = Buffer.concat([held, chunk]);
    const end = endOfHead(held);
    if (end === undefined) {
      if (held.length > HEAD_LIMIT) throw notADump();
      continue;
    }
    past = true;
    yield stripped(held.subarray(0, end));
    yield held.subarray(end);
  }
  if (!past) yield stripped(held);
};

/** Where the first line begins that is no comment, no blank and no command of psql; undefined when it is not there yet. */
function endOfHead(bytes: Uint8Array): number | undefined {
  for (let start = 0; ;) {
    const end = bytes.indexOf(0x0a, start);
    if (end === -1) return undefined;
    const line = Buffer.from(bytes.subarray(start, end)).toString("latin1").trim();
    if (line !== "" && !line.startsWith("--") && !line.startsWith("\\")) return start;
    start = end + 1;
  }
}

const withoutTail: ByteTransform = async function* (source) {
  let held: Uint8Array = new Uint8Array();
  for await (const chunk of source) {
    const all = allocateBuffer(held.length + chunk.length);
    all.set(held);
    all.set(chunk, held.length);
    const cut = Math.max(0, all.length - TAIL_SIZE);
    held = Uint8Array.from(all.subarray(cut));
    if (cut > 0) yield all.subarray(0, cut);
    // psql has consumed it by now.
    releaseBuffer(all);
  }
  const end = Buffer.from(held).indexOf("\n-- PostgreSQL database dump complete");
  if (end === -1) throw notADump();
  yield held.subarray(0, end);
  yield stripped(held.subarray(end));
};

/** Removes the known meta-commands, and throws `bundle-damaged` at any other. */
function stripped(bytes: Uint8Array): Uint8Array {
  const lines = Buffer.from(bytes).toString("latin1").split("\n");
  const kept = lines.filter(
    (line) => !/^\\(restrict|unrestrict) [A-Za-z0-9]+\s*$/.test(line) && line !== "\\set ON_ERROR_STOP on",
  );
  if (kept.some((line) => line.trimStart().startsWith("\\"))) throw notADump();
  return Buffer.from(kept.join("\n"), "latin1");
}

const notADump = () =>
  new MigrationError("bundle-damaged", "the database dump does not begin and end as pg_dump writes it", {
    hint: "it may have been made or changed by somebody else: ask the person who sent it",
  });
