import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { decompress } from "../pipeline/compress.ts";
import { type Digest, reportDigest } from "../pipeline/digest.ts";
import { decryptWith, type EncryptionKeys } from "../pipeline/encrypt.ts";
import type { Decompressor } from "../pipeline/gzip-program.ts";
import { concatenate } from "../pipeline/split.ts";
import { type Bytes, type ByteTransform, compose, drain } from "../pipeline/transform.ts";
import type { Files, Unfinished } from "../system/files/files.ts";
import { isGpgDamageError } from "../system/gpg/gpg.ts";
import { completenessCheck } from "./completeness.ts";
import { Inventory } from "./inventory.ts";
import { encryptedName, MANIFEST } from "./layout.ts";
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

  /** Throws `bundle-incomplete` when there is no manifest, `bundle-damaged` when it is no regular file, and as `parseManifest` does. Reads nothing else. */
  static async open(folder: string, files: Files): Promise<Bundle> {
    const path = join(folder, MANIFEST);
    if (!(await files.lstat(folder)))
      throw new MigrationError("file-missing", `there is no folder ${folder}`);
    const entry = await files.lstat(path);
    if (entry === undefined) {
      throw new MigrationError(
        "bundle-incomplete",
        `${folder} is not a complete bundle: it has no ${MANIFEST}`,
        {
          hint: "run the export again until it succeeds, or copy the whole bundle again",
        },
      );
    }
    // It decides what is read, so it must be the bundle's own.
    if (entry.kind !== "file")
      throw new MigrationError("bundle-damaged", `${path} is not a regular file`, {
        hint: "copy the whole bundle again: no file of a bundle is a symbolic link, a pipe or a directory",
      });
    return new Bundle(folder, parseManifest(await files.readText(path), path), files);
  }

  /** Throws `passphrase-wrong`, `bundle-damaged`; also when the inventory is that of another bundle. */
  async inventory(lock: EncryptionKeys): Promise<Inventory> {
    const path = join(this.folder, this.manifest.inventory.name);
    const inventory = await Inventory.read(this.#files.read(path), lock, path);
    if (inventory.id !== this.manifest.id) {
      throw new MigrationError("bundle-damaged", `${path} is the inventory of another bundle`, {
        hint: "copy the whole bundle again, into an empty folder",
      });
    }
    return inventory;
  }

  /** Copies the encrypted inventory into another folder. */
  async copyInventory(folder: string): Promise<void> {
    const { name } = this.manifest.inventory;
    await this.#files.makeFolder(folder);
    // It is small, and `inventory` reads it into memory too.
    await this.#files.writeAtomically(
      join(folder, name),
      await this.#files.readWhole(join(this.folder, name), 256 * 1024 * 1024),
    );
  }

  /** By its plain name: "customer_db_export.sql.gz". */
  artifact(plainName: string): Artifact | undefined {
    return this.manifest.artifacts.find(({ name }) => name === encryptedName(plainName));
  }

  /** The encrypted bytes of an artifact, all parts in order. */
  encrypted(artifact: Artifact): Bytes {
    return concatenate(artifact.parts.map((part) => this.#files.read(join(this.folder, part.name))));
  }

  /**
   * The content of an artifact, decrypted and decompressed. It is verified only at the end: do not trust any of it
   * before the stream has ended, which it does only if the content is complete and, with `expected`, what was packed.
   * It never yields more than `expected.size` bytes, which protects against decompression bombs.
   */
  decrypted(artifact: Artifact, lock: EncryptionKeys, expected?: Digest): Bytes {
    const stages = compose(decryptWith(lock), decompress, verified(artifact, expected));
    return withArtifactName(artifact.name, stages(this.encrypted(artifact)));
  }

  /**
   * As `decrypted`, into a file: gpg and the decompression program write it directly; then it is read and verified.
   * `tell` is called with the number of new bytes. The caller finishes the file.
   */
  async decryptInto(
    file: Unfinished,
    artifact: Artifact,
    { lock, unpack, expected }: { lock: EncryptionKeys; unpack: Decompressor; expected: Digest },
    tell: (bytes: number) => void,
  ): Promise<void> {
    const opened = unpack(decryptWith(lock)(this.encrypted(artifact)));
    const writing = async function* (files: Files): Bytes {
      await file.pipeFrom(opened, (bytes) => {
        if (file.size > expected.size) throw tooMuch(expected.size);
        tell(bytes);
      });
      // igzip (2.30) reports success even when the disk was full for its last 4,096 bytes. A write from here shows the
      // error. If there is space, something else is wrong, which the verification below reports.
      const missing = expected.size - file.size;
      if (missing > 0) await file.write(Buffer.alloc(Math.min(missing, LAST_WRITE)));
      yield* verified(artifact, expected)(files.read(file.path, { reuse: true }));
    };
    await drain(withArtifactName(artifact.name, writing(this.#files)));
  }
}

/** The size of stdio's buffer, which a program writes when it ends. */
const LAST_WRITE = 4096;

/** Passes the content of an artifact on, and throws when it is incomplete or not what was packed. */
const verified = ({ format }: Artifact, expected: Digest | undefined): ByteTransform =>
  compose(
    limitSize(expected?.size ?? Infinity),
    completenessCheck(format),
    reportDigest((seen) => {
      if (expected && seen.sha256 !== expected.sha256) {
        throw new MigrationError("bundle-damaged", "its content is not what was packed", {
          hint: "copy the bundle again from the host that made it",
        });
      }
    }),
  );

/** Throws `bundle-damaged` before it passes on more than `size` bytes. */
const limitSize = (size: number): ByteTransform =>
  async function* (source) {
    let seen = 0;
    for await (const chunk of source) {
      seen += chunk.length;
      if (seen > size) throw tooMuch(size);
      yield chunk;
    }
  };

const tooMuch = (size: number) =>
  new MigrationError("bundle-damaged", `its content is larger than the ${size} bytes that were packed`, {
    hint: "copy the bundle again from the host that made it; if the error remains, the bundle has been altered",
  });

/** Adds the name of the artifact to errors, which do not contain it: all stages work on a stream without a name. */
async function* withArtifactName(name: string, source: Bytes): Bytes {
  try {
    yield* source;
  } catch (error) {
    if (error instanceof MigrationError && ["bundle-damaged", "program-failed"].includes(error.code)) {
      // When gpg was killed or the disk was full, the message may be intact.
      const gpg = isGpgDamageError(error);
      throw new MigrationError(gpg ? "bundle-damaged" : error.code, `${name}: ${error.message}`, {
        hint: error.hint,
        cause: error,
        reason: error.reason,
      });
    }
    throw error;
  }
}
