import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { decompress } from "../pipeline/compress.ts";
import { decryptWith, type Lock } from "../pipeline/encrypt.ts";
import type { Unpack } from "../pipeline/gzip-program.ts";
import { type Measure, measure } from "../pipeline/measure.ts";
import { joined } from "../pipeline/split.ts";
import { type Bytes, drain, type Stage, through } from "../pipeline/stage.ts";
import type { Files, Unfinished } from "../system/files/files.ts";
import { saysDamaged } from "../system/gpg/gpg.ts";
import { wholeContents } from "./contents.ts";
import { Inventory } from "./inventory.ts";
import { MANIFEST, sealedName } from "./layout.ts";
import { type Artifact, type Manifest, parseManifest } from "./manifest.ts";

/** A sealed bundle in a folder. */
export class Bundle {
  readonly folder: string;
  readonly manifest: Manifest;
  #files: Files;

  private constructor(folder: string, manifest: Manifest, files: Files) {
    this.folder = folder;
    this.manifest = manifest;
    this.#files = files;
  }

  /** Throws `bundle-unfinished` without a manifest, and as `parseManifest` does. Looks at nothing else. */
  static async open(folder: string, files: Files): Promise<Bundle> {
    const path = join(folder, MANIFEST);
    if (!(await files.look(folder))) throw new MigrationError("file-missing", `there is no folder ${folder}`);
    if (!(await files.look(path))) {
      throw new MigrationError(
        "bundle-unfinished",
        `${folder} is no finished bundle: it has no ${MANIFEST}`,
        {
          hint: "run the export again until it ends well, or copy the bundle again, all of it",
        },
      );
    }
    return new Bundle(folder, parseManifest(await files.readText(path), path), files);
  }

  /** Throws `passphrase-wrong`, `bundle-damaged`; also when the inventory is that of another bundle. */
  async inventory(lock: Lock): Promise<Inventory> {
    const path = join(this.folder, this.manifest.inventory.name);
    const inventory = await Inventory.read(this.#files.read(path), lock, path);
    if (inventory.id !== this.manifest.id) {
      throw new MigrationError("bundle-damaged", `${path} belongs to another bundle`, {
        hint: "copy the bundle again, all of it, into an empty folder",
      });
    }
    return inventory;
  }

  /** Puts the inventory into another folder as it lies here, encrypted. */
  async copyInventory(folder: string): Promise<void> {
    const { name } = this.manifest.inventory;
    await this.#files.makeFolder(folder);
    // Small; read whole in `inventory`, too.
    await this.#files.writeWhole(
      join(folder, name),
      await this.#files.readWhole(join(this.folder, name), 256 * 1024 * 1024),
    );
  }

  /** By its plain name: "customer_db_export.sql.gz". */
  artifact(plainName: string): Artifact | undefined {
    return this.manifest.artifacts.find(({ name }) => name === sealedName(plainName));
  }

  /** An artifact's bytes as they lie there, all parts in order. */
  sealed(artifact: Artifact): Bytes {
    return joined(artifact.parts.map((part) => this.#files.read(join(this.folder, part.name))));
  }

  /**
   * What an artifact holds, decrypted and gunzipped. It comes out before it is proven: trust nothing of it until the
   * stream has ended well, which it does only if it is whole and, where `expected` is given, what was packed. Never more
   * bytes than were packed come out, whatever a few compressed ones claim to be.
   */
  plain(artifact: Artifact, lock: Lock, expected?: Measure): Bytes {
    const stages = through(decryptWith(lock), decompress, proven(artifact, expected));
    return named(artifact.name, stages(this.sealed(artifact)));
  }

  /**
   * As `plain`, into a file: gpg and the program that unpacks write it by themselves, and what lies there is then read
   * and proven. Tells how many bytes have come. Finishing the file is left to whoever began it.
   */
  async plainInto(
    file: Unfinished,
    artifact: Artifact,
    { lock, unpack, expected }: { lock: Lock; unpack: Unpack; expected: Measure },
    tell: (bytes: number) => void,
  ): Promise<void> {
    const opened = unpack(decryptWith(lock)(this.sealed(artifact)));
    const writing = async function* (files: Files): Bytes {
      await file.takeFrom(opened, (bytes) => {
        if (file.size > expected.size) throw tooMuch(expected.size);
        tell(bytes);
      });
      // igzip (2.30) says that all is well where the disk had no room for the last 4,096 bytes of it: whoever writes
      // there himself is told. Where there is room something else is wrong, which the proof below says.
      const missing = expected.size - file.size;
      if (missing > 0) await file.write(Buffer.alloc(Math.min(missing, LAST_WRITE)));
      yield* proven(artifact, expected)(files.read(file.path, { reuse: true }));
    };
    await drain(named(artifact.name, writing(this.#files)));
  }
}

/** stdio's buffer: what a program writes only when it ends. */
const LAST_WRITE = 4096;

/** Passes on what an artifact holds, and ends well only if it is whole and what was packed. */
const proven = ({ name, format }: Artifact, expected: Measure | undefined): Stage =>
  through(
    noMoreThan(expected?.size ?? Infinity),
    wholeContents(format),
    measure((seen) => {
      if (expected && seen.sha256 !== expected.sha256) {
        throw new MigrationError("bundle-damaged", `${name} does not hold what was packed`, {
          hint: "copy the bundle again from where it was made",
        });
      }
    }),
  );

/** Stops with `bundle-damaged` before it hands on more bytes than that. */
const noMoreThan = (size: number): Stage =>
  async function* (source) {
    let seen = 0;
    for await (const chunk of source) {
      seen += chunk.length;
      if (seen > size) throw tooMuch(size);
      yield chunk;
    }
  };

const tooMuch = (size: number) =>
  new MigrationError("bundle-damaged", `it holds more than the ${size} bytes that were packed`, {
    hint: "copy the bundle again from where it was made; if that does not help, somebody has changed it",
  });

/** Says in which artifact something was found to be wrong. */
async function* named(name: string, source: Bytes): Bytes {
  try {
    yield* source;
  } catch (error) {
    if (
      error instanceof MigrationError &&
      ["bundle-damaged", "program-failed"].includes(error.code) &&
      !error.message.includes(name)
    ) {
      // gpg(1): 2 is a message that is damaged or was cut off. A gpg that was killed says nothing about the message.
      const gpg = saysDamaged(error);
      throw new MigrationError(gpg ? "bundle-damaged" : error.code, `${name}: ${error.message}`, {
        hint: error.hint,
        cause: error,
      });
    }
    throw error;
  }
}
