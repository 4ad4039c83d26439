import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { blocks, compress } from "../pipeline/compress.ts";
import { encryptWith, type Lock } from "../pipeline/encrypt.ts";
import { meter, Tally, type Measure } from "../pipeline/measure.ts";
import { splitInto } from "../pipeline/split.ts";
import { through, type Bytes } from "../pipeline/stage.ts";
import type { Files, Unfinished } from "../system/files.ts";
import type { Progress } from "../system/progress.ts";
import { wholeContents } from "./contents.ts";
import type { Recorded } from "./inventory.ts";
import { belongsTo, MANIFEST, partName, sealedName } from "./layout.ts";
import type { Artifact, Part } from "./manifest.ts";
import { ReadBack } from "./read-back.ts";
import { Trail } from "./trail.ts";

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
   * Compresses, encrypts and writes an artifact, and reads it back to the last byte while it does. A part gets its name
   * only when it is complete on disk; if anything fails nothing of the artifact is left. Any earlier artifact of that
   * name goes first.
   */
  add(plan: ArtifactPlan, source: Bytes): Promise<Recorded> {
    const { lock, cores } = this.#options;
    return this.#put(plan, (tell) =>
      through(
        wholeContents(plan.format),
        meter(tell),
        compress(plan.level, cores),
        encryptWith(lock),
      )(source),
    );
  }

  /**
   * As `add`, for what a program has compressed already. Give the output of `Programs.through` as it is: then gpg reads
   * from that program itself. What it holds is looked at only when it is read back.
   */
  addPressed(plan: Omit<ArtifactPlan, "level" | "total">, source: Bytes): Promise<Recorded> {
    return this.#put(plan, (tell) => meter(tell)(encryptWith(this.#options.lock)(source)));
  }

  async #put(
    plan: Omit<ArtifactPlan, "level">,
    sealing: (tell: (bytes: number) => void) => Bytes,
  ): Promise<Recorded> {
    const { progress, files, folder } = this.#options;
    const { label, total } = plan;
    const name = sealedName(plan.name);
    await this.#clear(name);
    const id = `write/${name}`;
    progress.begin({ id, label, unit: "bytes", ...(total === undefined ? {} : { total }) });
    const trail = new Trail(files);
    const reading = new ReadBack(plan.format, this.#options);
    const checked = reading.run(trail.read());
    checked.catch((error: unknown) => {
      trail.fail(error);
    });
    try {
      const written = await this.#write(
        name,
        sealing((bytes) => {
          progress.advance(id, bytes);
        }),
        trail,
        reading,
      ).catch((error: unknown) => {
        trail.fail(error);
        throw isDamage(error) && !reading.failure ? endedEarly(label, error) : error;
      });
      progress.end(id);
      trail.end();
      reading.tell({
        id: `check/${name}`,
        label: `${label}, read back`,
        unit: "bytes",
        total: written.sealed.size,
      });
      const { sealed, plain } = await checked;
      progress.end(`check/${name}`);
      if (sealed.sha256 !== written.sealed.sha256) throw readsOtherwise(join(folder, name));
      return { name, format: plan.format, ...written.sealed, parts: written.parts, plain };
    } catch (error) {
      await checked.catch(() => undefined);
      await this.#clear(name);
      if (!isDamage(error)) throw error;
      throw reading.provenButShort ? endedEarly(label, error) : readsOtherwise(join(folder, name), error);
    }
  }

  /** Takes an artifact away, by its plain name; nothing happens when there is none. */
  remove(plainName: string): Promise<void> {
    return this.#clear(sealedName(plainName));
  }

  async #write(
    name: string,
    source: Bytes,
    trail: Trail,
    reading: ReadBack,
  ): Promise<{ parts: Part[]; sealed: Measure }> {
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
        trail.begin(file.path);
        const chunks = new Tally();
        return {
          write: async (chunk) => {
            if (reading.failure) throw reading.failure.error;
            chunks.add(chunk);
            whole?.add(chunk);
            await file.write(chunk);
            trail.wrote(chunk.length);
          },
          finish: async () => {
            await trail.finish(join(folder, part), () => file.finish());
            parts.push({ name: part, ...chunks.result() });
          },
        };
      });
      return { parts, sealed: whole?.result() ?? { size: parts[0]!.size, sha256: parts[0]!.sha256 } };
    } catch (error) {
      for (const file of begun) await file.abandon();
      throw error;
    }
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
