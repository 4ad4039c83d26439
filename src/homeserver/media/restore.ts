import { dirname, join } from "node:path";
import { MigrationError } from "../../errors.ts";
import { digestOf } from "../../pipeline/digest.ts";
import { type ExtractedEntry, unpackTar } from "../../pipeline/tar.ts";
import type { Bytes } from "../../pipeline/transform.ts";
import type { Entry, Files } from "../../system/files/files.ts";
import { makeOwnedFolder, type Owner } from "../../system/files/owned-folder.ts";
import { type Kept, NOTHING_KEPT } from "../scope.ts";
import { keptFolders } from "./store/folders.ts";
import { isStorePath } from "./store/layout.ts";

export interface MediaTarget {
  readonly store: string;
  /** Whom the files are to belong to; ourselves when left out. */
  readonly owner?: Owner;
  /** What the archives may hold besides uploads and their thumbnails; nothing when left out. */
  readonly kept?: Kept | undefined;
}

export interface MediaRestored {
  readonly written: number;
  /** Found there already, byte for byte. */
  readonly kept: number;
  readonly bytes: number;
}

/** Several archives of one store, the newest first: a file that a newer one has is not taken from an older one. Throws as `restoreMedia`. */
export async function restoreArchives(
  archives: readonly Bytes[],
  target: MediaTarget,
  files: Files,
): Promise<MediaRestored> {
  const sum = { written: 0, kept: 0, bytes: 0 };
  const newer = new Set<string>();
  for (const [index, archive] of archives.entries()) {
    // Only of those that others come after: the last is the large one.
    const note = index < archives.length - 1 ? newer : undefined;
    const { written, kept, bytes } = await restoreMedia(archive, target, files, { newer, note });
    sum.written += written;
    sum.kept += kept;
    sum.bytes += bytes;
  }
  return sum;
}

interface Unpacking {
  /** What a newer archive had. */
  readonly newer?: ReadonlySet<string>;
  /** Gets the names of what is in this one. */
  readonly note?: Set<string> | undefined;
  /** Existing files are overwritten. */
  readonly replace?: boolean;
  /** Awaited with each name below the store before it, or a folder on the way to it, is made. */
  readonly begins?: ((name: string) => Promise<void>) | undefined;
}

/**
 * Unpacks local media below the store and nowhere else. What is there already and the same is kept; what is there and
 * differs is never overwritten (`target-not-empty`). May be run again after a break.
 */
export async function restoreMedia(
  archive: Bytes,
  target: MediaTarget,
  files: Files,
  { newer, note, replace = false, begins }: Unpacking = {},
): Promise<MediaRestored> {
  const own: string[] = [];
  let written = 0;
  let kept = 0;
  let bytes = 0;
  const folders = new Folders(target, files);
  const allowed = keptFolders(target.kept ?? NOTHING_KEPT);
  await folders.make(target.store);
  for await (const entry of unpackTar(archive)) {
    if (entry.kind === "folder" && isStorePath(`${entry.name.replace(/\/$/, "")}/x`, allowed)) continue;
    if (entry.kind !== "file" || !isStorePath(entry.name, allowed)) {
      throw new MigrationError(
        "bundle-damaged",
        `the media archive holds ${JSON.stringify(entry.name)}, which is not local media`,
        {
          hint: "nothing was written outside of the media store; ask the person who made the bundle",
        },
      );
    }
    if (newer?.has(entry.name) === true) continue;
    if (note) own.push(entry.name);
    const path = join(target.store, entry.name);
    await begins?.(entry.name);
    await folders.make(dirname(path));
    const found = replace ? undefined : await files.lstat(path);
    if (found) {
      await assertSameContent(path, entry, files);
      await giveTo(target.owner, path, found, files);
      kept += 1;
    } else {
      await write(path, entry, target, files);
      written += 1;
    }
    bytes += entry.size;
  }
  for (const name of own) note?.add(name);
  return { written, kept, bytes };
}

async function write(
  path: string,
  entry: ExtractedEntry,
  { owner }: MediaTarget,
  files: Files,
): Promise<void> {
  const file = await files.begin(path, 0o640, { sync: false });
  try {
    for await (const chunk of entry.content) await file.write(chunk);
    // Before it has its name: a run that is killed here leaves no file that its owner cannot read.
    if (owner) await files.setOwner(file.path, owner.uid, owner.gid);
    await file.finish();
  } finally {
    await file.abandon();
  }
  // Last: what has the time of the archive has everything else.
  await files.setTimes(path, entry.mtimeMs);
}

async function assertSameContent(path: string, entry: ExtractedEntry, files: Files): Promise<void> {
  const incoming = await digestOf(entry.content);
  const found = await files.lstat(path);
  if (found?.kind === "file" && found.size === entry.size)
    if ((await digestOf(files.read(path))).sha256 === incoming.sha256) return;
  throw new MigrationError(
    "target-not-empty",
    `${path} already exists and differs from the file in the bundle`,
    {
      hint: "restore into an empty media folder",
    },
  );
}

/** What an earlier run left to somebody else is given to its owner. */
async function giveTo(owner: Owner, path: string, found: Entry, files: Files): Promise<void> {
  if (owner && (found.uid !== owner.uid || found.gid !== owner.gid))
    await files.setOwner(path, owner.uid, owner.gid);
}

/** Folders that are remembered as made. Nearly every upload has one of its own, and an archive comes back to none of them. */
const REMEMBERED = 10_000;

/** Makes each folder, private and with the owner asked for, and never through a symbolic link. */
export class Folders {
  #made = new Set<string>();
  #target: MediaTarget;
  #files: Files;

  constructor(target: MediaTarget, files: Files) {
    this.#target = target;
    this.#files = files;
  }

  async make(path: string): Promise<void> {
    if (this.#made.has(path)) return;
    if (path !== this.#target.store) await this.make(dirname(path));
    const found = await this.#files.lstat(path);
    if (
      found &&
      found.kind !== "folder" &&
      !(path === this.#target.store && (await this.#files.stat(path))?.kind === "folder")
    ) {
      throw new MigrationError("target-not-empty", `${path} already exists and is not a directory`, {
        hint: "restore into an empty media folder",
      });
    }
    if (!found) await makeOwnedFolder(path, this.#target.owner, this.#files);
    else if (found.kind === "folder") await giveTo(this.#target.owner, path, found, this.#files);
    if (this.#made.size >= REMEMBERED) this.#made.clear();
    this.#made.add(path);
  }
}
