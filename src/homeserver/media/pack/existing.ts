import type { Bytes } from "../../../pipeline/transform.ts";
import { type Files, UNFINISHED_SUFFIX } from "../../../system/files/files.ts";
import { walkStore } from "../store/store.ts";
import { inWholeSeconds, PackedList } from "./packed-list.ts";

/** Files, and their bytes. */
export interface MediaCount {
  files: number;
  bytes: number;
}

export interface ListedMedia {
  /** Names below the store that are not listed although they are there: the other host sends them again. */
  readonly without?: ReadonlySet<string> | undefined;
  /** Counts what is listed. */
  readonly count?: MediaCount;
}

/** The list of the files that a media store already has, for the host that sends the rest. Empty without a store. */
export async function* listExistingMedia(
  store: string,
  key: Uint8Array,
  files: Files,
  { without, count = { files: 0, bytes: 0 } }: ListedMedia = {},
): Bytes {
  if (!(await files.lstat(store))) return;
  const list = new PackedList(key);
  let waiting = 0;
  for await (const file of walkStore(store, files)) {
    if (without?.has(file.name) === true || isUnfinished(file.name)) continue;
    list.add(inWholeSeconds(file));
    count.files += 1;
    count.bytes += file.size;
    waiting += 1;
    if (waiting < AT_ONCE) continue;
    waiting = 0;
    yield list.take();
  }
  yield list.take();
}

/** What a run that was killed has left under a temporary name. */
function isUnfinished(name: string): boolean {
  const last = name.slice(name.lastIndexOf("/") + 1);
  return last.startsWith(".") && last.endsWith(UNFINISHED_SUFFIX);
}

/** Files for each chunk of the list. */
const AT_ONCE = 1000;
