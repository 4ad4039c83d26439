import { Inventory } from "../../src/bundle/inventory.ts";
import type { Manifest } from "../../src/bundle/manifest.ts";
import { Bundle } from "../../src/bundle/reader.ts";
import { seal } from "../../src/bundle/seal.ts";
import { type ArtifactPlan, BundleWriter } from "../../src/bundle/writer.ts";
import type { EncryptionKeys } from "../../src/pipeline/encrypt.ts";
import { packTar } from "../../src/pipeline/tar.ts";
import type { Bytes } from "../../src/pipeline/transform.ts";
import { type Files, realFiles } from "../../src/system/files/files.ts";
import { noProgress } from "../../src/system/progress.ts";
import { chunked, noise } from "./bytes.ts";
import { machineWith } from "./fake-machine.ts";

export const DUMP = `--
-- PostgreSQL database dump
--

SELECT 'a line that must not be seen in the clear';

--
-- PostgreSQL database dump complete
--

`;
export const DUMP_PLAN: ArtifactPlan = {
  name: "customer_db_export.sql.gz",
  format: "sql",
  level: 1,
  label: "database",
};
export const MEDIA_PLAN: ArtifactPlan = {
  name: "customer_backup_media_export.tar.gz",
  format: "tar",
  level: 0,
  label: "media",
};

/** An archive with one upload of that many bytes. */
export const mediaArchive = (size: number): Bytes =>
  packTar([
    {
      name: "local_content/aa/bb/ccdd",
      size,
      mode: 0o600,
      mtimeMs: 1_700_000_000_000,
      content: () => chunked(noise(size)),
    },
  ]);

/** A machine on which every run gives the same: for what is held against a file. */
export const still = machineWith({
  now: () => Date.UTC(2026, 0, 2, 3, 4, 5),
  uuid: () => "8f14e45f-ceea-467f-a0f5-5b2b0c0d9f10",
  random: (bytes) => noise(bytes),
  cores: 2,
});

export interface SmallBundle {
  readonly folder: string;
  readonly lock: EncryptionKeys;
  readonly partSize?: number;
  readonly mediaSize?: number;
  readonly rehearsal?: boolean;
  readonly subject?: string;
  readonly files?: Files;
}

/** Makes and seals a bundle of a dump and a media archive. */
export async function makeSmallBundle({
  folder,
  lock,
  partSize,
  mediaSize = 5000,
  rehearsal = false,
  subject = "example.org",
  files = realFiles,
}: SmallBundle): Promise<Manifest> {
  const writer = writerIn(folder, lock, partSize, files);
  const inventory = Inventory.begin(still, rehearsal);
  inventory.setArtifact(await writer.add(DUMP_PLAN, chunked(DUMP)));
  inventory.setArtifact(await writer.add(MEDIA_PLAN, mediaArchive(mediaSize)));
  inventory.setSection("database", { rows: { "public.events": 7 } });
  return seal({
    folder,
    inventory,
    keys: lock,
    files,
    subject,
    program: "synlift 0.1.0",
    outageSince: "2026-01-02T03:00:00.000Z",
    afterwards: "What is to be done then is said here.\n",
  });
}

export function writerIn(
  folder: string,
  lock: EncryptionKeys,
  partSize?: number,
  files: Files = realFiles,
): BundleWriter {
  return new BundleWriter({
    folder,
    keys: lock,
    files,
    progress: noProgress,
    cores: 2,
    ...(partSize === undefined ? {} : { partSize }),
  });
}

export const openBundle = (folder: string) => Bundle.open(folder, realFiles);
