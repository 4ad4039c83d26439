import { inTurn } from "../../../pipeline/in-turn.ts";
import { packTar } from "../../../pipeline/tar.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Machine } from "../../../system/machine.ts";
import { NOTHING_KEPT } from "../../scope.ts";
import { settledTest } from "../export.ts";
import { keptFolders } from "../store/folders.ts";
import { walkStore } from "../store/store.ts";
import { type EntrySources, mediaEntries } from "./entries.ts";
import type { MediaCount } from "./existing.ts";
import { lookForTheLastTime, type NewFiles } from "./last-look.ts";
import { filesNotListed, type SavedList } from "./packed-list.ts";

/** The media of a server that runs, for somebody who has some of it and wants the rest. */
export interface PassSource extends Omit<EntrySources, "noticed"> {
  readonly machine: Pick<Machine, "now">;
}

/** What a look at the media of a running server tells. Changes nothing. */
export interface PassLook {
  /** All that there is to move, also what only a storage provider has. */
  readonly all: Readonly<MediaCount>;
  /** What the list does not hold; undefined where there is too much of it, or it may be in a provider. */
  readonly toCome: Readonly<MediaCount> | undefined;
  readonly fresh: NewFiles;
  /** Uploads without a file, or with one of another size. */
  readonly missing: number;
  /** Entries that are not moved as they are no regular files, or have names that are not UTF-8. */
  readonly odd: number;
  /** What cannot be looked at or into. */
  readonly closed: number;
}

/** One walk through the store beside its rows. Everything that is there is new where there is no list. Throws as the database and the providers do. */
export async function lookForPass(from: PassSource, there: SavedList | undefined): Promise<PassLook> {
  const {
    state,
    compared,
    forBackup: fresh,
  } = await lookForTheLastTime({
    ...from,
    kept: NOTHING_KEPT,
    unreadableAccepted: true,
    backup: there ? [there] : undefined,
    archive: undefined,
  });
  const { provided } = compared;
  return {
    all: { files: state.files + provided.files, bytes: state.bytes + provided.bytes },
    toCome: fresh.elsewhere || !fresh.all ? undefined : countOf(fresh.all),
    fresh,
    missing: compared.differingCount,
    odd: state.odd.count + state.nameless.count,
    closed: state.closed.count,
  };
}

const countOf = (all: readonly { readonly size: number }[]): MediaCount => ({
  files: all.length,
  bytes: all.reduce((sum, { size }) => sum + size, 0),
});

/**
 * An archive of what a list does not hold, as it is at this moment. What was written in the last moments, and what changes while it is
 * read, is for the next pass.
 */
export function packPass(
  { fresh }: Pick<PassLook, "fresh">,
  there: SavedList,
  from: PassSource & Pick<EntrySources, "noticed">,
): Bytes {
  const { store, files, machine } = from;
  const walk = { closed: () => undefined, threads: 1 } as const;
  const rest = fresh.all
    ? inTurn(fresh.all)
    : filesNotListed(walkStore(store, files, walk, keptFolders(NOTHING_KEPT)), there, files);
  const isSettled = settledTest(true, machine.now(), machine);
  return packTar(mediaEntries(rest, from, () => Promise.resolve(), { isSettled, already: there }));
}
