import { inWholeSeconds, PackedList } from "../../homeserver/media/pack/packed-list.ts";
import { walkStore } from "../../homeserver/media/store/store.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import type { Files } from "../../system/files/files.ts";

/** The list of the media that a store has already, for whoever is to send the rest. Empty when there is no store yet. */
export async function* mediaThere(store: string, key: Uint8Array, files: Files): Bytes {
  if (!(await files.look(store))) return;
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

/** Files that are told of in one piece. */
const AT_ONCE = 1000;
