import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { drain } from "../../../pipeline/transform.ts";
import { formatCount } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import { MEDIA_UNREADABLE } from "../accept-ids.ts";
import type { MediaExport } from "../export.ts";
import { isSingleFileError } from "./stable-read.ts";

type UnreadableOptions = Pick<MediaExport, "store" | "unreadableAccepted">;

const SHOWN = 5;

/** Throws `media-missing` when there is something in the store that cannot be read, unless that was accepted. Names are below the store. */
export function assertNoneUnreadable(
  names: readonly string[],
  count: number,
  { store, unreadableAccepted }: UnreadableOptions,
): void {
  if (count === 0 || unreadableAccepted) return;
  const more = count > SHOWN ? ` and ${formatCount(count - SHOWN)} more` : "";
  throw new MigrationError(
    "media-missing",
    `files or folders in ${store} that cannot be read: ${formatCount(count)}: ${names.slice(0, SHOWN).join(", ")}${more}`,
    {
      hint: `run synlift as a user who can read them, such as root, and check the kernel's log for disk errors, then run the same command again; or continue without them: --accept ${MEDIA_UNREADABLE}`,
    },
  );
}

/**
 * Reads once more what could not be read when the first archive was made: what can be read by now comes in the second.
 * Throws `media-missing` as `assertNoneUnreadable`.
 */
export async function assertReadableNow(
  names: readonly string[],
  store: UnreadableOptions & { readonly files: Files },
): Promise<void> {
  if (store.unreadableAccepted) return;
  const still: string[] = [];
  for (const name of names) if (!(await canBeRead(join(store.store, name), store.files))) still.push(name);
  assertNoneUnreadable(still, still.length, store);
}

async function canBeRead(path: string, files: Files): Promise<boolean> {
  try {
    if ((await files.lstat(path))?.kind === "file") await drain(files.read(path));
    return true;
  } catch (error) {
    if (error instanceof MigrationError && error.code === "file-missing") return true;
    if (isSingleFileError(error)) return false;
    throw error;
  }
}
