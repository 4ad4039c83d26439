import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Tally } from "../pipeline/measure.ts";
import type { Bytes } from "../pipeline/stage.ts";
import { type Unpacked, unpackTar } from "../pipeline/tar.ts";
import { formatBytes } from "../report/units.ts";
import type { Files } from "../system/files/files.ts";
import { INVENTORY, MANIFEST, SAFE_NAME } from "./layout.ts";
import { type Manifest, parseManifest, type Part } from "./manifest.ts";

/** What says that a folder was made to receive a bundle, and may be emptied. */
const MARK = ".synlift-spool";

/** Bytes of a manifest: as much of one as is ever read. */
const MANIFEST_LIMIT = 16 * 1024 * 1024;

/**
 * Writes down a bundle that comes as a tar archive of its folder: all files still encrypted, in a folder of their own.
 * Nothing is written but the manifest, the inventory and what by its name is an artifact or a part. Once the manifest is
 * here, each file must be in it, and is compared with its size and hash as it comes. What came before is left to
 * `checkParts`, as ever.
 * Throws `bundle-damaged` for anything that is no bundle's, `disk-full`, and `target-not-empty` when the folder holds
 * something else than what an earlier run has left.
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
    if (seen.has(name)) throw foreign(`${name} comes twice in what was sent`);
    seen.add(name);
    const expected = manifest && partsOf(manifest).find((part) => part.name === name);
    await mustBeWanted(name, entry, { folder, manifest, expected }, files);
    const tally = await writeDown(join(folder, name), entry.content, { files, tell });
    if (expected && tally.result().sha256 !== expected.sha256)
      throw foreign(`${name} is damaged: its hash is not what the manifest says`);
    if (name === MANIFEST) {
      const path = join(folder, MANIFEST);
      manifest = parseManifest(await files.readText(path), path);
    }
  }
}

/** Removes what was written down; the folder, too, where nothing else lies in it. May be called again. */
export async function removeSpool(folder: string, files: Files): Promise<void> {
  if (!(await files.look(join(folder, MARK)))) return;
  const names = await files.list(folder);
  // The mark goes last: killed in between, the next run knows what this folder is.
  for (const name of names) if (isOurs(name)) await files.remove(join(folder, name));
  await files.remove(join(folder, MARK));
  if (names.every((name) => name === MARK || isOurs(name))) await files.removeEmptyFolder(folder);
}

const UNFINISHED = /^\.(.+)\.unfinished$/;
const isOurs = (name: string) => isKept(UNFINISHED.exec(name)?.[1] ?? name);

/** Whether a reader needs it: see `layout.ts`. */
const isKept = (name: string) =>
  name === MANIFEST ||
  name === INVENTORY ||
  (SAFE_NAME.test(name) && /\.(?:sql|dump|tar)\.gz\.gpg(?:\.part-[a-z]{2,})?$/.test(name));

async function enterSpool(folder: string, files: Files): Promise<void> {
  await removeSpool(folder, files);
  const found = await files.look(folder);
  if (found && (found.kind !== "folder" || (await files.list(folder)).length > 0)) {
    throw new MigrationError("target-not-empty", `${folder} is there already, and not empty`, {
      hint: "name a folder that is new for what comes through the pipe: --spool",
    });
  }
  await files.makeFolder(folder);
  await files.setMode(folder, 0o700);
  await files.writeWhole(join(folder, MARK), "");
}

/** The name of an entry below the bundle's folder; undefined for what nobody needs. Throws for what no bundle has. */
function nameIn({ name, kind }: Unpacked): string | undefined {
  const steps = name.split("/").filter((step) => step !== "." && step !== "");
  if (name.startsWith("/") || steps.includes("..") || steps.length > 2)
    throw foreign(`what was sent holds ${told(name)}, which is no name of a bundle's`);
  if (kind === "other")
    throw foreign(`${told(name)} in what was sent is a link or a device: a bundle has files only`);
  if (kind === "folder") {
    if (steps.length > 1) throw foreign(`what was sent holds a folder, ${told(name)}: a bundle has none`);
    return undefined;
  }
  const last = steps.at(-1) ?? "";
  return isKept(last) ? last : undefined;
}

/** A name that somebody else chose: nothing of it moves a cursor. */
const told = (name: string) => JSON.stringify(name.slice(0, 200));

interface Known {
  readonly folder: string;
  readonly manifest: Manifest | undefined;
  readonly expected: Part | undefined;
}

async function mustBeWanted(
  name: string,
  { size }: Unpacked,
  { folder, manifest, expected }: Known,
  files: Files,
): Promise<void> {
  if (name === MANIFEST) {
    if (size > MANIFEST_LIMIT) throw foreign(`${name} has ${formatBytes(size)}: that is no manifest`);
    return;
  }
  if (manifest && !expected) throw foreign(`${name} was sent, and the manifest does not name it`);
  if (expected && expected.size !== size)
    throw foreign(`${name} has ${size} bytes, the manifest says ${expected.size}`);
  const { free } = await files.space(folder);
  if (free >= size) return;
  throw new MigrationError(
    "disk-full",
    `${folder} has ${formatBytes(free)} free, ${name} alone takes ${formatBytes(size)}`,
    { hint: "choose a folder on a larger disk: --spool" },
  );
}

const partsOf = ({ artifacts, inventory }: Manifest): Part[] => [
  ...artifacts.flatMap(({ parts }) => parts),
  inventory,
];

async function writeDown(
  path: string,
  content: Bytes,
  { files, tell }: { files: Files; tell: (bytes: number) => void },
): Promise<Tally> {
  const tally = new Tally();
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

const foreign = (sentence: string) =>
  new MigrationError("bundle-damaged", sentence, {
    hint: "send the folder of a sealed bundle, and nothing else: tar -C PARENT -cf - NAME; if it is damaged there too, run the export again",
  });
