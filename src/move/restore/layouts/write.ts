import { dirname } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import type { LayoutFile } from "./layout.ts";

/** The text in the first lines of each file that synlift writes. */
const MARKER = "Made by synlift";

/**
 * Writes the files of a layout. May be repeated; files that synlift wrote are replaced. Throws
 * `target-not-empty`, before anything is written, where another file exists.
 */
export async function writeLayoutFiles(wanted: readonly LayoutFile[], files: Files): Promise<void> {
  for (const { path, keep } of wanted) {
    const found = await files.lstat(path);
    if (!found || (keep && found.kind === "file")) continue;
    const start = found.kind === "file" ? (await files.readText(path)).slice(0, 200) : "";
    if (start.includes(MARKER)) continue;
    throw new MigrationError("target-not-empty", `${path} already exists and was not written by synlift`, {
      hint: "choose another --folder, or remove the file",
    });
  }
  for (const { path, content, mode, folderMode, keep } of wanted) {
    if (keep && (await files.lstat(path))) continue;
    await files.makeFolder(dirname(path), folderMode);
    await files.writeAtomically(path, content, mode);
  }
}
