import { MigrationError } from "../errors.ts";
import type { Call, Output, Programs } from "../system/programs/programs.ts";
import type { Bytes, Stage } from "./stage.ts";

/** A program that compresses faster than we do. */
export interface GzipProgram {
  readonly name: "igzip" | "pigz";
  /** gzip, as `compress` makes it. Joined to the program before and the one after it: see `Programs.through`. */
  readonly compress: Stage;
  /** The way back, where it is faster than ours too; to be joined in the same way. Throws `bundle-damaged` for what is. */
  readonly decompress?: Unpack | undefined;
}

export type Unpack = (source: Bytes) => Output;

/** The Debian package of the fastest. */
export const IGZIP_PACKAGE = "isal";

/**
 * The fastest that is installed, at its fastest level. On the dump of a database of 1.1 GB, one after the other on one
 * machine: igzip -1 1.1 s, pigz -1 on two cores 3.2 s, gzip -1 7.8 s; igzip's result has the size of gzip -6.
 */
export async function gzipProgram(programs: Programs, cores: number): Promise<GzipProgram | undefined> {
  const known = [
    { name: "igzip", args: ["-1", "--stdout"] },
    { name: "pigz", args: ["-1", "--stdout", "--processes", String(cores)] },
  ] as const;
  for (const { name, args } of known) {
    if ((await programs.find(name)) === undefined) continue;
    return {
      name,
      compress: (source) => programs.through({ name, args }, source),
      decompress: name === "igzip" ? (source) => programs.through(UNPACK, source) : undefined,
    };
  }
  return undefined;
}

/** 560 MB of a dump in 0.5 s, where zlib takes 2.0 s. It looks at the checksum and the size at the end, too. */
const UNPACK: Call = {
  name: "igzip",
  args: ["--decompress", "--stdout"],
  cannotWrite: "while writing to file",
  explain: (failure) =>
    SAYS_DAMAGED.test(failure.message)
      ? new MigrationError("bundle-damaged", `the compressed data is damaged: ${failure.message}`, {
          cause: failure,
        })
      : failure,
};

/** igzip's words for what is no gzip file, is damaged or was cut off (programs/igzip_cli.c). An igzip that was killed, or had no room, says nothing about the data. */
const SAYS_DAMAGED =
  /^igzip failed with exit code .*(?:invalid gzip header|while decompressing|complete gzip file)/s;
