import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { acquireLock } from "../../../journal/lock.ts";
import { reportBytes } from "../../../pipeline/digest.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatAmount, formatBytes } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { findManifest, readArchive } from "../archive/read.ts";
import { assertUploadsIntact, findingsOf } from "../archive/restore.ts";
import { archiveInFolder, type ArchiveSource } from "../archive/source.ts";
import { type ExportPart, MediaRepoApi } from "./api.ts";
import { assertPartNames, fetchParts } from "./fetch.ts";
import { type ExportJournal, ExportJournalFile, OWN_FOLDER } from "./journal.ts";
import type { MediaRepo } from "./usage.ts";
import { waitForExport } from "./wait.ts";

export interface MediaRepoExportOptions {
  readonly repo: MediaRepo;
  readonly serverName: string;
  /** Absolute. */
  readonly folder: string;
}

export interface MediaExported {
  readonly held: { readonly files: number; readonly bytes: number };
  /** Undefined when the folder was only looked at. */
  readonly archive:
    | { readonly parts: number; readonly size: number; readonly uploads: number; readonly bytes: number }
    | undefined;
  readonly findings: readonly Finding[];
}

type Tools = Pick<System, "files" | "http" | "machine" | "signal">;

/**
 * Lets matrix-media-repo create an archive of a server's media, and downloads it into a folder that only its owner can read:
 * the media in it are not encrypted. May be run again, and goes on where it stopped. Throws as `MediaRepoApi`,
 * `waitForExport` and `fetchParts`; `target-not-empty` for a folder with something else in it; `archive-damaged` when
 * what came is not what its manifest says.
 */
export async function exportMediaRepo(
  asked: MediaRepoExportOptions,
  tools: Tools,
  progress: Progress,
): Promise<MediaExported> {
  const { files, machine } = tools;
  const { folder, serverName } = asked;
  await assertOwnFolder(folder, files);
  await files.makeFolder(join(folder, OWN_FOLDER));
  await files.setMode(folder, 0o700);
  const lock = await acquireLock(join(folder, OWN_FOLDER, "lock"), files, machine);
  try {
    const api = new MediaRepoApi(asked.repo, serverName, tools);
    const file = new ExportJournalFile(folder, files);
    const journal = await resumeOrStart(asked, file, api, progress);
    const parts = journal.parts ?? (await waitForExport(api, journal, file, tools, progress));
    assertPartNames(parts, api.where);
    if (!journal.parts) await file.write({ ...journal, parts: [...parts] });
    await fetchParts(api, journal.exportId, parts, { folder, files, progress });
    return await inspectArchive(asked, journal, parts, files, progress);
  } finally {
    await lock.release();
  }
}

/** What `exportMediaRepo` would do; nothing is changed, here or there. Throws as that does. */
export async function inspectMediaRepo(asked: MediaRepoExportOptions, tools: Tools): Promise<MediaExported> {
  const { files } = tools;
  const { folder, serverName } = asked;
  await assertOwnFolder(folder, files);
  const begun = await new ExportJournalFile(folder, files).read(keyOf(asked));
  const api = new MediaRepoApi(asked.repo, serverName, tools);
  const held = begun?.held ?? (await readUsage(api, serverName));
  const sentence = begun
    ? `an export of ${sized(held)} was started in ${folder}: it would be continued`
    : `${api.where} holds ${sized(held)} of ${serverName}: they would be exported into ${folder}`;
  return { held, archive: undefined, findings: [{ id: "media-repo", level: "note", sentence }] };
}

const sized = ({ files, bytes }: MediaExported["held"]) =>
  `${formatAmount(files, "files")}, ${formatBytes(bytes)}`;

const keyOf = ({ repo, serverName }: MediaRepoExportOptions) => ({ url: repo.url, serverName });

async function assertOwnFolder(folder: string, files: Files): Promise<void> {
  const found = await files.stat(folder);
  if (!found) return;
  if (found.kind !== "folder") throw new MigrationError("bad-usage", `--out: ${folder} is not a directory`);
  const names = await files.list(folder);
  if (names.length === 0 || names.includes(OWN_FOLDER)) return;
  throw new MigrationError("target-not-empty", `${folder} is not empty and holds no export that was begun`, {
    hint: "name a folder that is new or empty",
  });
}

/** The export that was begun earlier, or one that is begun now. */
async function resumeOrStart(
  asked: MediaRepoExportOptions,
  file: ExportJournalFile,
  api: MediaRepoApi,
  progress: Progress,
): Promise<ExportJournal> {
  const begun = await file.read(keyOf(asked));
  if (begun) {
    progress.note("continuing the export that was begun in this folder");
    return begun;
  }
  const held = await readUsage(api, asked.serverName);
  const journal = { version: 1 as const, ...keyOf(asked), ...(await api.start()), held };
  await file.write(journal);
  return journal;
}

/** matrix-media-repo returns zeros for an unknown server. */
async function readUsage(api: MediaRepoApi, serverName: string): Promise<MediaExported["held"]> {
  const { media } = await api.usage();
  if (media.files > 0) return media;
  throw new MigrationError("bad-usage", `${api.where} has no media of ${serverName}`, {
    hint: "check --server: it is the part behind the colon in user ids",
  });
}

async function inspectArchive(
  { folder, serverName, repo }: MediaRepoExportOptions,
  { held }: ExportJournal,
  parts: readonly ExportPart[],
  files: Files,
  progress: Progress,
): Promise<MediaExported> {
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const id = "media-export/check";
  // For its manifest, and for its uploads.
  progress.begin({ id, label: "check of the archive", unit: "bytes", total: 2 * size });
  const source = metered(archiveInFolder(folder, files), (bytes) => {
    progress.advance(id, bytes);
  });
  try {
    const manifest = await findManifest(source);
    if (manifest.entity !== serverName)
      throw new MigrationError(
        "archive-damaged",
        `the archive in ${folder} is of ${JSON.stringify(manifest.entity)}`,
      );
    const read = await readArchive(source, manifest, () => Promise.resolve(undefined));
    assertUploadsIntact(source, read);
    progress.end(id);
    const archive = { parts: parts.length, size, uploads: read.records, bytes: read.bytes };
    const findings = findingsOf(source, manifest, read);
    if (manifest.records < held.files) findings.push(fewerFilesFinding(held.files, manifest.records, repo));
    return { held, archive, findings };
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== "archive-damaged") throw error;
    throw new MigrationError("archive-damaged", error.message, {
      hint: `see the log of matrix-media-repo and this disk; then remove ${folder} and run the same command again, which begins another export`,
      cause: error,
    });
  }
}

const metered = (source: ArchiveSource, tell: (bytes: number) => void): ArchiveSource => ({
  where: source.where,
  async *members() {
    for await (const { name, content } of source.members())
      yield { name, content: reportBytes(tell)(content) };
  },
});

const fewerFilesFinding = (held: number, got: number, { url }: MediaRepo): Finding => ({
  id: "media-archive-short",
  level: "warning",
  sentence: `${held - got} of ${held} files that matrix-media-repo held are not in the archive`,
  evidence: [`asked at ${new URL(url).origin}`],
  hint: "its exports leave out quarantined media; count those there (admin/usage/…/uploads), or accept the difference",
});
