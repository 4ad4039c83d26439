import { dirname, join } from "node:path";
import { MigrationError, tryRead } from "../../../errors.ts";
import { LOCAL_FOLDERS } from "../../../homeserver/media/store/layout.ts";
import { formatBytes, formatCountOf, formatDuration } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import { findRecord } from "../../restore/record.ts";
import { type MediaRecord, readMediaRecord } from "./record.ts";

/** Where media are copied to. */
interface MediaPlace {
  /** The new server's media store. Absolute. */
  readonly dir: string;
  /** Whom it is to belong to; undefined for the account that runs synlift. */
  readonly owner: { readonly name: string; readonly uid: number; readonly gid: number } | undefined;
}

/** What was said about media. */
export interface MediaOrder {
  readonly isLeftOut: boolean;
  /** Whether options say where. */
  readonly isGiven: boolean;
  /** Seconds between two passes; undefined for those of before, or an hour. */
  readonly every: number | undefined;
  /** Bytes a second; undefined for that of before, or none. */
  readonly maxRate: number | undefined;
  /** Throws `bad-usage` where no place is given and none follows from the other options. */
  readonly choose: () => MediaPlace;
}

const HOUR = 3600;

/**
 * The record as it is to be from now on; undefined where no media are copied beside the database. Changes nothing. A copy that was begun without media
 * goes on without, unless options say where. Throws `bad-usage`, `bundle-mismatch` for another place than before, `target-not-empty` for a
 * store that has media already.
 */
export async function settleMedia(
  order: MediaOrder,
  { configDir, isBegun }: { readonly configDir: string; readonly isBegun: boolean },
  files: Files,
): Promise<MediaRecord | undefined> {
  const before = await readMediaRecord(configDir, files);
  // A run that was killed as it began has written nothing yet.
  const isUntouched = before?.last === null && before.running === null && before.failed === null;
  if (before && (isBegun || order.isLeftOut || !isUntouched)) {
    if (order.isGiven) assertSamePlace(before, order.choose());
    return {
      ...before,
      every: order.every ?? before.every,
      maxRate: order.maxRate ?? before.maxRate,
      paused: order.isLeftOut || (before.paused && isBegun && !order.isGiven),
    };
  }
  if (order.isLeftOut || (isBegun && !order.isGiven)) return undefined;
  const { dir, owner } = order.choose();
  await assertUnused(dir, files);
  return {
    format: "synlift-follow-media",
    version: 1,
    serverName: "",
    dir,
    owner: owner ? { name: owner.name, uid: owner.uid, gid: owner.gid } : null,
    every: order.every ?? HOUR,
    maxRate: order.maxRate ?? null,
    paused: false,
    made: await missingFolders(dir, files),
    last: null,
    running: null,
    failed: null,
    changed: [],
  };
}

/** Throws `bundle-mismatch` unless it is the place to which media are copied already. */
function assertSamePlace({ dir, owner }: MediaRecord, chosen: MediaPlace): void {
  if (chosen.dir === dir && chosen.owner?.uid === owner?.uid && chosen.owner?.gid === owner?.gid) return;
  const [is, now] = [
    { dir, owner: owner ?? undefined },
    { dir: chosen.dir, owner: chosen.owner },
  ].map((one) => `${one.dir}${one.owner ? ` for ${one.owner.name}` : ""}`);
  throw new MigrationError(
    "bundle-mismatch",
    `media are copied to ${is ?? ""} already, and not to ${now ?? ""}`,
    {
      hint: "leave out --media-dir, --layout and --owner to go on there, or end the copy first: synlift follow stop",
    },
  );
}

/** What is in it later is to be taken away again as what `follow` has written. */
async function assertUnused(dir: string, files: Files): Promise<void> {
  const found = await files.stat(dir);
  if (found && found.kind !== "folder")
    throw new MigrationError("target-not-empty", `${dir} is not a directory`, {
      hint: "give another folder: --media-dir",
    });
  for (const folder of LOCAL_FOLDERS) {
    const path = join(dir, folder);
    if (!(await files.lstat(path))) continue;
    const [first] = (await tryRead(() => files.list(path))) ?? ["what cannot be listed"];
    if (first === undefined) continue;
    throw new MigrationError("target-not-empty", `${path} is not empty: it has ${first}`, {
      hint: "give another folder with --media-dir, or leave media out with --without-media: pull compares and keeps what is there",
    });
  }
}

/** Those that will be made, outermost first. */
async function missingFolders(dir: string, files: Files): Promise<string[]> {
  const missing: string[] = [];
  for (let folder = dir; !(await files.lstat(folder)); folder = dirname(folder)) missing.unshift(folder);
  for (const folder of LOCAL_FOLDERS)
    if (!(await files.lstat(join(dir, folder)))) missing.push(join(dir, folder));
  return missing;
}

/** What is done with media on this host, in a line. */
export const describeMedia = (
  { dir, owner, every, maxRate, last }: MediaRecord,
  all: { readonly files: number; readonly bytes: number },
): string =>
  `on this host: copy the media beside it, ${formatCountOf(all.files, "file")}, ${formatBytes(all.bytes)}, into ${dir}${owner ? `, for ${owner.name}` : ""}${
    last ? `, which has ${formatBytes(last.here.bytes)} of it` : ""
  }; then what is new, every ${formatDuration(every)}${maxRate === null ? "" : `, at most ${formatBytes(maxRate)} a second`}`;

/** Whether the media are the new server's by now: something was restored to use them. */
export const isInUse = async (
  { dir }: Pick<MediaRecord, "dir">,
  configDir: string,
  files: Files,
): Promise<boolean> => (await findRecord(configDir, files))?.mediaStore === dir;
