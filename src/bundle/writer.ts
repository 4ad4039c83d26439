import { basename, join } from "node:path";
import { MigrationError } from "../errors.ts";
import { blocks, compress, gzipEnd } from "../pipeline/compress.ts";
import { reportBytes } from "../pipeline/digest.ts";
import { type EncryptionKeys, encryptWith } from "../pipeline/encrypt.ts";
import type { Decompressor } from "../pipeline/gzip-program.ts";
import { splitInto } from "../pipeline/split.ts";
import { type Bytes, compose, releaseAfterUse } from "../pipeline/transform.ts";
import type { Files, Unfinished } from "../system/files/files.ts";
import type { Output } from "../system/programs/programs.ts";
import type { Progress } from "../system/progress.ts";
import type { ArtifactPlan, ArtifactWriter, PartsLeaving } from "./artifact-writer.ts";
import { completenessCheck } from "./completeness.ts";
import { FollowingReader } from "./following-reader.ts";
import type { RecordedArtifact } from "./inventory.ts";
import { encryptedName, isFileOfArtifact, MANIFEST, partName } from "./layout.ts";
import { type CompressionInfo, ReadBack, type ReadBackResult } from "./read-back.ts";

export interface WriterOptions {
  readonly folder: string;
  readonly keys: EncryptionKeys;
  readonly files: Files;
  readonly progress: Progress;
  readonly cores: number;
  /** Size of a part in bytes; artifacts are not split when it is left out. */
  readonly partSize?: number;
  /** Requires `partSize`. Left out: parts stay in the folder. */
  readonly leaving?: PartsLeaving;
}

type ReportBytes = (bytes: number) => void;

/** How the encrypted bytes of an artifact are made. `differs`: whether what was read back differs from what was written. */
type ArtifactOutput = CompressionInfo & { readonly differs: (found: ReadBackResult) => boolean } & (
    | { readonly byItself: true; readonly output: (tell: ReportBytes) => Output }
    | { readonly byItself: false; readonly output: (tell: ReportBytes) => Bytes }
  );

interface Readers {
  readonly trail: FollowingReader;
  readonly reading: ReadBack;
}

interface Written {
  readonly names: readonly string[];
  readonly size: number;
}

export type { ArtifactPlan } from "./artifact-writer.ts";

/** Bytes per write. */
const WRITE_SIZE = 1024 * 1024;

/** Writes artifacts into a bundle's folder. */
export class BundleWriter implements ArtifactWriter {
  readonly usesCompressionProgram = true;
  #options: WriterOptions;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /**
   * Compresses, encrypts and writes an artifact, and reads all of it back at the same time. A part gets its final name
   * only when it is complete on disk; after a failure nothing of the artifact is left. An earlier artifact of that name
   * is removed first.
   */
  add(plan: ArtifactPlan, source: Bytes): Promise<RecordedArtifact> {
    const { keys, cores, partSize } = this.#options;
    let end: Uint8Array | undefined;
    const sealing = {
      output: (tell: ReportBytes) => {
        const pressing = compose(
          completenessCheck(plan.format),
          reportBytes(tell),
          compress(plan.level, cores),
          gzipEnd((seen) => (end = seen)),
          releaseAfterUse,
        );
        return encryptWith(keys)(pressing(source));
      },
      // gpg writes the file directly when the data is not compressed, which is large, and need not be split.
      stored: plan.level === 0,
      byItself: plan.level === 0 && partSize === undefined,
      differs: (found: ReadBackResult) => end === undefined || !Buffer.from(found.end).equals(end),
    };
    return this.#put(plan, sealing);
  }

  /**
   * As `add`, for data that a program has compressed already. Pass the output of `Programs.pipe` unchanged: then gpg
   * reads from that program directly. The content is verified only when it is read back.
   */
  addCompressed(
    plan: Omit<ArtifactPlan, "level" | "total">,
    source: Bytes,
    unpack?: Decompressor,
  ): Promise<RecordedArtifact> {
    return this.#put(plan, {
      unpack,
      output: (tell) => reportBytes(tell)(encryptWith(this.#options.keys)(source)),
      byItself: false,
      stored: false,
      differs: () => false,
    });
  }

  async #put(plan: Omit<ArtifactPlan, "level">, sealing: ArtifactOutput): Promise<RecordedArtifact> {
    const { progress, files, folder, partSize } = this.#options;
    const { label, total } = plan;
    const name = encryptedName(plan.name);
    await this.#clear(name);
    const id = `write/${name}`;
    progress.begin({ id, label, unit: "bytes", ...(total === undefined ? {} : { total }) });
    const trail = new FollowingReader(
      files,
      { inParts: partSize !== undefined, comesBy: !sealing.byItself },
      (path, digest) => this.#options.leaving?.takeAway({ name: basename(path), ...digest }, path),
    );
    const reading = new ReadBack(plan.format, sealing, this.#options);
    const checked = reading.run(trail.bytes());
    checked.catch((error: unknown) => {
      trail.fail(error);
    });
    try {
      const tell = (bytes: number) => {
        progress.advance(id, bytes);
      };
      const readers = { trail, reading };
      const writing = sealing.byItself
        ? this.#letWrite(name, sealing.output(tell), readers)
        : this.#write(name, sealing.output(tell), readers);
      const written = await writing.catch((error: unknown) => {
        trail.fail(error);
        throw isDamage(error) && !reading.failure ? programEndedEarly(label, error) : error;
      });
      progress.end(id);
      trail.end();
      reading.tell({ id: `check/${name}`, label: `${label}, read back`, unit: "bytes", total: written.size });
      const found = await checked;
      progress.end(`check/${name}`);
      const { size, sha256 } = trail.whole();
      if (size !== written.size || trail.differs || sealing.differs(found))
        throw readBackMismatch(join(folder, name));
      await this.#options.leaving?.settled();
      const parts = written.names.map((part, index) => ({ name: part, ...trail.read[index]! }));
      return { name, format: plan.format, size, sha256, parts, plain: found.plain };
    } catch (error) {
      await checked.catch(() => undefined);
      // What was sent of it is removed before it is packed again; now the other place may be out of reach.
      await this.#clearHere(name);
      if (!isDamage(error)) throw error;
      throw reading.isValidButIncomplete
        ? programEndedEarly(label, error)
        : readBackMismatch(join(folder, name), error);
    }
  }

  /** Removes an artifact, by its plain name. Does nothing when it does not exist. */
  remove(plainName: string): Promise<void> {
    return this.#clear(encryptedName(plainName));
  }

  /** Lets gpg write the file directly. */
  async #letWrite(name: string, output: Output, { trail, reading }: Readers): Promise<Written> {
    const file = await this.#options.files.begin(join(this.#options.folder, name));
    trail.begin(file.path);
    try {
      await file.pipeFrom(output, (bytes) => {
        if (reading.failure) throw reading.failure.error;
        trail.wroteBytes(bytes);
      });
      await trail.finish(join(this.#options.folder, name), () => file.finish());
      return { names: [name], size: file.size };
    } catch (error) {
      await file.abandon();
      throw error;
    }
  }

  async #write(name: string, source: Bytes, { trail, reading }: Readers): Promise<Written> {
    const { folder, files, partSize, leaving } = this.#options;
    const begun: Unfinished[] = [];
    const names: string[] = [];
    let size = 0;
    try {
      // gpg outputs 64 KiB at a time: written one by one, waiting for the disk would cost more than writing.
      await splitInto(
        releaseAfterUse(blocks(releaseAfterUse(source), WRITE_SIZE)),
        partSize,
        async (index) => {
          const part = partName(name, index, partSize !== undefined);
          await leaving?.room();
          const file = await files.begin(join(folder, part)).catch((error: unknown) => {
            leaving?.giveUp();
            throw error;
          });
          begun.push(file);
          trail.begin(file.path);
          return {
            write: async (chunk) => {
              if (reading.failure) throw reading.failure.error;
              await file.write(chunk);
              trail.wroteChunk(chunk);
            },
            finish: async () => {
              await trail.finish(join(folder, part), () => file.finish());
              names.push(part);
              size += file.size;
            },
          };
        },
      );
      return { names, size };
    } catch (error) {
      for (const file of begun) await file.abandon();
      if (begun.length > names.length) leaving?.giveUp();
      throw error;
    }
  }

  /** Removes an artifact with all its parts, and the manifest first: without the artifact the bundle is incomplete. */
  async #clear(name: string): Promise<void> {
    await this.#options.leaving?.removeThere(name);
    await this.#clearHere(name);
  }

  async #clearHere(name: string): Promise<void> {
    const { folder, files } = this.#options;
    await files.remove(join(folder, MANIFEST));
    for (const found of await files.list(folder)) {
      if (isFileOfArtifact(name, found)) await files.remove(join(folder, found));
    }
  }
}

const isDamage = (error: unknown) => error instanceof MigrationError && error.code === "bundle-damaged";

/** A program that exited successfully although its output is incomplete. */
const programEndedEarly = (label: string, cause: unknown) =>
  new MigrationError("program-failed", `${label}: ${(cause as Error).message}`, {
    hint: "a program ended early without reporting an error: check this host's memory and kernel log, then run the same command again",
    cause,
  });

const readBackMismatch = (path: string, cause?: unknown) =>
  new MigrationError(
    "file-failed",
    `${path} differs from what was written when it is read back${cause ? `: ${(cause as Error).message}` : ""}`,
    {
      hint: "check this host's memory, disk and kernel log, then run the same command again; if the error remains, choose another folder",
      cause,
    },
  );
