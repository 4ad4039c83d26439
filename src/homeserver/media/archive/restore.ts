import { dirname, join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import { Folders, type MediaTarget } from "../restore.ts";
import { MEDIA_MISSING } from "../accept-ids.ts";
import { describeDiffering } from "../compare/compare.ts";
import { fileHash } from "../store/file-hash.ts";
import { uploadPath } from "../store/layout.ts";
import type { ArchiveManifest } from "./manifest.ts";
import { type ArchiveRead, findManifest, readArchive, type UploadSink } from "./read.ts";
import { type ArchiveRecord, mxcOf } from "./record.ts";
import type { ArchiveSource } from "./source.ts";

export interface ArchiveRestored {
  readonly written: number;
  /** Found there already, byte for byte. */
  readonly kept: number;
  readonly bytes: number;
  readonly findings: readonly Finding[];
}

/**
 * Puts the uploads of an archive into a media store, and nothing anywhere else: each where its id says, whatever its
 * entry is called, and only when it is what the manifest says. What is there already and the same is kept; what differs
 * is never overwritten. `restored` is called for each that is in its place. May be run again. Throws `archive-damaged`,
 * after all that is whole was restored; `target-not-empty`.
 */
export async function restoreMediaArchive(
  source: ArchiveSource,
  { serverName, ...target }: MediaTarget & { readonly serverName: string },
  files: Files,
  restored: (record: ArchiveRecord) => Promise<void> = () => Promise.resolve(),
): Promise<ArchiveRestored> {
  // Read to its end first: nothing of an archive that does not open is written.
  const manifest = await findManifest(source);
  const folders = new Folders(target, files);
  await folders.make(target.store);
  const counted = { written: 0, kept: 0 };
  const foreign: string[] = [];
  const previews: string[] = [];
  const read = await readArchive(source, manifest, async (record) => {
    if (PREVIEW.test(record.media_id)) {
      previews.push(mxcOf(record));
      return undefined;
    }
    const name = record.origin === serverName ? uploadPath(record.media_id) : undefined;
    if (name === undefined) {
      foreign.push(mxcOf(record));
      return undefined;
    }
    const path = join(target.store, name);
    if (await files.lstat(path)) {
      await assertSameContent(path, record, files);
      counted.kept += 1;
      await restored(record);
      return undefined;
    }
    await folders.make(dirname(path));
    return writeTo(path, record, target, files, async () => {
      counted.written += 1;
      await restored(record);
    });
  });
  assertUploadsIntact(source, read);
  return {
    ...counted,
    bytes: read.bytes,
    findings: [...findingsOf(source, manifest, read, foreign), ...previewFindings(source, previews)],
  };
}

/** IDs that Synapse gives to what it fetched for URL previews (synapse/media/url_previewer.py, `_handle_url`), and to nothing else. */
const PREVIEW = /^\d{4}-\d{2}-\d{2}_[A-Za-z]{16}$/;

const previewFindings = ({ where }: ArchiveSource, previews: readonly string[]): Finding[] =>
  previews.length === 0
    ? []
    : [
        {
          id: "media-url-previews",
          level: "note",
          sentence: `URL previews in ${where}, which were not restored: ${previews.length}; as uploads they would stay for ever`,
          evidence: previews.slice(0, SHOWN),
        },
      ];

async function writeTo(
  path: string,
  record: ArchiveRecord,
  { owner }: MediaTarget,
  files: Files,
  done: () => Promise<void>,
): Promise<UploadSink> {
  const file = await files.begin(path, 0o640, { sync: false });
  return {
    write: (chunk) => file.write(chunk),
    drop: () => file.abandon(),
    async keep() {
      await file.finish();
      await files.setTimes(path, record.created_ts);
      if (owner) await files.setOwner(path, owner.uid, owner.gid);
      await done();
    },
  };
}

async function assertSameContent(path: string, record: ArchiveRecord, files: Files): Promise<void> {
  const found = await files.lstat(path);
  const same =
    found?.kind === "file" &&
    found.size === record.size_bytes &&
    (record.sha256 === "" || (await fileHash(path, files)) === record.sha256.toLowerCase());
  if (same) return;
  throw new MigrationError(
    "target-not-empty",
    `${path} already exists and differs from the file in the archive`,
    { hint: "restore into an empty media folder" },
  );
}

const SHOWN = 20;

/** Throws `archive-damaged` for uploads whose bytes are not what the manifest says. */
export function assertUploadsIntact({ where }: ArchiveSource, { wrong }: ArchiveRead): void {
  if (wrong.length === 0) return;
  const shown = wrong.slice(0, 5).map(({ record, why }) => `${mxcOf(record)}: ${why}`);
  const more = wrong.length > shown.length ? `; and ${wrong.length - shown.length} more` : "";
  throw new MigrationError(
    "archive-damaged",
    `${wrong.length} uploads in ${where} differ from its manifest: ${shown.join("; ")}${more}`,
    { hint: "none of these was restored; copy the archive again from where it was made" },
  );
}

/** What people should know of an archive that was read. */
export function findingsOf(
  { where }: ArchiveSource,
  { refused, records, missing: missingBefore }: ArchiveManifest,
  { records: read, missing }: ArchiveRead,
  foreign: readonly string[] = [],
): Finding[] {
  const findings: Finding[] = [
    {
      id: "media-archive",
      level: "ok",
      sentence: `${read} of ${records} uploads in ${where} match its manifest in size and hash`,
    },
  ];
  const warn = (count: number, what: string, evidence: readonly string[], hint: string) => {
    if (count === 0) return;
    const id = "media-archive-incomplete";
    findings.push({
      id,
      level: "warning",
      sentence: `${count} ${what} ${where}`,
      evidence: evidence.slice(0, SHOWN),
      hint,
    });
  };
  if (missingBefore.length > 0)
    findings.push({
      id: MEDIA_MISSING,
      level: "note",
      sentence: `uploads that were missing or of another size when the archive was made, in ${where}: ${missingBefore.length}`,
      evidence: missingBefore.slice(0, SHOWN).map(describeDiffering),
    });
  warn(
    missing.length,
    "uploads have a record and no file in",
    missing.map(mxcOf),
    "they are lost, unless a part is missing: check that all files of the archive are there",
  );
  warn(
    refused.length,
    "records were skipped, as matrix-media-repo does, in",
    refused.map(({ key, why }) => `${key}: ${why}`),
    "ask whoever made the archive",
  );
  warn(
    foreign.length,
    "uploads are of another server, or have an id that no upload of Synapse has, in",
    foreign,
    "they were not restored; check that this is the archive of this server",
  );
  return findings;
}
