import { MigrationError } from "../../../errors.ts";
import { decompress } from "../../../pipeline/compress.ts";
import { Digester } from "../../../pipeline/digest.ts";
import { type ExtractedEntry, unpackTar } from "../../../pipeline/tar.ts";
import { type Bytes, drain } from "../../../pipeline/transform.ts";
import { type ArchiveManifest, parseArchiveManifest } from "./manifest.ts";
import { MANIFEST_ENTRY, MANIFEST_FILE } from "./names.ts";
import type { ArchiveRecord } from "./record.ts";
import type { ArchiveSource, Member } from "./source.ts";

/** Where one upload of an archive goes. */
export interface UploadSink {
  write(chunk: Uint8Array): Promise<void>;
  /** All of it came, and it is what the manifest says. */
  keep(): Promise<void>;
  /** It is not, or something failed. Called once, and never after `keep`. */
  drop(): Promise<void>;
}

export interface ArchiveRead {
  /** Uploads that were read, and are what the manifest says. */
  readonly records: number;
  readonly bytes: number;
  /** Of which nothing could be said but their size. */
  readonly unhashed: number;
  /** Uploads whose bytes are not what the manifest says. */
  readonly wrong: readonly { readonly record: ArchiveRecord; readonly why: string }[];
  /** Uploads that the manifest has and no part holds. */
  readonly missing: readonly ArchiveRecord[];
  /** Entries that no record names, `index.html` not among them. */
  readonly unknown: number;
}

/** A larger one does not fit into memory: some two million records. */
const MAX_MANIFEST_BYTES = 480 * 1024 * 1024;

/**
 * The manifest of an archive, wherever in it that lies. First looks where the writers of the format put it. Throws
 * `archive-damaged` when there is none, or none that can be read.
 */
export async function findManifest(source: ArchiveSource): Promise<ArchiveManifest> {
  const bytes =
    (await manifestIn(source, ({ name }) => name === MANIFEST_FILE)) ??
    (await manifestIn(source, () => true));
  if (bytes === undefined) {
    throw new MigrationError("archive-damaged", `${source.where} holds no ${MANIFEST_ENTRY}`, {
      hint: `an archive without it is unfinished; "./${MANIFEST_ENTRY}" is another name, for matrix-media-repo too`,
    });
  }
  return parseArchiveManifest(bytes, source.where);
}

/** Throws `archive-damaged` for an archive that cannot be begun with, or that names no upload. */
export async function assertHoldsUploads(source: ArchiveSource): Promise<void> {
  const { records } = await findManifest(source);
  if (records > 0) return;
  throw new MigrationError("archive-damaged", `the manifest of ${source.where} names no upload`, {
    hint: "exports of matrix-media-repo 1.3.5 and later are empty: fetch the uploads with synlift media export, or restore without this folder",
  });
}

async function manifestIn(
  source: ArchiveSource,
  wanted: (member: Member) => boolean,
): Promise<Uint8Array | undefined> {
  let found: Uint8Array | undefined;
  for await (const member of source.members()) {
    // Reads to the end even after a match: only then is the encrypted message verified.
    if (found || !wanted(member)) await drain(member.content);
    else
      for await (const entry of entriesOf(member, source)) {
        if (found || entry.kind !== "file" || entry.name !== MANIFEST_ENTRY) continue;
        found = await whole(entry, source);
      }
  }
  return found;
}

async function whole({ size, content }: ExtractedEntry, { where }: ArchiveSource): Promise<Uint8Array> {
  if (size > MAX_MANIFEST_BYTES) {
    throw new MigrationError(
      "archive-damaged",
      `${where}: its manifest has ${size} bytes, which is too large to be read`,
      {
        hint: "export it again in several archives",
      },
    );
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * Reads every upload that the manifest names, and checks its size and hash, which matrix-media-repo does not.
 * Of several entries with one name the first counts, as there; entries that no record names are passed over. `begin`
 * may answer undefined for an upload that is not wanted. Throws `archive-damaged` for an archive that cannot be read.
 */
export async function readArchive(
  source: ArchiveSource,
  { byFile }: ArchiveManifest,
  begin: (record: ArchiveRecord, mtimeMs: number) => Promise<UploadSink | undefined>,
): Promise<ArchiveRead> {
  const seen = new Set<string>();
  const read = { records: 0, bytes: 0, unhashed: 0, unknown: 0 };
  const wrong: { record: ArchiveRecord; why: string }[] = [];
  for await (const member of source.members()) {
    for await (const entry of entriesOf(member, source)) {
      if (entry.kind !== "file") continue;
      const records = byFile.get(entry.name);
      if (!records && entry.name !== MANIFEST_ENTRY && entry.name !== "index.html") read.unknown += 1;
      if (!records || seen.has(entry.name)) continue;
      seen.add(entry.name);
      for (const [record, why] of await distribute(entry, records, begin)) {
        if (why !== undefined) wrong.push({ record, why });
        else {
          read.records += 1;
          read.bytes += entry.size;
          if (record.sha256 === "") read.unhashed += 1;
        }
      }
    }
  }
  const missing: ArchiveRecord[] = [];
  for (const [name, records] of byFile) if (!seen.has(name)) missing.push(...records);
  return { ...read, wrong, missing };
}

/** Gives an entry to all whose file it is, and answers for each what is wrong with it. */
async function distribute(
  entry: ExtractedEntry,
  records: readonly ArchiveRecord[],
  begin: (record: ArchiveRecord, mtimeMs: number) => Promise<UploadSink | undefined>,
): Promise<[ArchiveRecord, string | undefined][]> {
  const open: { record: ArchiveRecord; receiver: UploadSink }[] = [];
  const tally = new Digester();
  try {
    for (const record of records) {
      const receiver = await begin(record, entry.mtimeMs);
      if (receiver) open.push({ record, receiver });
    }
    for await (const chunk of entry.content) {
      tally.add(chunk);
      for (const { receiver } of open) await receiver.write(chunk);
    }
    const { size, sha256 } = tally.result();
    const told: [ArchiveRecord, string | undefined][] = [];
    for (const record of records) {
      const why = faultOf(record, size, sha256);
      told.push([record, why]);
      // In the same order; some may not have been wanted.
      if (open[0]?.record !== record) continue;
      const { receiver } = open.shift()!;
      await (why === undefined ? receiver.keep() : receiver.drop());
    }
    return told;
  } finally {
    for (const { receiver } of open) await receiver.drop();
  }
}

function faultOf(record: ArchiveRecord, size: number, sha256: string): string | undefined {
  if (size !== record.size_bytes) return `it has ${size} bytes, its record says ${record.size_bytes}`;
  if (record.sha256 !== "" && record.sha256.toLowerCase() !== sha256)
    return "its hash is not the one in its record";
  return undefined;
}

/** What is in one file of an archive: a tar in gzip, whatever made it. */
async function* entriesOf(
  { name, content }: Member,
  { where }: ArchiveSource,
): AsyncIterable<ExtractedEntry> {
  let sourceError: { error: unknown } | undefined;
  const watched = async function* (): Bytes {
    try {
      yield* content;
    } catch (error) {
      sourceError = { error };
      throw error;
    }
  };
  const told = async function* <Item>(items: AsyncIterable<Item>): AsyncIterable<Item> {
    try {
      yield* items;
    } catch (error) {
      if (sourceError) throw sourceError.error;
      if (!(error instanceof MigrationError) || error.code !== "bundle-damaged") throw error;
      throw new MigrationError("archive-damaged", `${name} in ${where}: ${error.message}`, {
        hint: "copy it again from where it was made",
        cause: error,
      });
    }
  };
  for await (const entry of told(unpackTar(decompress(watched()))))
    yield { ...entry, content: told(entry.content) };
}
