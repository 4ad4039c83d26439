import { inTurn } from "../../../pipeline/in-turn.ts";
import { compress, storedSize } from "../../../pipeline/compress.ts";
import { packTar, type TarEntry, tarSize } from "../../../pipeline/tar.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { WholeFile } from "../pack/shared-reads.ts";
import type { ArchiveItem, ArchiveItems } from "./items.ts";
import { type ArchiveHead, ManifestFile } from "./manifest-file.ts";
import { MANIFEST_FILE, partFile } from "./names.ts";
import { type PaddedRead, readExactly } from "./pad-to-size.ts";
import { type ArchiveRecord, recordOf } from "./record.ts";

/** How large things are; in bytes of uploads, where nothing else is said. */
export interface ArchiveSizes {
  /** Of one archive. One upload that is larger is an archive of its own. */
  readonly archive: number;
  /** Uploads in one archive: whoever reads it holds its manifest in memory. */
  readonly records: number;
  /** Of a part: it ends with the upload that fills it. */
  readonly part: number;
  /** Uploads in one part. */
  readonly inPart: number;
}

/** matrix-media-repo's own exporter has parts of 100 MiB. */
export const ARCHIVE_SIZES: ArchiveSizes = {
  archive: 10 * 1024 ** 3,
  records: 200_000,
  part: 100 * 1024 ** 2,
  inPart: 2_000,
};

/** What happens on the way into an archive. */
export interface ArchiveEvents<Item extends ArchiveItem> {
  /** An upload is in it, whole. */
  packed(item: Item, record: ArchiveRecord): Promise<void>;
  /** An upload went away or changed while it was read: it has no record, and no reader sees it. */
  unread(item: Item, why: string): void;
  /** Of some uploads, in their order, the content of each that is small and as it was found; the others are streamed. */
  readWhole?(items: readonly Item[]): AsyncIterable<WholeFile | undefined>;
}

export interface ArchivePlan {
  readonly head: ArchiveHead;
  /** The folder in it. */
  readonly folder: string;
  readonly sizes: ArchiveSizes;
}

/**
 * One archive of matrix-media-repo's version 2, complete in itself, with as many of the uploads as it holds. Its parts
 * are in it as they would be in a folder. A part's length is written before it: parts are made of stored blocks, so that
 * it follows from the sizes of its uploads, and nothing has to be buffered.
 */
export async function* archiveEntries<Item extends ArchiveItem>(
  items: ArchiveItems<Item>,
  plan: ArchivePlan,
  events: ArchiveEvents<Item>,
): AsyncIterable<TarEntry> {
  const { head, folder, sizes } = plan;
  const { createdTs: mtimeMs } = head;
  const manifest = new ManifestFile(head);
  const room = { bytes: sizes.archive, files: sizes.records };
  let files = 0;
  for (let number = 1; ; number += 1) {
    const part = await nextPart(items, sizes, room);
    if (part.length === 0 && number > 1) break;
    const first = files;
    files += part.length;
    yield {
      name: `${folder}/${partFile(number)}`,
      mode: 0o644,
      mtimeMs,
      size: storedSize(tarSize(part.map(({ size }) => size))),
      content: () => partOf(part, first, head.entity, manifest, events),
    };
  }
  const pieces = await manifest.finish();
  yield {
    name: `${folder}/${MANIFEST_FILE}`,
    mode: 0o644,
    mtimeMs,
    size: pieces.reduce((sum, { length }) => sum + length, 0),
    content: () => inTurn(pieces),
  };
}

/** The uploads of the next part; none when there are none any more, or the archive is full. */
async function nextPart<Item extends ArchiveItem>(
  items: ArchiveItems<Item>,
  sizes: ArchiveSizes,
  room: { bytes: number; files: number },
): Promise<Item[]> {
  const part: Item[] = [];
  let bytes = 0;
  while (bytes < sizes.part && part.length < sizes.inPart) {
    const next = await items.peek();
    if (next === undefined || room.files === 0) break;
    // An archive that holds nothing yet takes any upload, however large.
    if (next.size > room.bytes && room.bytes < sizes.archive) break;
    items.take();
    part.push(next);
    bytes += next.size;
    room.bytes -= next.size;
    room.files -= 1;
  }
  return part;
}

function partOf<Item extends ArchiveItem>(
  part: readonly Item[],
  before: number,
  origin: string,
  manifest: ManifestFile,
  events: ArchiveEvents<Item>,
): Bytes {
  const note = async (item: Item, fileName: string, read: PaddedRead) => {
    if (read.fault !== undefined) {
      events.unread(item, read.fault);
      return;
    }
    const record = recordOf(item.upload, origin, { fileName, size: item.size, sha256: read.sha256 });
    await manifest.add(record);
    await events.packed(item, record);
  };
  const entries = async function* (): AsyncIterable<TarEntry> {
    const wholes = events.readWhole?.(part)[Symbol.asyncIterator]();
    try {
      for (const [index, item] of part.entries()) {
        const whole = (await wholes?.next())?.value as WholeFile | undefined;
        const fileName = entryName(before + index + 1, item.upload.mediaId);
        const { size } = item;
        const header = {
          name: fileName,
          size,
          mode: 0o644,
          mtimeMs: headerTime(item.upload.createdTs ?? 0),
        };
        const content = () =>
          readExactly(item.content(), size, async (read) => {
            await note(item, fileName, { ...read, fault: read.fault ?? (await item.changed?.()) });
          });
        if (whole) {
          yield { ...header, content, whole: () => whole.content };
          await note(item, fileName, { sha256: whole.sha256, fault: undefined });
          whole.release();
        } else yield { ...header, content };
      }
    } finally {
      await wholes?.return?.();
    }
  };
  return compress(0, 1)(packTar(entries()));
}

/**
 * Told apart by the number alone, so also where upper and lower case are the same. Nothing in it comes from what a
 * person typed. Longer than 100 bytes it would need a second header, which nobody has counted.
 */
const entryName = (number: number, mediaId: string) =>
  mediaId.length <= 80 ? `${number}-${mediaId}` : String(number);

/** What the time in a header can say everywhere: from 1970 to 2038. */
export const headerTime = (milliseconds: number) => Math.min(Math.max(milliseconds, 0), (2 ** 31 - 1) * 1000);
