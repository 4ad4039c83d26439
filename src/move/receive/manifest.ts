import { MANIFEST } from "../../bundle/layout.ts";
import { type Manifest, parseManifest, type Part } from "../../bundle/manifest.ts";
import { MigrationError } from "../../errors.ts";
import type { System } from "../../system/system.ts";
import type { WantedFile } from "../../transfer/remote.ts";
import { partsOf } from "../carry/bundle-files.ts";

/** Bytes of a manifest. */
const MANIFEST_LIMIT = 16 * 1024 * 1024;

/** The manifest in a file; a sentence for the customer when it is none. */
export async function readManifest(path: string, files: System["files"]): Promise<Manifest | string> {
  try {
    const bytes = await files.readWhole(path, MANIFEST_LIMIT);
    return parseManifest(new TextDecoder().decode(bytes), MANIFEST);
  } catch (error) {
    if (
      error instanceof MigrationError &&
      (error.code === "bundle-damaged" || error.code === "bundle-too-new")
    )
      return error.message;
    throw error;
  }
}

const same = (a: WantedFile, b: WantedFile) => a.size === b.size && a.sha256 === b.sha256;

/** The listed files that have not arrived with the listed size and hash. */
export function missingOf(manifest: Manifest, proven: ReadonlyMap<string, WantedFile>): Part[] {
  return partsOf(manifest).filter((part) => {
    const found = proven.get(part.name);
    return found === undefined || !same(found, part);
  });
}

/** Whether the manifest lists that file, but with another size or hash. */
export function contradicts(manifest: Manifest, file: WantedFile): boolean {
  const listed = partsOf(manifest).find(({ name }) => name === file.name);
  return listed !== undefined && !same(listed, file);
}

/**
 * Why the files that were compared are not the bundle of the manifest: a sentence for the customer by name of a file. Empty when they
 * are.
 */
export function problemsWith(
  manifest: Manifest,
  proven: ReadonlyMap<string, WantedFile>,
): ReadonlyMap<string, string> {
  const problems = new Map<string, string>();
  const missing = missingOf(manifest, proven);
  if (missing.length === 0) return problems;
  const different = missing.filter(({ name }) => proven.has(name));
  problems.set(
    MANIFEST,
    different.length > 0
      ? `${someNames(different)} differ from what the manifest lists`
      : `the manifest waits for ${missing.length === 1 ? "a file" : `${missing.length} files`}: ${someNames(missing)}`,
  );
  for (const { name } of different)
    problems.set(name, `${name} differs from what the manifest lists: send the one that belongs to it`);
  return problems;
}

/** "a, b and 7 more". */
function someNames(files: readonly { readonly name: string }[]): string {
  const shown = files.slice(0, 3).map(({ name }) => name);
  const more = files.length - shown.length;
  return more === 0 ? shown.join(", ") : `${shown.join(", ")} and ${more} more`;
}
