import { inWholeSeconds, PackedList } from "../../homeserver/media/pack/packed-list.ts";
import { walkStore } from "../../homeserver/media/store/store.ts";
import type { Bytes } from "../../pipeline/transform.ts";
import type { Files } from "../../system/files/files.ts";

/** The list of the files that a media store already has, for the host that sends the rest. Empty without a store. */
export async function* listExistingMedia(store: string, key: Uint8Array, files: Files): Bytes {
  if (!(await files.lstat(store))) return;
  const list = new PackedList(key);
  let waiting = 0;
  for await (const file of walkStore(store, files)) {
    list.add(inWholeSeconds(file));
    waiting += 1;
    if (waiting < AT_ONCE) continue;
    waiting = 0;
    yield list.take();
  }
  yield list.take();
}

/** Files for each chunk of the list. */
const AT_ONCE = 1000;
