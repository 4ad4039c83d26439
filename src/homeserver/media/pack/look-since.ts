import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  type ComparedBefore,
  compareSince,
  describeDays,
  entriesOfUpload,
  MOST_DIFFERING,
} from "../compare/since.ts";
import { DAY } from "../providers/row-range.ts";
import { keptFolders } from "../store/folders.ts";
import { LOCAL_FOLDERS } from "../store/layout.ts";
import type { StoredFile, StoreState } from "../store/store.ts";
import { PackedListReader } from "./packed-list.ts";
import { type LastLook, type LookOrder, lookForTheLastTime, type NewFiles } from "./last-look.ts";

/** A look at the whole store while its server ran. */
export interface LookBefore extends ComparedBefore {
  readonly look: LastLook;
  /** What was not packed then, and could be named. */
  readonly fresh: readonly StoredFile[];
  /** The files of the last days, as it saw them: size and time by name. */
  readonly recent: ReadonlyMap<string, string>;
}

/** Milliseconds: by so much a file is older, by the clock of its file system, that certainly was there when a look began. */
const OLD_MS = 3 * DAY;
/** The same for when it was last given its name or its content: another host's file system has its own clock. */
const CHANGED_MS = 60_000;
const MOST_RECENT = 200_000;

/**
 * Looks at the whole store while its server runs, so that a look in the outage need not. Undefined where that one has to see everything:
 * with SQLite, with storage providers, with archives for matrix-media-repo, with media of other servers, where unreadable files were accepted, and
 * where very many files are new or differ. Throws as `lookForTheLastTime`.
 */
export async function lookBeforehand(
  from: LookOrder,
  { now }: { now: () => number },
): Promise<LookBefore | undefined> {
  const { session, providers, archive, kept, unreadableAccepted } = from;
  const isLocal = keptFolders(kept).length === LOCAL_FOLDERS.length;
  if (session.engine !== "postgres" || providers.length > 0 || archive || !isLocal || unreadableAccepted)
    return undefined;
  const at = now();
  const { days } = await describeDays(session);
  const recent = new Map<string, string>();
  const note = (file: StoredFile) => {
    if (file.mtimeMs >= at - OLD_MS && recent.size <= MOST_RECENT) recent.set(file.name, asSeen(file));
  };
  const look = await lookForTheLastTime({ ...from, note });
  const { differing, differingCount } = look.compared;
  const fresh = look.forBackup.all;
  if (!fresh || differingCount > MOST_DIFFERING || recent.size > MOST_RECENT) return undefined;
  return { at, days, differing: differing.map(({ mediaId }) => mediaId), look, fresh, recent };
}

/**
 * The last look, by what came since one that was made while the server ran: files of uploads that are new by their rows, and of those
 * that differed. Looks at everything where it cannot be told what is new. The server is down for as long as this takes. Not seen
 * are thumbnails that Synapse made since of older uploads, which it makes again when somebody asks for them.
 */
export async function lookSince(before: LookBefore, from: LookOrder): Promise<LastLook> {
  const { session, store, files, signal } = from;
  const found = await compareSince({ session, store, files }, before, {
    hashes: false,
    tell: () => undefined,
    signal,
  });
  if (!found) return lookForTheLastTime(from);
  const fresh = new Map<string, StoredFile>();
  let { files: count, bytes } = before.look.state;
  for (const { name, size: counted } of before.fresh) {
    const entry = await files.lstat(join(store, name));
    if (entry?.kind === "file") {
      const { size, mode, mtimeMs } = entry;
      fresh.set(name, { name, size, mode, mtimeMs });
      bytes += size - counted;
    } else {
      count -= 1;
      bytes -= counted;
    }
  }
  const differed = new Set(before.differing);
  const candidates: StoredFile[] = [];
  for (const id of found.ids)
    for await (const { name, kind, size, mode, mtimeMs, changedMs } of entriesOfUpload(id, {
      store,
      files,
    })) {
      const file = { name, size, mode, mtimeMs };
      const isOld = !differed.has(id) && changedMs !== undefined && changedMs < before.at - CHANGED_MS;
      if (kind !== "file" || fresh.has(name) || isSeen(file, isOld, before)) continue;
      candidates.push(file);
    }
  // A new file has a new time; what was changed of late and has an old one may be packed.
  const isNew = ({ mtimeMs }: StoredFile) => mtimeMs >= before.at - OLD_MS;
  const unsure = candidates.filter((file) => !isNew(file)).sort(inOrderOfWalk);
  for (const file of [...candidates.filter(isNew), ...(await notPacked(unsure, from))]) {
    fresh.set(file.name, file);
    if (before.recent.has(file.name)) continue;
    count += 1;
    bytes += file.size;
  }
  const all = [...fresh.values()].sort(inOrderOfWalk);
  const forBackup: NewFiles = { all, elsewhere: false };
  const state: StoreState = { ...before.look.state, files: count, bytes, digest: digestOf(before, all) };
  return { state, compared: found.compared, forBackup, forArchive: before.look.forArchive };
}

/** What none of the lists has, of files in the order of the walk. The lists are read once. */
async function notPacked(
  candidates: readonly StoredFile[],
  { backup = [], files }: LookOrder,
): Promise<readonly StoredFile[]> {
  let left = candidates;
  for (const list of left.length === 0 ? [] : backup) {
    const reader = new PackedListReader(list, files);
    const missing: StoredFile[] = [];
    try {
      for (const file of left) if (!(await reader.holds(file))) missing.push(file);
    } finally {
      await reader.close();
    }
    left = missing;
  }
  return left;
}

const asSeen = ({ size, mtimeMs }: StoredFile) => `${size} ${mtimeMs}`;

/** Whether the earlier look has seen a file as it is now. Then it is packed, or told as new by that look. */
const isSeen = (file: StoredFile, isOld: boolean, { at, recent }: LookBefore) =>
  (isOld && file.mtimeMs < at - OLD_MS) || recent.get(file.name) === asSeen(file);

const digestOf = ({ look }: LookBefore, fresh: readonly StoredFile[]) => {
  const hash = createHash("sha256").update(look.state.digest);
  for (const { name, size, mtimeMs } of fresh) hash.update(`\n${name}\0${size}\0${mtimeMs}`);
  return hash.digest("hex");
};

/** Folder by folder: "a/b" comes before "a-/b". */
function inOrderOfWalk({ name: one }: StoredFile, { name: other }: StoredFile): number {
  const [a, b] = [one.replaceAll("/", "\0"), other.replaceAll("/", "\0")];
  return a < b ? -1 : a > b ? 1 : 0;
}
