import { join } from "node:path";
import type { Inventory } from "../../bundle/inventory.ts";
import type { BundleWriter } from "../../bundle/writer.ts";
import { MigrationError } from "../../errors.ts";
import type { Step } from "../../journal/step.ts";
import { packTar, type TarEntry } from "../../pipeline/tar.ts";
import type { Files } from "../../system/files.ts";
import type { Postgres, PostgresAddress } from "../../system/postgres.ts";
import { compareMedia, describeDiffering, type Comparison } from "./compare.ts";
import type { MediaSection } from "./section.ts";
import { walkStore, type StoreState } from "./store.ts";

export const MEDIA_ARTIFACT = "customer_backup_media_export.tar.gz";
export const MEDIA_SECTION = "media";

/** The id by which a person accepts that uploads are missing already. */
export const MEDIA_MISSING = "media-missing";

export interface MediaExport {
  readonly store: string;
  readonly state: StoreState;
  readonly inputs: Readonly<Record<string, string>>;
  readonly accepted: boolean;
  readonly address: PostgresAddress;
  readonly postgres: Postgres;
  readonly files: Files;
  readonly into: BundleWriter;
  readonly inventory: Inventory;
  readonly saved: () => Promise<void>;
  check: Step["check"];
}

/** Packs the local media as it lies. After the database: so every upload that the dump knows has its file by now. */
export function exportMedia(from: MediaExport): Step {
  return {
    id: "export/media",
    inputs: {
      ...from.inputs,
      store: from.store,
      state: from.state.digest,
      accepted: from.accepted ? "missing files" : "nothing",
    },
    check: from.check,
    async run() {
      const compared = await compare(from);
      if (compared.differing.length > 0 && !from.accepted) throw missing(compared, from.store);
      const plan = {
        name: MEDIA_ARTIFACT,
        format: "tar",
        level: 0,
        label: "media",
        total: from.state.bytes,
      } as const;
      const artifact = await from.into.add(plan, packTar(entries(from.store, from.files)));
      const section: MediaSection = {
        files: from.state.files,
        bytes: from.state.bytes,
        rows: compared.rows,
        rowBytes: compared.bytes,
        differing: [...compared.differing],
      };
      from.inventory.setSection(MEDIA_SECTION, section);
      from.inventory.setArtifact(artifact);
      await from.saved();
      const { name, size, sha256, parts } = artifact;
      return { name, size, sha256, parts };
    },
  };
}

async function compare({ postgres, address, store, files }: MediaExport): Promise<Comparison> {
  const session = await postgres.connect(address);
  try {
    return await compareMedia(session, store, files, { hashes: false, tell: () => undefined });
  } finally {
    await session.close();
  }
}

async function* entries(store: string, files: Files): AsyncIterable<TarEntry> {
  for await (const { name } of walkStore(store, files)) {
    const path = join(store, name);
    // The walk is ahead of the packing: with the server running, a file may be gone by now.
    const found = await files.look(path);
    if (found?.kind !== "file") continue;
    const { size, mode, mtimeMs } = found;
    yield { name, size, mode, mtimeMs, content: () => files.read(path) };
  }
}

function missing({ differing, rows }: Comparison, store: string): MigrationError {
  const shown = differing.slice(0, 5).map(describeDiffering);
  const more = differing.length > shown.length ? `; and ${differing.length - shown.length} more` : "";
  return new MigrationError(
    "media-missing",
    `${differing.length} of ${rows} uploads have no file, or one of another size, in ${store}: ${shown.join("; ")}${more}`,
    {
      hint: `check media_store_path; if they are lost already, go on without them: --accept ${MEDIA_MISSING}`,
    },
  );
}
