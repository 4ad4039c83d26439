import { measureThroughput } from "../../bundle/throughput.ts";
import { sampleDump } from "../../homeserver/database/checks/sample.ts";
import { LEVEL } from "../../homeserver/database/export.ts";
import type { DatabaseLookFacts } from "../../homeserver/database/inspect.ts";
import type { OpenDatabase } from "../../homeserver/database/open.ts";
import type { EncryptionKeys } from "../../pipeline/encrypt.ts";
import { type GzipProgram, gzipProgram } from "../../pipeline/gzip-program.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import type { Rates } from "./estimate.ts";

export interface Measured {
  /** All except the link, which is not measured. */
  readonly rates: Omit<Rates, "link">;
  /** What compresses the dump; zlib in our process when left out. */
  readonly gzip?: GzipProgram["name"];
  /** Approximate bytes of an uncompressed dump. */
  readonly dumpBytes: number;
  /** The same by table; empty for SQLite. */
  readonly byTable: ReadonlyMap<string, number>;
}

/** Sample media: random bytes, like compressed files; the same block several times, because it is only stored. */
const MEDIA_SAMPLE = { bytes: 4 * 1024 * 1024, times: 3 };
/** Bytes that are read from an SQLite file. */
const FILE_SAMPLE = 8 * 1024 * 1024;
const BLOCK = 1024 * 1024;

/**
 * Measures dumping, compressing and encrypting on this machine for some seconds; nothing is written. The passphrase
 * is random and discarded. Throws `program-missing` without gpg, `program-failed` when a program fails.
 */
export async function measureRates(
  look: OpenDatabase,
  facts: Pick<DatabaseLookFacts, "tables" | "encoding" | "bytes">,
  system: Pick<System, "programs" | "machine" | "gpg">,
  progress: Progress,
): Promise<Measured> {
  const { machine } = system;
  const lock: EncryptionKeys = {
    gpg: system.gpg,
    passphrase: Buffer.from(machine.random(24)).toString("hex"),
  };
  progress.note("measuring how fast this machine dumps, compresses and encrypts a sample; nothing is kept");
  const dump =
    look.engine === "postgres"
      ? await postgresSample(look, facts, system)
      : await fileSample(look.path, facts, system);
  const gzip = await gzipProgram(system.programs, machine.cores);
  const database = await measureThroughput(dump.text, { level: LEVEL, keys: lock, machine, gzip });
  const noise = machine.random(MEDIA_SAMPLE.bytes);
  const media = await measureThroughput(Array<Uint8Array>(MEDIA_SAMPLE.times).fill(noise), {
    level: 0,
    keys: lock,
    machine,
  });
  return {
    rates: { reading: dump.bytesPerSecond, database, media },
    dumpBytes: dump.dumpBytes,
    byTable: dump.byTable,
    ...(gzip ? { gzip: gzip.name } : {}),
  };
}

async function postgresSample(
  { address }: Extract<OpenDatabase, { engine: "postgres" }>,
  { tables, encoding }: Pick<DatabaseLookFacts, "tables" | "encoding">,
  system: Pick<System, "programs" | "machine">,
) {
  const sample = await sampleDump(tables, { address, encoding }, system);
  return (
    sample ?? { text: [], dumpBytes: 0, byTable: new Map<string, number>(), bytesPerSecond: DEFAULT_RATE }
  );
}

/** Bytes per second for an empty database, where nothing can be measured. */
const DEFAULT_RATE = 200e6;

/**
 * An SQLite database is copied as a file: what counts is how fast it is read and how it compresses. Another program
 * reads it: a process that closes a file loses its locks on it (fcntl(2)), SQLite's own included.
 */
async function fileSample(
  path: string,
  { bytes }: Pick<DatabaseLookFacts, "bytes">,
  { programs, machine }: Pick<System, "programs" | "machine">,
) {
  const text: Uint8Array[] = [];
  let read = 0;
  // From the middle: the beginning of the file is older and differs.
  const skip = Math.max(0, Math.floor((bytes - FILE_SAMPLE) / 2 / BLOCK));
  const args = [`if=${path}`, `bs=${BLOCK}`, `skip=${skip}`, `count=${FILE_SAMPLE / BLOCK}`, "status=none"];
  const began = machine.elapsed();
  for await (const chunk of programs.pipe({ name: "dd", args })) {
    text.push(chunk);
    read += chunk.length;
  }
  const seconds = Math.max(0.001, (machine.elapsed() - began) / 1000);
  return {
    text,
    dumpBytes: bytes,
    byTable: new Map<string, number>(),
    bytesPerSecond: Math.max(1, read / seconds),
  };
}
