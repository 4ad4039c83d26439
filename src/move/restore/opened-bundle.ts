import { join } from "node:path";
import type { Inventory } from "../../bundle/inventory.ts";
import { encryptedName } from "../../bundle/layout.ts";
import type { Bundle } from "../../bundle/reader.ts";
import { MigrationError } from "../../errors.ts";
import { CONFIG_ARTIFACT, unpackConfig } from "../../homeserver/config/artifact.ts";
import { reportBytes } from "../../pipeline/digest.ts";
import type { EncryptionKeys } from "../../pipeline/encrypt.ts";
import type { Decompressor } from "../../pipeline/gzip-program.ts";
import type { Bytes } from "../../pipeline/transform.ts";
import type { Unfinished } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";
import type { Delivery } from "./delivery.ts";

/** A bundle that was checked and decrypted with its key. */
export interface OpenedBundle {
  readonly bundle: Bundle;
  readonly inventory: Inventory;
  readonly lock: EncryptionKeys;
  /** A program that decompresses dumps faster than zlib, where there is one. */
  readonly unpack?: Decompressor | undefined;
}

/** The packed configuration, by name. Throws `bundle-damaged`. */
export function readConfigArtifact(
  opened: OpenedBundle,
  artifact = CONFIG_ARTIFACT,
): Promise<ReadonlyMap<string, Uint8Array>> {
  return unpackConfig(contents(opened, artifact));
}

/** An artifact's content; throws at the end unless all of it is what was packed. */
function contents(opened: OpenedBundle, plainName: string): Bytes {
  const { artifact, plain } = findArtifact(opened, plainName);
  return opened.bundle.decrypted(artifact, opened.lock, plain);
}

function findArtifact({ bundle, inventory }: OpenedBundle, plainName: string) {
  const artifact = bundle.artifact(plainName);
  if (!artifact) {
    throw new MigrationError("bundle-damaged", `${bundle.folder} has no ${encryptedName(plainName)}`, {
      hint: "copy the whole bundle again; or it was made by a version of synlift that packs other artifacts",
    });
  }
  const recorded = inventory.artifacts.find(({ name }) => name === artifact.name);
  return { artifact, plain: recorded?.plain };
}

/** A bundle as the source of a restore. */
export const deliverBundle = (opened: OpenedBundle, progress: Progress): Delivery => ({
  id: opened.bundle.manifest.id,
  content: (plainName, label) => contentWithProgress(opened, plainName, label, progress),
  write: (plainName, label, file) => writeInto(file, opened, { plainName, label }, progress),
});

async function writeInto(
  file: Unfinished,
  opened: OpenedBundle,
  { plainName, label }: { plainName: string; label: string },
  progress: Progress,
): Promise<void> {
  const { artifact, plain: expected } = findArtifact(opened, plainName);
  const { bundle, lock, unpack } = opened;
  if (!unpack || !expected) {
    for await (const chunk of contentWithProgress(opened, plainName, label, progress))
      await file.write(chunk);
    return;
  }
  const id = `restore/${label}`;
  progress.begin({ id, label, unit: "bytes", total: expected.size });
  await bundle.decryptInto(file, artifact, { lock, unpack, expected }, (bytes) => {
    progress.advance(id, bytes);
  });
  progress.end(id);
}

/** The same, with progress. */
export async function* contentWithProgress(
  opened: OpenedBundle,
  plainName: string,
  label: string,
  progress: Progress,
): Bytes {
  const id = `restore/${label}`;
  const recorded = opened.inventory.artifacts.find(({ name }) => name === encryptedName(plainName));
  progress.begin({ id, label, unit: "bytes", ...(recorded ? { total: recorded.plain.size } : {}) });
  const tell = reportBytes((bytes) => {
    progress.advance(id, bytes);
  });
  yield* tell(contents(opened, plainName));
  progress.end(id);
}

/** Path of the copy of the inventory that `open` reads, so that the bundle may be removed. */
export const inventoryCopyPath = (recordFolder: string) => join(recordFolder, "inventory.json.gpg");
