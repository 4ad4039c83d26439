import { dirname } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import type { LayoutFile } from "./layout.ts";

/** What each of our files has in its first lines. */
const OURS = "Made by synlift";

/**
 * Writes what a layout wants beside the configuration. May be called again; a file of ours is made anew. Throws
 * `target-not-empty`, before the first byte, where somebody else's file is in the way.
 */
export async function writeLayoutFiles(wanted: readonly LayoutFile[], files: Files): Promise<void> {
  for (const { path, keep } of wanted) {
    const found = await files.look(path);
    if (!found || (keep && found.kind === "file")) continue;
    const start = found.kind === "file" ? (await files.readText(path)).slice(0, 200) : "";
    if (start.includes(OURS)) continue;
    throw new MigrationError("target-not-empty", `${path} is there already and is not of synlift's making`, {
      hint: "choose another --folder, or take the file away",
    });
  }
  for (const { path, content, mode, folderMode, keep } of wanted) {
    if (keep && (await files.look(path))) continue;
    await files.makeFolder(dirname(path), folderMode);
    await files.writeWhole(path, content, mode);
  }
}
