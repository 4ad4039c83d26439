import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { blocks, compress, decompress } from "../pipeline/compress.ts";
import { decryptWith, encryptWith, type Lock } from "../pipeline/encrypt.ts";
import { measure, meter, Tally, type Measure } from "../pipeline/measure.ts";
import { joined, splitInto } from "../pipeline/split.ts";
import { drain, through, type Bytes } from "../pipeline/stage.ts";
import type { Files, Unfinished } from "../system/files.ts";
import type { Progress } from "../system/progress.ts";
import { wholeContents } from "./contents.ts";
import type { Recorded } from "./inventory.ts";
import { belongsTo, MANIFEST, partName, sealedName } from "./layout.ts";
import type { Artifact, Part } from "./manifest.ts";

export interface ArtifactPlan {
  /** Its plain name: "customer_db_export.sql.gz". */
  readonly name: string;
  readonly format: Artifact["format"];
  /** gzip's level; 0 stores what is compressed already. */
  readonly level: number;
  readonly label: string;
  /** Bytes of the source, when somebody knows. */
  readonly total?: number;
}

export interface WriterOptions {
  readonly folder: string;
  readonly lock: Lock;
  readonly files: Files;
  readonly progress: Progress;
  readonly cores: number;
  /** Bytes of a part; artifacts stay whole when left out. */
  readonly partSize?: number;
}

/** Bytes that are written at once. */
const WRITE_SIZE = 1024 * 1024;

/** Puts artifacts into a bundle's folder. */
export class BundleWriter {
  #options: WriterOptions;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /**
   * Compresses, encrypts and writes an artifact, then reads it back to the last byte. A part gets its name only when
   * it is complete on disk; if anything fails nothing of the artifact is left. Any earlier artifact of that name goes first.
   */
  async add(plan: ArtifactPlan, source: Bytes): Promise<Recorded> {
    const { lock, progress, cores } = this.#options;
    const name = sealedName(plan.name);
    await this.#clear(name);

    let plain: Measure | undefined;
    progress.begin({
      id: `write/${name}`,
      label: plan.label,
      unit: "bytes",
      ...(plan.total === undefined ? {} : { total: plan.total }),
    });
    const pipeline = through(
      wholeContents(plan.format),
      meter((bytes) => {
        progress.advance(`write/${name}`, bytes);
      }),
      measure((seen) => (plain = seen)),
      compress(plan.level, cores),
      encryptWith(lock),
    );
    const { parts, sealed } = await this.#write(name, pipeline(source)).catch((error: unknown) => {
      throw isDamage(error) ? endedEarly(plan.label, error) : error;
    });
    progress.end(`write/${name}`);

    const recorded: Recorded = { name, format: plan.format, ...sealed, parts, plain: plain! };
    try {
      await this.#readBack(plan, recorded);
    } catch (error) {
      await this.#clear(name);
      throw isDamage(error) ? readsOtherwise(join(this.#options.folder, name), error) : error;
    }
    return recorded;
  }

  /** Takes an artifact away, by its plain name; nothing happens when there is none. */
  remove(plainName: string): Promise<void> {
    return this.#clear(sealedName(plainName));
  }

  async #write(name: string, source: Bytes): Promise<{ parts: Part[]; sealed: Measure }> {
    const { folder, files, partSize } = this.#options;
    const parts: Part[] = [];
    const begun: Unfinished[] = [];
    // A part that is the whole needs no second hash.
    const whole = partSize === undefined ? undefined : new Tally();
    try {
      // gpg gives 64 KiB at a time: written one by one, waiting for the disk costs more than writing.
      await splitInto(blocks(source, WRITE_SIZE), partSize, async (index) => {
        const part = partName(name, index, partSize !== undefined);
        const file = await files.begin(join(folder, part));
        begun.push(file);
        const chunks = new Tally();
        return {
          write: async (chunk) => {
            chunks.add(chunk);
            whole?.add(chunk);
            await file.write(chunk);
          },
          finish: async () => {
            await file.finish();
            parts.push({ name: part, ...chunks.result() });
          },
        };
      });
      return { parts, sealed: whole?.result() ?? { size: parts[0]!.size, sha256: parts[0]!.sha256 } };
    } catch (error) {
      for (const file of begun) await file.abandon();
      await this.#clear(name);
      throw error;
    }
  }

  /** Proves what lies on the disk: the hash of each part, that it decrypts and gunzips, and that the same comes out as went in. */
  async #readBack(plan: ArtifactPlan, recorded: Recorded): Promise<void> {
    const { folder, files, lock, progress } = this.#options;
    const id = `check/${recorded.name}`;
    progress.begin({ id, label: `${plan.label}, read back`, unit: "bytes", total: recorded.size });
    let sealed: Measure | undefined;
    let plain: Measure | undefined;
    const stages = through(
      meter((bytes) => {
        progress.advance(id, bytes);
      }),
      measure((seen) => (sealed = seen)),
      decryptWith(lock),
      decompress,
      wholeContents(plan.format),
      measure((seen) => (plain = seen)),
    );
    await drain(stages(joined(recorded.parts.map((part) => files.read(join(folder, part.name))))));
    if (sealed?.sha256 !== recorded.sha256 || plain?.sha256 !== recorded.plain.sha256) {
      throw readsOtherwise(join(folder, recorded.name));
    }
    progress.end(id);
  }

  /** Removes an artifact with all its parts, and first the manifest, as the bundle is none without it. */
  async #clear(name: string): Promise<void> {
    const { folder, files } = this.#options;
    await files.remove(join(folder, MANIFEST));
    for (const found of await files.list(folder)) {
      if (belongsTo(name, found)) await files.remove(join(folder, found));
    }
  }
}

const isDamage = (error: unknown) => error instanceof MigrationError && error.code === "bundle-damaged";

/** A program that said that all is well, and had not given everything. */
const endedEarly = (label: string, cause: unknown) =>
  new MigrationError("program-failed", `${label}: ${(cause as Error).message}`, {
    hint: "a program ended before its work was done and did not say so: look at this host's memory and kernel log, then run the same command again",
    cause,
  });

const readsOtherwise = (path: string, cause?: unknown) =>
  new MigrationError(
    "file-failed",
    `${path} reads back other than it was written${cause ? `: ${(cause as Error).message}` : ""}`,
    {
      hint: "look at this host's memory, disk and kernel log, then run the same command again; if it stays so, choose another folder",
      cause,
    },
  );
