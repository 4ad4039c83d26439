import { join } from "node:path";
import { LOCK } from "../../../bundle/layout.ts";
import { MigrationError } from "../../../errors.ts";
import { findDatabase, openSource } from "../../../homeserver/database/source.ts";
import type { Homeserver } from "../../../homeserver/homeserver.ts";
import { MEDIA_ARTIFACT } from "../../../homeserver/media/export.ts";
import { PackingReport } from "../../../homeserver/media/pack/entries.ts";
import {
  lookForPass,
  packPass,
  type PassLook,
  type PassSource,
} from "../../../homeserver/media/pack/pass.ts";
import { openProviders } from "../../../homeserver/media/providers/provider.ts";
import { acquireLock } from "../../../journal/lock.ts";
import type { Channel } from "../../../pipeline/channel.ts";
import { saveStream } from "../../../pipeline/save-stream.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatCountOf } from "../../../report/units.ts";
import type { System } from "../../../system/system.ts";
import { type FollowAnswers, type FollowRequests, parseFollowRequest } from "../protocol.ts";

/** Below synlift's folder on the old host, while a pass runs: whoever looks what is in that folder passes over such names. */
const FOLDER = ".follow-media";
const THERE = "there.txt";

/** Opens what is read for a pass, and nothing that is written to. */
async function withMedia<T>(
  homeserver: Homeserver,
  system: System,
  act: (from: PassSource) => Promise<T>,
): Promise<T> {
  const { files, machine, signal } = system;
  const { mediaStore: store } = homeserver;
  const found = await files.stat(store);
  if (found?.kind !== "folder")
    throw new MigrationError(
      "file-missing",
      `the media store ${store} ${found ? "is not a directory" : "does not exist"}`,
      { hint: "check media_store_path; or leave the media out here: --without-media" },
    );
  const { database } = await findDatabase(homeserver, system);
  const providers = openProviders(homeserver, system);
  const session = await openSource(database, system);
  try {
    return await act({ session, providers, store, files, machine, signal });
  } finally {
    for (const provider of providers) provider.close();
    await session.close();
  }
}

/** How much media there is, and what of it cannot be moved. Reads only. */
export const lookAtMedia = (
  homeserver: Homeserver,
  system: System,
): Promise<{ all: PassLook["all"]; findings: readonly Finding[] }> =>
  withMedia(homeserver, system, async (from) => {
    const look = await lookForPass(from, undefined);
    return { all: look.all, findings: passFindings(look, from.store) };
  });

/**
 * The old host's side of a pass over the media: sends what the new host does not have. The store is only read; the new host's list is in
 * `folder` meanwhile. Throws `bundle-in-use` when another pass runs, and what the walk, the database and the providers do.
 */
export async function sendMediaPass(
  { key }: FollowRequests["media"],
  homeserver: Homeserver,
  folder: string,
  channel: Channel,
  system: System,
): Promise<void> {
  const { files, machine } = system;
  const place = join(folder, FOLDER);
  await files.makeFolder(place);
  const held = await acquireLock(join(place, LOCK), files, machine);
  const there = { path: join(place, THERE), key: Buffer.from(key, "base64"), wholeSeconds: true };
  try {
    await saveStream(channel.receiveStream(), there.path, files);
    await withMedia(homeserver, system, async (from) => {
      const look = await lookForPass(from, there);
      const { all, toCome } = look;
      await channel.sendMessage({
        type: "media-found",
        all,
        toCome: toCome ?? null,
        findings: passFindings(look, from.store).map((one) => ({
          ...one,
          evidence: [...(one.evidence ?? [])],
        })),
      } satisfies FollowAnswers["media-found"]);
      const said = await channel.receiveMessageOrEnd();
      // There is no room for it on the new host.
      if (said === undefined) return;
      const answer = parseFollowRequest(said);
      if (answer.type !== "media-go")
        throw new MigrationError(
          "connection-failed",
          `the new host sent "${answer.type}" instead of "media-go"`,
          { hint: "use the same version of synlift on both hosts, and run the same command again" },
        );
      const noticed = new PackingReport();
      if (toCome?.files !== 0) {
        await channel.sendMessage({
          type: "artifact",
          name: MEDIA_ARTIFACT,
        } satisfies FollowAnswers["artifact"]);
        await channel.sendStream(packPass(look, there, { ...from, noticed }));
      }
      const { changed, changedCount } = noticed.outcome();
      await channel.sendMessage({
        type: "media-sent",
        broken: [...noticed.unreadable],
        changed: [...changed],
        changedCount,
      } satisfies FollowAnswers["media-sent"]);
    });
  } finally {
    await files.remove(there.path);
    await held.release();
    await removeIfEmpty(place, files);
  }
}

/** Removes what a pass that was killed has left. */
export async function forgetMediaPasses(folder: string, { files }: Pick<System, "files">): Promise<void> {
  const place = join(folder, FOLDER);
  if (!(await files.lstat(place))) return;
  for (const name of await files.list(place)) await files.remove(join(place, name));
  await removeIfEmpty(place, files);
}

/** Another pass may have begun since. */
async function removeIfEmpty(folder: string, files: System["files"]): Promise<void> {
  try {
    await files.removeEmptyFolder(folder);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
  }
}

/** What `pull` refuses to leave behind later, told while there is time. */
function passFindings({ missing, odd, closed }: PassLook, store: string): Finding[] {
  const evidence = [
    ...(missing === 0
      ? []
      : [`${formatCountOf(missing, "upload")} without a file, or with one of another size`]),
    ...(odd === 0 ? [] : [`links, special files, or names that are not UTF-8: ${odd}`]),
    ...(closed === 0 ? [] : [`what cannot be read: ${closed}`]),
  ];
  if (evidence.length === 0) return [];
  return [
    {
      id: "follow-media-incomplete",
      level: "warning",
      sentence: `not all media in ${store} can be copied`,
      evidence,
      hint: "pull refuses it without consent, and says which: mend it before the night of the move. synlift plan on the old host names them",
    },
  ];
}
