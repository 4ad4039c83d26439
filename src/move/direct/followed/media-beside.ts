import { MigrationError } from "../../../errors.ts";
import { uploadPath } from "../../../homeserver/media/store/layout.ts";
import { storeState } from "../../../homeserver/media/store/store.ts";
import type { System } from "../../../system/system.ts";
import { readMediaRecord } from "../../follow/media/record.ts";
import { openWritten } from "../../follow/media/written.ts";
import type { RestoreTarget } from "../../restore/run.ts";
import type { FollowedMedia } from "./order.ts";

/**
 * The media that `synlift follow` has copied, for the pull that goes on with them; undefined where it copied none. Throws `bad-usage` where the
 * new server is to have its media elsewhere, or for another account.
 */
export async function mediaBeside(
  { layout: { configDir, mediaDir, owner } }: Pick<RestoreTarget, "layout">,
  { files }: Pick<System, "files">,
): Promise<FollowedMedia | undefined> {
  const record = await readMediaRecord(configDir, files);
  if (!record) return undefined;
  if (record.dir !== mediaDir)
    throw new MigrationError(
      "bad-usage",
      `--media-dir: synlift follow has copied the media to ${record.dir}, not to ${mediaDir}`,
      { hint: `give --media-dir ${record.dir}` },
    );
  const { owner: had } = record;
  if (had?.uid !== owner?.uid || had?.gid !== owner?.gid)
    throw new MigrationError(
      "bad-usage",
      `--owner: the media in ${record.dir} were copied for ${had?.name ?? "the account that runs synlift"}, not for ${owner?.name ?? "that account"}`,
      { hint: had ? `give --owner ${had.name}, or the layout whose account that is` : "leave out --owner" },
    );
  const { bytes } = await storeState(mediaDir, files);
  // What is other content than its row has by its hash is for the old host to judge again, with what was accepted there.
  const names = record.changed?.flatMap((id) => uploadPath(id) ?? id);
  return { bytes, isListed: record.changed !== null, without: new Set(names) };
}

/** Runs with a list that names what is written below the media store: as long as nothing is promoted, `follow stop` takes that away, too. */
export async function noting<T>(
  media: FollowedMedia | undefined,
  configDir: string,
  { files, machine }: Pick<System, "files" | "machine">,
  act: (begins: ((name: string) => Promise<void>) | undefined) => Promise<T>,
): Promise<T> {
  if (!media) return act(undefined);
  const written = await openWritten(configDir, files, machine);
  try {
    return await act((name) => written.add(name));
  } finally {
    await written.close();
  }
}
