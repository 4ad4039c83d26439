import { dirname } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import { formatBytes } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";

/** Bytes that media leave free on a disk: on a full one the copy of the database ends, which may be on the same. */
const RESERVE = 1024 * 1024 * 1024;
/** At most so much of the whole disk. */
const RESERVE_SHARE = 0.05;
/** Bytes after which the free space is looked at again. */
const LOOK_EVERY = 16 * 1024 * 1024;

/** A folder that exists, or the nearest above that does. */
export async function nearestFolder(folder: string, files: Pick<Files, "stat">): Promise<string> {
  let there = folder;
  while (!(await files.stat(there))) there = dirname(there);
  return there;
}

/** Throws `disk-full` when so many bytes of media would leave too little free. */
export async function assertRoomForMedia(
  folder: string,
  bytes: number,
  files: Pick<Files, "stat" | "diskSpace">,
): Promise<void> {
  const there = await nearestFolder(folder, files);
  const { free, total } = await files.diskSpace(there);
  const reserve = Math.min(RESERVE, total * RESERVE_SHARE);
  if (free >= bytes + reserve) return;
  throw new MigrationError(
    "disk-full",
    `${there} has ${formatBytes(free)} free; the media need ${formatBytes(bytes)}, and ${formatBytes(reserve)} are left free for the database`,
    { hint: "make room there, or choose a folder on a larger disk: --media-dir" },
  );
}

/** A stream, broken off with `disk-full` before the disk with a folder is full. */
export async function* whileRoom(
  source: Bytes,
  folder: string,
  files: Pick<Files, "stat" | "diskSpace">,
): Bytes {
  let since = 0;
  for await (const chunk of source) {
    since += chunk.length;
    if (since >= LOOK_EVERY) {
      since = 0;
      await assertRoomForMedia(folder, 0, files);
    }
    yield chunk;
  }
}
