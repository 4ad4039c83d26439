import { join } from "node:path";
import type { Inventory } from "../../bundle/inventory.ts";
import { PACKED_MEDIA } from "../../bundle/layout.ts";
import type { BundleWriter } from "../../bundle/writer.ts";
import { MigrationError } from "../../errors.ts";
import type { Step } from "../../journal/step.ts";
import { Tally } from "../../pipeline/measure.ts";
import { packTar, type TarEntry } from "../../pipeline/tar.ts";
import type { Files } from "../../system/files.ts";
import type { Machine } from "../../system/machine.ts";
import { describeDiffering, type Comparison } from "./compare.ts";
import { PackedList } from "./packed-list.ts";
import { walkStore, type StoredFile } from "./store.ts";

export const MEDIA_ARTIFACT = "customer_backup_media_export.tar.gz";
export const MEDIA_SECTION = "media";
export const MEDIA_STEP = "export/media";

/** The id by which a person accepts that uploads are missing already. */
export const MEDIA_MISSING = "media-missing";

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
  /** Rows against files, as they are when it is called. */
  readonly compare: () => Promise<Comparison>;
  readonly files: Files;
  readonly machine: Pick<Machine, "now">;
  readonly into: BundleWriter;
  readonly inventory: Inventory;
  readonly saved: () => Promise<void>;
  check: Step["check"];
}

/** Milliseconds since its last change after which a file is certainly complete: Synapse writes what it has received whole. */
const SETTLED = 30_000;

/** Where the list of what the first archive holds lies. */
export const packedList = ({ folder, inventory }: Pick<MediaExport, "folder" | "inventory">) => ({
  path: join(folder, PACKED_MEDIA),
  key: inventory.salt,
});

/**
 * Packs the local media as it lies, also while the server serves, and keeps a list of what it packed. What comes later
 * does not make it anew: it goes into the second archive (`exportMediaSince`). Throws `media-missing`.
 */
export function exportMedia(from: MediaExport): Step {
  const { files, into, inventory, store } = from;
  const list = packedList(from);
  return {
    id: MEDIA_STEP,
    inputs: { ...from.inputs, store },
    async check(outcome) {
      const why = await from.check(outcome);
      if (why !== undefined) return why;
      if ((await hashAt(list.path, files)) !== outcome["list"])
        return `${list.path}, which says what is packed, is gone or was changed`;
      return undefined;
    },
    async run() {
      mustHaveFiles(await from.compare(), from);
      const plan = {
        name: MEDIA_ARTIFACT,
        format: "tar",
        level: 0,
        label: "media",
        total: from.total,
      } as const;
      const written = await files.begin(list.path);
      const packed = new PackedList(list.key);
      const counted = { files: 0, bytes: 0 };
      const settledBefore = from.serving ? from.machine.now() - SETTLED : Infinity;
      try {
        const entries = tarEntries(walkStore(store, files), store, files, async (file) => {
          if (file.mtimeMs > settledBefore) return false;
          packed.add(file);
          await written.write(packed.take());
          counted.files += 1;
          counted.bytes += file.size;
          return true;
        });
        const artifact = await into.add(plan, packTar(entries));
        await written.finish();
        inventory.setArtifact(artifact);
        await from.saved();
        const { name, size, sha256, parts } = artifact;
        return { name, size, sha256, parts, ...counted, list: (await hashAt(list.path, files))! };
      } finally {
        await written.abandon();
      }
    },
  };
}

/** Throws `media-missing` when uploads have no file and nobody accepted that. */
export function mustHaveFiles(
  { differing, rows }: Comparison,
  { store, accepted }: Pick<MediaExport, "store" | "accepted">,
): void {
  if (differing.length === 0 || accepted) return;
  const shown = differing.slice(0, 5).map(describeDiffering);
  const more = differing.length > shown.length ? `; and ${differing.length - shown.length} more` : "";
  throw new MigrationError(
    "media-missing",
    `${differing.length} of ${rows} uploads have no file, or one of another size, in ${store}: ${shown.join("; ")}${more}`,
    {
      hint: `check media_store_path; if they are lost already, go on without them: --accept ${MEDIA_MISSING}`,
    },
  );
}

/** Those that `take` wants, as they are at this moment. */
export async function* tarEntries(
  walked: AsyncIterable<StoredFile>,
  store: string,
  files: Files,
  take: (file: StoredFile) => Promise<boolean>,
): AsyncIterable<TarEntry> {
  for await (const { name } of walked) {
    const path = join(store, name);
    // The walk is ahead of the packing: with the server running, a file may be gone by now.
    const found = await files.look(path);
    if (found?.kind !== "file") continue;
    const { size, mode, mtimeMs } = found;
    if (await take({ name, size, mode, mtimeMs }))
      yield { name, size, mode, mtimeMs, content: () => files.read(path) };
  }
}

async function hashAt(path: string, files: Files): Promise<string | undefined> {
  if (!(await files.look(path))) return undefined;
  const tally = new Tally();
  for await (const chunk of files.read(path)) tally.add(chunk);
  return tally.result().sha256;
}
