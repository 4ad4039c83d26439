import { dirname } from "node:path";
import { MigrationError } from "../errors.ts";
import { formatBytes } from "../report/units.ts";
import type { Files } from "../system/files/files.ts";

/** Throws `disk-full` when what is certain to be written does not fit where a folder is, or will be. */
export async function mustHaveRoom(
  folder: string,
  bytes: number,
  what: string,
  option: string,
  files: Files,
): Promise<void> {
  let there = folder;
  while (!(await files.follow(there))) there = dirname(there);
  const { free } = await files.space(there);
  if (free >= bytes) return;
  throw new MigrationError(
    "disk-full",
    `${there} has ${formatBytes(free)} free, ${what} alone takes ${formatBytes(bytes)}`,
    {
      hint: `choose a folder on a larger disk: ${option}`,
    },
  );
}

/** Throws `file-missing` when a file that is to be written has no folder: before a long look, not after it. */
export async function mustHaveFolder(path: string, option: string, files: Files): Promise<void> {
  const folder = dirname(path);
  if ((await files.follow(folder))?.kind === "folder") return;
  throw new MigrationError("file-missing", `${option}: there is no folder ${folder}`, {
    hint: "make it first, or name another place",
  });
}
