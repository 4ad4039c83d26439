import { dirname } from "node:path";
import { MigrationError } from "../errors.ts";
import type { DatabaseSource } from "../homeserver/database/source.ts";
import { privateCopyBytes, privateCopyFolder } from "../homeserver/database/sqlite/private-copy.ts";
import { formatBytes } from "../report/units.ts";
import type { Files } from "../system/files/files.ts";

/** Throws `disk-full` when `bytes` do not fit on the file system of a folder that exists or will be created. */
export async function assertDiskSpace(
  folder: string,
  bytes: number,
  what: string,
  option: string,
  files: Files,
): Promise<void> {
  let there = folder;
  while (!(await files.stat(there))) there = dirname(there);
  const { free } = await files.diskSpace(there);
  if (free >= bytes) return;
  throw new MigrationError(
    "disk-full",
    `${there} has ${formatBytes(free)} free, but ${what} needs ${formatBytes(bytes)}`,
    {
      hint: `choose a folder on a larger disk: ${option}`,
    },
  );
}

/**
 * Throws `disk-full` when a rehearsal into the folder `bundle` has no room for the private copy of a running server's
 * SQLite database. It is removed before media is packed, so the two are not needed together.
 */
export async function assertSpaceForPrivateCopy(
  bundle: string,
  database: DatabaseSource,
  option: string,
  files: Files,
): Promise<void> {
  if (database.engine !== "sqlite") return;
  const left = await privateCopyBytes(bundle, files);
  const folder = dirname(privateCopyFolder(bundle));
  await assertDiskSpace(
    folder,
    Math.max(0, database.size - left),
    "a private copy of the database",
    option,
    files,
  );
}

/** Throws `file-missing` when the folder of a file to be written does not exist: before a long run, not after it. */
export async function assertParentFolder(path: string, option: string, files: Files): Promise<void> {
  const folder = dirname(path);
  if ((await files.stat(folder))?.kind === "folder") return;
  throw new MigrationError("file-missing", `${option}: the folder ${folder} does not exist`, {
    hint: "create it, or choose another path",
  });
}
