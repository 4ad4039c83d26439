import { sealedName } from "../../bundle/layout.ts";
import type { Step } from "../../journal/step.ts";
import { packTar } from "../../pipeline/tar.ts";
import { mustHaveFiles, MEDIA_SECTION, packedList, tarEntries, type MediaExport } from "./export.ts";
import { filesSince } from "./packed-list.ts";
import type { MediaSection } from "./section.ts";
import type { StoreState } from "./store.ts";

/** Sorts after the first archive, and is no part of it. */
export const MEDIA_SINCE_ARTIFACT = "customer_backup_media_export_since.tar.gz";
export const MEDIA_SINCE_STEP = "export/media-since";

export interface MediaSinceExport extends Omit<MediaExport, "total" | "serving"> {
  /** Of the whole store, now. */
  readonly state: StoreState;
  /** What the first archive is, so that another one makes this step run again. */
  readonly first: string;
}

/**
 * Packs what the first archive does not hold, as an archive of its own, and writes down what both hold together. When
 * there is nothing it makes none. Throws `media-missing`.
 */
export function exportMediaSince(from: MediaSinceExport): Step {
  const { files, into, inventory, store, state } = from;
  return {
    id: MEDIA_SINCE_STEP,
    inputs: {
      ...from.inputs,
      store,
      state: state.digest,
      first: from.first,
      accepted: from.accepted ? "missing files" : "nothing",
    },
    check: (outcome) => (outcome["name"] === undefined ? Promise.resolve(undefined) : from.check(outcome)),
    async run() {
      const compared = await from.compare();
      mustHaveFiles(compared, from);
      const section: MediaSection = {
        files: state.files,
        bytes: state.bytes,
        rows: compared.rows,
        rowBytes: compared.bytes,
        differing: [...compared.differing],
      };
      inventory.setSection(MEDIA_SECTION, section);
      const rest = () => filesSince(store, packedList(from), files);
      const total = await sizeOf(rest());
      if (total === undefined) {
        await into.remove(MEDIA_SINCE_ARTIFACT);
        inventory.dropArtifact(sealedName(MEDIA_SINCE_ARTIFACT));
        await from.saved();
        return { files: 0, bytes: 0 };
      }
      const plan = {
        name: MEDIA_SINCE_ARTIFACT,
        format: "tar",
        level: 0,
        label: "media that came since",
        total,
      } as const;
      const counted = { files: 0, bytes: 0 };
      const entries = tarEntries(rest(), store, files, ({ size }) => {
        counted.files += 1;
        counted.bytes += size;
        return Promise.resolve(true);
      });
      const artifact = await into.add(plan, packTar(entries));
      inventory.setArtifact(artifact);
      await from.saved();
      const { name, size, sha256, parts } = artifact;
      return { name, size, sha256, parts, ...counted };
    },
  };
}

/** Bytes of some files; undefined when there are none. */
async function sizeOf(walked: AsyncIterable<{ readonly size: number }>): Promise<number | undefined> {
  let bytes: number | undefined;
  for await (const { size } of walked) bytes = (bytes ?? 0) + size;
  return bytes;
}
