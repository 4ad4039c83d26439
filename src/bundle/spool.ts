import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Digester } from "../pipeline/digest.ts";
import { type ExtractedEntry, unpackTar } from "../pipeline/tar.ts";
import type { Bytes } from "../pipeline/transform.ts";
import { formatBytes } from "../report/units.ts";
import type { Files } from "../system/files/files.ts";
import { INVENTORY, MANIFEST, SAFE_NAME } from "./layout.ts";
import { type Manifest, parseManifest, type Part } from "./manifest.ts";

/** A file that marks a folder as a spool folder of synlift, which may be emptied. */
const MARK = ".synlift-spool";

/** Maximum size of a manifest in bytes. */
const MANIFEST_LIMIT = 16 * 1024 * 1024;

/**
 * Receives a bundle as a tar archive of its folder and writes its files, still encrypted, into a spool folder. Only the
 * manifest, the inventory and files that are named like artifacts or parts are written. After the manifest has arrived,
 * each file must be listed in it, and its size and hash are compared as it arrives. Files that arrived earlier are
 * verified by `verifyParts`.
 * Throws `bundle-damaged` for anything that does not belong to a bundle, `disk-full`, and `target-not-empty` when the
 * folder contains anything but the remains of an earlier run.
 */
export async function spoolBundle(
  source: Bytes,
  folder: string,
  { files, tell }: { files: Files; tell: (bytes: number) => void },
): Promise<void> {
  await enterSpool(folder, files);
  const seen = new Set<string>();
  let manifest: Manifest | undefined;
  for await (const entry of unpackTar(source)) {
    const name = nameIn(entry);
    if (name === undefined) continue;
    if (seen.has(name)) throw notABundle(`the archive contains ${name} twice`);
    seen.add(name);
    const expected = manifest && partsOf(manifest).find((part) => part.name === name);
    await assertExpected(name, entry, { folder, manifest, expected }, files);
    const tally = await writeEntry(join(folder, name), entry.content, { files, tell });
    if (expected && tally.result().sha256 !== expected.sha256)
      throw notABundle(`${name} is damaged: its hash does not match the manifest`);
    if (name === MANIFEST) {
      const path = join(folder, MANIFEST);
      manifest = parseManifest(await files.readText(path), path);
    }
  }
}

/** Removes the spooled files, and the folder if nothing else is in it. May be called again. */
export async function removeSpool(folder: string, files: Files): Promise<void> {
  if (!(await files.lstat(join(folder, MARK)))) return;
  const names = await files.list(folder);
  // The marker is removed last, so that the next run recognizes the folder after a crash.
  for (const name of names) if (isOurs(name)) await files.remove(join(folder, name));
  await files.remove(join(folder, MARK));
  if (names.every((name) => name === MARK || isOurs(name))) await files.removeEmptyFolder(folder);
}

const UNFINISHED = /^\.(.+)\.unfinished$/;
const isOurs = (name: string) => isKept(UNFINISHED.exec(name)?.[1] ?? name);

/** Whether the file is needed to read the bundle: see `layout.ts`. */
const isKept = (name: string) =>
  name === MANIFEST ||
  name === INVENTORY ||
  (SAFE_NAME.test(name) && /\.(?:sql|dump|tar)\.gz\.gpg(?:\.part-[a-z]{2,})?$/.test(name));

async function enterSpool(folder: string, files: Files): Promise<void> {
  await removeSpool(folder, files);
  const found = await files.lstat(folder);
  if (found && (found.kind !== "folder" || (await files.list(folder)).length > 0)) {
    throw new MigrationError("target-not-empty", `${folder} already exists and is not empty`, {
      hint: "name a new folder for the bundle that arrives through the pipe: --spool",
    });
  }
  await files.makeFolder(folder);
  await files.setMode(folder, 0o700);
  await files.writeAtomically(join(folder, MARK), "");
}

/** The file name of an entry; undefined for files that are not needed. Throws for entries that no bundle has. */
function nameIn({ name, kind }: ExtractedEntry): string | undefined {
  const steps = name.split("/").filter((step) => step !== "." && step !== "");
  if (name.startsWith("/") || steps.includes("..") || steps.length > 2)
    throw notABundle(`the archive contains ${quoted(name)}, which is not a file name of a bundle`);
  if (kind === "other")
    throw notABundle(
      `${quoted(name)} in the archive is a link or a device: a bundle contains only regular files`,
    );
  if (kind === "folder") {
    if (steps.length > 1)
      throw notABundle(`the archive contains a folder inside the bundle, ${quoted(name)}: a bundle has none`);
    return undefined;
  }
  const last = steps.at(-1) ?? "";
  return isKept(last) ? last : undefined;
}

/** Quotes an untrusted name, so that it cannot send control characters to the terminal. */
const quoted = (name: string) => JSON.stringify(name.slice(0, 200));

interface Known {
  readonly folder: string;
  readonly manifest: Manifest | undefined;
  readonly expected: Part | undefined;
}

async function assertExpected(
  name: string,
  { size }: ExtractedEntry,
  { folder, manifest, expected }: Known,
  files: Files,
): Promise<void> {
  if (name === MANIFEST) {
    if (size > MANIFEST_LIMIT)
      throw notABundle(`${name} has ${formatBytes(size)}, which is too large for a manifest`);
    return;
  }
  if (manifest && !expected)
    throw notABundle(`the archive contains ${name}, which the manifest does not list`);
  if (expected && expected.size !== size)
    throw notABundle(`${name} has ${size} bytes, but ${expected.size} according to the manifest`);
  const { free } = await files.diskSpace(folder);
  if (free >= size) return;
  throw new MigrationError(
    "disk-full",
    `${folder} has ${formatBytes(free)} of free space, but ${name} alone needs ${formatBytes(size)}`,
    { hint: "choose a folder on a larger disk: --spool" },
  );
}

const partsOf = ({ artifacts, inventory }: Manifest): Part[] => [
  ...artifacts.flatMap(({ parts }) => parts),
  inventory,
];

async function writeEntry(
  path: string,
  content: Bytes,
  { files, tell }: { files: Files; tell: (bytes: number) => void },
): Promise<Digester> {
  const tally = new Digester();
  const file = await files.begin(path);
  try {
    for await (const chunk of content) {
      tally.add(chunk);
      await file.write(chunk);
      tell(chunk.length);
    }
    await file.finish();
  } finally {
    await file.abandon();
  }
  return tally;
}

const notABundle = (sentence: string) =>
  new MigrationError("bundle-damaged", sentence, {
    hint: "send only the folder of a sealed bundle: tar -C PARENT -cf - NAME; if the bundle is damaged on the old host too, run the export again",
  });
