import { join } from "node:path";
import type { ArtifactWriter } from "../../bundle/artifact-writer.ts";
import type { Inventory } from "../../bundle/inventory.ts";
import { PACKED_MEDIA } from "../../bundle/layout.ts";
import { MigrationError } from "../../errors.ts";
import type { Step } from "../../journal/step.ts";
import { packTar } from "../../pipeline/tar.ts";
import type { Files } from "../../system/files/files.ts";
import type { Machine } from "../../system/machine.ts";
import type { QuerySession } from "../../system/query.ts";
import { type Kept, keptInputs } from "../scope.ts";
import { MEDIA_MISSING } from "./accept-ids.ts";
import { type Comparison, describeDiffering } from "./compare/compare.ts";
import { mediaEntries, PackingReport } from "./pack/entries.ts";
import { filesNotListed, PackedList, type SavedList } from "./pack/packed-list.ts";
import type { SharedReads } from "./pack/shared-reads.ts";
import type { ReadableProvider } from "./providers/provider.ts";
import { countRowsPerDay, type FirstRows, type RowsPerDay } from "./providers/row-range.ts";
import { fileHash } from "./store/file-hash.ts";
import { keptFolders } from "./store/folders.ts";
import { walkStore } from "./store/store.ts";

export const MEDIA_ARTIFACT = "customer_backup_media_export.tar.gz";
export const MEDIA_SECTION = "media";
export const MEDIA_STEP = "export/media";

export interface MediaExport {
  readonly store: string;
  /** Folder of the bundle. */
  readonly folder: string;
  /** Bytes in the store, about. */
  readonly total: number;
  /** Whether the server may be writing a file at this moment: then the newest wait for the second archive. */
  readonly serving: boolean;
  readonly inputs: Readonly<Record<string, string>>;
  readonly accepted: boolean;
  /** Whether what cannot be read may stay behind. */
  readonly unreadableAccepted: boolean;
  /** What is packed besides uploads and their thumbnails. */
  readonly kept: Kept;
  /** Rows against files, as they are when it is called. */
  readonly compare: () => Promise<Comparison>;
  /** Opens the database and the storage providers for the time in which files are packed. */
  readonly withAccess: <T>(act: (reach: MediaAccess) => Promise<T>) => Promise<T>;
  /** The files that the receiver of the archives has already. */
  readonly alreadyReceived?: SavedList | undefined;
  /** Who reads the same files at the same time. */
  readonly shared: SharedReads;
  readonly signal: AbortSignal;
  readonly files: Files;
  readonly machine: Pick<Machine, "now">;
  readonly into: ArtifactWriter;
  readonly inventory: Inventory;
  readonly saved: () => Promise<void>;
  findFault: Step["findFault"];
}

/** What is read while files are packed. */
export interface MediaAccess {
  readonly session: QuerySession;
  readonly providers: readonly ReadableProvider[];
}

/** Milliseconds since its last change after which a file is certainly complete: Synapse writes what it has received whole. */
const SETTLE_TIME = 30_000;

/**
 * Whether a file, by the time of its last change, is complete; asked while it is packed. Only the last moments before the
 * packing and those since are in doubt: a time in the future is from before the clock was set back.
 */
export function settledTest(
  serving: boolean,
  began: number,
  { now }: Pick<Machine, "now">,
): (mtimeMs: number) => boolean {
  return (mtimeMs) => !serving || mtimeMs <= began - SETTLE_TIME || mtimeMs > now() + SETTLE_TIME;
}

/** Where the list of what the first archive holds lies. */
export const packedList = ({ folder, inventory }: Pick<MediaExport, "folder" | "inventory">) => ({
  path: join(folder, PACKED_MEDIA),
  key: inventory.salt,
});

/**
 * Packs the local media as it is, also while the server runs, and keeps a list of what it packed. Later files
 * do not invalidate it: they go into the second archive (`exportMediaSince`). Throws `media-missing`.
 */
export function exportMedia(from: MediaExport): Step {
  const { files, into, inventory, store } = from;
  const list = packedList(from);
  return {
    id: MEDIA_STEP,
    label: "media",
    inputs: { ...from.inputs, store, ...keptInputs(from.kept) },
    async findFault(outcome) {
      const why = await from.findFault(outcome);
      if (why !== undefined) return why;
      if ((await fileHash(list.path, files)) !== outcome["list"])
        return `${list.path}, the list of what is packed, is missing or was changed`;
      return undefined;
    },
    async run() {
      const compared = await from.compare();
      assertUploadsPresent(compared, from);
      const plan = {
        name: MEDIA_ARTIFACT,
        format: "tar",
        level: 0,
        label: "media",
        total: from.total + compared.provided.bytes,
      } as const;
      const written = await files.begin(list.path);
      const packed = new PackedList(list.key);
      const noticed = new PackingReport();
      const began = from.machine.now();
      const isSettled = settledTest(from.serving, began, from.machine);
      try {
        let rows: RowsPerDay = {};
        const artifact = await from.withAccess(async (reach) => {
          rows = await countRowsPerDay(reach);
          return into.add(
            plan,
            packTar(
              from.shared.backup(
                mediaEntries(
                  filesToPack(from),
                  { ...from, ...reach, noticed },
                  async (file) => {
                    packed.add(file);
                    if (packed.isFull) await written.write(packed.take());
                  },
                  { isSettled, already: from.alreadyReceived },
                ),
              ),
            ),
          );
        });
        // Detects a media store that disappeared while it was packed, as long as the server still runs.
        if (from.serving && noticed.seenBytes < from.total) assertUploadsPresent(await from.compare(), from);
        await written.write(packed.take());
        await written.finish();
        inventory.setArtifact(artifact);
        await from.saved();
        const { name, size, sha256, parts } = artifact;
        const hash = (await fileHash(list.path, files))!;
        const { serving } = from;
        return { name, size, sha256, parts, ...noticed.outcome(), serving, began, rows, list: hash };
      } finally {
        await written.abandon();
      }
    },
  };
}

/** What of the store is to be packed, in the order of the walk. */
export function filesToPack({
  store,
  files,
  alreadyReceived,
  kept,
  unreadableAccepted,
}: Pick<MediaExport, "store" | "files" | "alreadyReceived" | "kept" | "unreadableAccepted">) {
  const closed = unreadableAccepted ? () => undefined : undefined;
  const walked = walkStore(store, files, { closed, threads: 1 }, keptFolders(kept));
  return alreadyReceived ? filesNotListed(walked, alreadyReceived, files) : walked;
}

/** Throws `media-missing` when uploads have no file, unless that was accepted. */
export function assertUploadsPresent(
  { differing, differingCount, unseen, rows }: Comparison,
  { store, accepted }: Pick<MediaExport, "store" | "accepted">,
): void {
  // What lies in a closed folder was accepted by another name, or else is refused by it.
  if (differingCount === unseen || accepted) return;
  const shown = differing.slice(0, 5).map(describeDiffering);
  const more = differingCount > shown.length ? `; and ${differingCount - shown.length} more` : "";
  throw new MigrationError(
    "media-missing",
    `${differingCount} of ${rows} uploads have no file, or one of another size, in ${store}: ${shown.join("; ")}${more}`,
    {
      hint: `check media_store_path; where matrix-media-repo stores the media, synlift media export fetches them; if they are lost already, continue without them: --accept ${MEDIA_MISSING}`,
    },
  );
}

/** What the journal says of the first archive. */
export interface PackedFirst extends FirstRows {
  readonly sha256: string;
  /** Ids of uploads whose hash is not the one in their row, the first thousand. */
  readonly changed: readonly string[];
  readonly changedCount: number;
  /** Names of files that could not be read, the first thousand. */
  readonly unreadable: readonly string[];
}

/** Throws `media-missing` when uploads in the first archive are other files than those that were uploaded, and nobody accepted that. */
export function assertUploadsUnchanged(
  { changed, changedCount }: PackedFirst,
  { store, accepted }: Pick<MediaExport, "store" | "accepted">,
): void {
  if (changedCount === 0 || accepted) return;
  const more = changedCount > SHOWN ? ` and ${changedCount - SHOWN} more` : "";
  throw new MigrationError(
    "media-missing",
    `${changedCount} uploads in ${store} are not the files that were uploaded, by the hashes in their rows: ${changed.slice(0, SHOWN).join(", ")}${more}`,
    {
      hint: `restore them from a backup, under the same names, and remove the bundle's folder; if they are lost, continue with the files as they are: --accept ${MEDIA_MISSING}`,
    },
  );
}

const SHOWN = 5;
