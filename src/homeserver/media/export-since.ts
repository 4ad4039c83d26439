import { inTurn } from "../../pipeline/in-turn.ts";
import { encryptedName } from "../../bundle/layout.ts";
import type { Step } from "../../journal/step.ts";
import { packTar } from "../../pipeline/tar.ts";
import { keptInputs } from "../scope.ts";
import {
  assertUploadsPresent,
  filesToPack,
  MEDIA_SECTION,
  type MediaExport,
  type PackedFirst,
  packedList,
} from "./export.ts";
import { mediaEntries, PackingReport } from "./pack/entries.ts";
import { isNothingNew, type NewFiles } from "./pack/last-look.ts";
import { filesNotListed } from "./pack/packed-list.ts";
import { assertNoneUnreadable } from "./pack/unreadable.ts";
import { providedFiles } from "./providers/lookup.ts";
import { ALL_ROWS, rowsSince } from "./providers/row-range.ts";
import type { MediaSection } from "./section.ts";
import type { StoreState } from "./store/store.ts";

/** Sorts after the first archive, and is not a part of it. */
export const MEDIA_SINCE_ARTIFACT = "customer_backup_media_export_since.tar.gz";
export const MEDIA_SINCE_STEP = "export/media-since";

export interface MediaSinceExport extends Omit<MediaExport, "total" | "serving"> {
  /** Of the whole store, now. Asked when the step's inputs are. */
  readonly state: StoreState;
  /** What the first archive does not hold; the step walks through the store itself when left out. */
  readonly fresh?: NewFiles | undefined;
  /** Another one makes this step run again. */
  readonly first: PackedFirst;
  /** Whether there is a first archive, and what it has not is to be packed; else it is only counted. */
  readonly packs: boolean;
}

/**
 * Packs what the first archive does not hold, as an archive of its own, and records what both hold together. When
 * there is nothing, it makes no archive. Throws `media-missing`.
 */
export function exportMediaSince(from: MediaSinceExport): Step {
  const { files, into, inventory, store } = from;
  return {
    id: MEDIA_SINCE_STEP,
    label: "media that came since",
    get inputs() {
      return {
        ...from.inputs,
        store,
        state: from.state.digest,
        first: from.first.sha256,
        ...keptInputs(from.kept),
        accepted: from.accepted ? "missing files" : "nothing",
        ...(from.unreadableAccepted ? { unreadable: "accepted" } : {}),
        ...(from.packs ? {} : { packs: "nothing" }),
      };
    },
    findFault: (outcome) =>
      outcome["name"] === undefined ? Promise.resolve(undefined) : from.findFault(outcome),
    async run() {
      const compared = await from.compare();
      assertUploadsPresent(compared, from);
      const { state, fresh } = from;
      const known = fresh?.all;
      const rest = () => (known ? inTurn(known) : filesNotListed(filesToPack(from), packedList(from), files));
      const noticed = new PackingReport();
      const section = ({ changed, changedCount }: ChangedUploads): MediaSection => ({
        files: state.files + compared.provided.files - noticed.left.files,
        bytes: state.bytes + compared.provided.bytes - noticed.left.bytes,
        rows: compared.rows,
        rowBytes: compared.bytes,
        differing: [...compared.differing],
        differingCount: compared.differingCount,
        differingDigest: compared.differingDigest,
        ...changedAtAll(from.first, { changed, changedCount }),
        ...(noticed.unreadableCount === 0
          ? {}
          : { unreadable: [...noticed.unreadable], unreadableCount: noticed.unreadableCount }),
      });
      let range = ALL_ROWS;
      const isNothing = !from.packs || (fresh !== undefined && isNothingNew(fresh));
      const total = isNothing
        ? undefined
        : await from.withAccess(async (reach) => {
            range = await rowsSince(from.first, reach);
            return sizeOf(rest(), providedFiles({ ...from, ...reach }, range));
          });
      if (total === undefined) {
        inventory.setSection(MEDIA_SECTION, section({ changed: [], changedCount: 0 }));
        await into.remove(MEDIA_SINCE_ARTIFACT);
        inventory.dropArtifact(encryptedName(MEDIA_SINCE_ARTIFACT));
        await from.saved();
        from.shared.leave("backup");
        return { files: 0, bytes: 0 };
      }
      const plan = {
        name: MEDIA_SINCE_ARTIFACT,
        format: "tar",
        level: 0,
        label: "media that came since",
        total,
      } as const;
      const artifact = await from.withAccess((reach) =>
        into.add(
          plan,
          packTar(
            from.shared.backup(
              mediaEntries(rest(), { ...from, ...reach, noticed }, () => Promise.resolve(), {
                range,
                last: true,
              }),
            ),
          ),
        ),
      );
      assertNoneUnreadable(noticed.unreadable, noticed.unreadableCount, from);
      inventory.setSection(MEDIA_SECTION, section(noticed.outcome()));
      inventory.setArtifact(artifact);
      await from.saved();
      const { name, size, sha256, parts } = artifact;
      return { name, size, sha256, parts, ...noticed.outcome() };
    },
  };
}

type ChangedUploads = Pick<PackedFirst, "changed" | "changedCount">;

/** Of both archives. One that is in both counts twice. */
function changedAtAll(
  first: ChangedUploads,
  since: ChangedUploads,
): Pick<MediaSection, "changed" | "changedCount"> {
  const changed = [...first.changed, ...since.changed];
  const changedCount = first.changedCount + since.changedCount;
  return { changed, ...(changedCount > changed.length ? { changedCount } : {}) };
}

/** Bytes of some files; undefined when there are none. */
async function sizeOf(
  walked: AsyncIterable<{ readonly size: number }>,
  provided: AsyncIterable<{ readonly file: { readonly size: number } }>,
): Promise<number | undefined> {
  let bytes: number | undefined;
  for await (const { size } of walked) bytes = (bytes ?? 0) + size;
  for await (const { file } of provided) bytes = (bytes ?? 0) + file.size;
  return bytes;
}
