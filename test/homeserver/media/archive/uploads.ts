import { type ArchiveItem, PeekableItems } from "../../../../src/homeserver/media/archive/items.ts";
import type { ArchiveManifest } from "../../../../src/homeserver/media/archive/manifest.ts";
import {
  type ArchiveRead,
  findManifest,
  readArchive,
} from "../../../../src/homeserver/media/archive/read.ts";
import type { ArchiveRecord } from "../../../../src/homeserver/media/archive/record.ts";
import { archiveInTar } from "../../../../src/homeserver/media/archive/source.ts";
import type { Upload } from "../../../../src/homeserver/media/archive/upload.ts";
import {
  ARCHIVE_SIZES,
  archiveEntries,
  type ArchiveSizes,
} from "../../../../src/homeserver/media/archive/write.ts";
import { packTar } from "../../../../src/pipeline/tar.ts";
import type { Bytes } from "../../../../src/pipeline/transform.ts";
import { chunked, collect } from "../../../support/bytes.ts";

export const ORIGIN = "example.org";
export const MADE = 1_700_000_000_000;

export const uploadNamed = (mediaId: string, more: Partial<Upload> = {}): Upload => ({
  mediaId,
  contentType: "image/png",
  length: null,
  createdTs: 1_690_000_000_123,
  name: "a picture.png",
  userId: `@nora:${ORIGIN}`,
  lastAccessTs: null,
  quarantinedBy: null,
  safeFromQuarantine: false,
  authenticated: null,
  sha256: null,
  ...more,
});

export const item = (
  upload: Upload,
  content: Uint8Array | string,
  more: Partial<ArchiveItem> = {},
): ArchiveItem => ({
  upload,
  size: Buffer.byteLength(content),
  content: () => chunked(content),
  ...more,
});

export interface Packed {
  /** A tar, as it is in an artifact. */
  readonly bytes: Buffer;
  readonly records: ArchiveRecord[];
  readonly unread: [string, string][];
}

/** Archives until there is nothing left to be packed. */
export async function packed(
  items: Iterable<ArchiveItem>,
  sizes: Partial<ArchiveSizes> = {},
  entity = ORIGIN,
): Promise<Packed[]> {
  const source = new PeekableItems(items);
  const archives: Packed[] = [];
  do {
    const records: ArchiveRecord[] = [];
    const unread: [string, string][] = [];
    const plan = {
      head: { entity, createdTs: MADE },
      folder:
        archives.length === 0 ? "customer_media_export" : `customer_media_export-${archives.length + 1}`,
      sizes: { ...ARCHIVE_SIZES, ...sizes },
    };
    const entries = archiveEntries(source, plan, {
      packed: (_, record) => Promise.resolve(void records.push(record)),
      unread: ({ upload }, why) => void unread.push([upload.mediaId, why]),
    });
    archives.push({ bytes: await collect(packTar(entries)), records, unread });
  } while (await source.peek());
  return archives;
}

export const sourceOf = (bytes: Uint8Array, open: (bytes: Uint8Array) => Bytes = chunked) =>
  archiveInTar(() => open(bytes), "the archive");

/** Everything that an archive holds, by media id. */
export async function opened(
  source: ReturnType<typeof sourceOf>,
): Promise<{ manifest: ArchiveManifest; read: ArchiveRead; contents: Map<string, Buffer> }> {
  const manifest = await findManifest(source);
  const contents = new Map<string, Buffer>();
  const read = await readArchive(source, manifest, (record) => {
    const chunks: Uint8Array[] = [];
    return Promise.resolve({
      write: (chunk) => Promise.resolve(void chunks.push(Uint8Array.from(chunk))),
      keep: () => Promise.resolve(void contents.set(record.media_id, Buffer.concat(chunks))),
      drop: () => Promise.resolve(),
    });
  });
  return { manifest, read, contents };
}
