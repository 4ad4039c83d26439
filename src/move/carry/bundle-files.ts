import { join } from "node:path";
import { CHECKSUMS, MANIFEST, OPENING, REPORT } from "../../bundle/layout.ts";
import type { Manifest, Part } from "../../bundle/manifest.ts";
import { Digester } from "../../pipeline/digest.ts";
import type { Files } from "../../system/files/files.ts";
import type { LocalFile } from "../../transfer/remote.ts";

/** Every file that the manifest lists, in its order. */
export const partsOf = ({ artifacts, inventory }: Manifest): Part[] => [
  ...artifacts.flatMap(({ parts }) => parts),
  inventory,
];

/** Files of a bundle that its manifest does not list, for people. */
export const COMPANIONS: readonly string[] = [OPENING, CHECKSUMS, REPORT];

/** Those that exist, and the manifest itself, with the hashes that they have now. */
export async function readCompanions(
  folder: string,
  files: Files,
): Promise<{ companions: LocalFile[]; manifest: LocalFile }> {
  const found: LocalFile[] = [];
  for (const name of [...COMPANIONS, MANIFEST]) {
    const path = join(folder, name);
    if ((await files.lstat(path))?.kind !== "file") continue;
    const tally = new Digester();
    tally.add(await files.readWhole(path));
    found.push({ name, path, ...tally.result() });
  }
  return { companions: found.slice(0, -1), manifest: found.at(-1)! };
}
