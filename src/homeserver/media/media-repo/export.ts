import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { acquireLock } from "../../../journal/lock.ts";
import { reportBytes } from "../../../pipeline/digest.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatAmount, formatBytes, formatCount } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import { NoAnswer } from "../../../system/http/no-answer.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { ManifestFile } from "../archive/manifest-file.ts";
import type { ArchiveManifest } from "../archive/manifest.ts";
import { MANIFEST_FILE } from "../archive/names.ts";
import { type ArchiveRead, findManifest, readArchive } from "../archive/read.ts";
import type { ArchiveRecord } from "../archive/record.ts";
import { assertUploadsIntact, findingsOf } from "../archive/restore.ts";
import { archiveInFolder, type ArchiveSource } from "../archive/source.ts";
import { MediaRepoApi } from "./api.ts";
import { fetchUploads, type NotFetched } from "./fetch-uploads.ts";
import { assertPartNames, fetchParts } from "./fetch.ts";
import { listingFindings, quarantinedFinding } from "./findings.ts";
import type { HeldUploads } from "./held.ts";
import { type ExportJournal, ExportJournalFile, OWN_FOLDER } from "./journal.ts";
import { OwnParts } from "./own-parts.ts";
import type { MediaRepo } from "./usage.ts";
import { waitForExport } from "./wait.ts";

export interface MediaRepoExportOptions {
  readonly repo: MediaRepo;
  readonly serverName: string;
  /** Absolute. */
  readonly folder: string;
  /** Media IDs of uploads that are not wanted. */
  readonly leaveOut: ReadonlySet<string>;
}

export interface MediaExported {
  readonly held: { readonly files: number; readonly bytes: number };
  /** Undefined when the folder was only looked at. */
  readonly archive:
    | {
        readonly parts: number;
        readonly size: number;
        readonly uploads: number;
        readonly bytes: number;
        /** Of the uploads those that were fetched one by one. */
        readonly fetched: number;
      }
    | undefined;
  readonly findings: readonly Finding[];
}

type Tools = Pick<System, "files" | "http" | "machine" | "signal">;

/**
 * Fetches a server's media from matrix-media-repo as an archive, into a folder that only its owner can read: the media in
 * it are not encrypted. matrix-media-repo is asked for an export first. Uploads that its export does not have, as those
 * of 1.3.5 and later have none, are fetched one by one by its listing, and added to the archive. May be run again: it
 * goes on where it stopped, and takes what came since.
 *
 * Throws as `MediaRepoApi`, `waitForExport`, `fetchParts` and `fetchUploads`; `target-not-empty` for a folder with
 * something else in it; `archive-damaged` when what came is not what its manifest says; `program-failed` when not one
 * upload could be had.
 */
export async function exportMediaRepo(
  asked: MediaRepoExportOptions,
  tools: Tools,
  progress: Progress,
): Promise<MediaExported> {
  const { files, machine } = tools;
  const { folder } = asked;
  await assertOwnFolder(folder, files);
  await files.makeFolder(join(folder, OWN_FOLDER));
  await files.setMode(folder, 0o700);
  const lock = await acquireLock(join(folder, OWN_FOLDER, "lock"), files, machine, folder);
  try {
    const api = new MediaRepoApi(asked.repo, asked.serverName, tools);
    const run = await MediaRepoExport.open(asked, api, tools, progress);
    return await run.run();
  } finally {
    await lock.release();
  }
}

/** What `exportMediaRepo` would do; nothing is changed, here or there. Throws as that does. */
export async function inspectMediaRepo(asked: MediaRepoExportOptions, tools: Tools): Promise<MediaExported> {
  const { files } = tools;
  const { folder, serverName, leaveOut } = asked;
  await assertOwnFolder(folder, files);
  const begun = await new ExportJournalFile(folder, files).read(keyOf(asked));
  const api = new MediaRepoApi(asked.repo, serverName, tools);
  await readUsage(api, serverName);
  const all = await api.uploads();
  const held = sumOf(all);
  const sentence = begun
    ? `an export of ${sized(held)} was started in ${folder}: it would be continued`
    : `${api.where} holds ${sized(held)} of ${serverName}: they would be exported into ${folder}`;
  const quarantined = [...all].filter(([id, one]) => one.quarantined && !leaveOut.has(id)).map(([id]) => id);
  return {
    held,
    archive: undefined,
    findings: [
      { id: "media-repo", level: "note", sentence },
      ...(quarantined.length === 0 ? [] : [quarantinedFinding(api.where, quarantined)]),
    ],
  };
}

function sumOf(held: HeldUploads): MediaExported["held"] {
  let bytes = 0;
  for (const { size_bytes: size } of held.values()) bytes += size;
  return { files: held.size, bytes };
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

/** matrix-media-repo returns zeros for an unknown server. */
async function readUsage(api: MediaRepoApi, serverName: string): Promise<MediaExported["held"]> {
  const { media } = await api.usage();
  if (media.files > 0) return media;
  throw new MigrationError("bad-usage", `${api.where} has no media of ${serverName}`, {
    hint: "check --server: it is the part behind the colon in user ids",
  });
}

/** What the folder holds, as its manifest says and as it was read. */
interface CheckedArchive {
  readonly manifest: ArchiveManifest;
  readonly read: ArchiveRead;
}

/** One run of an export into one folder. */
class MediaRepoExport {
  readonly #asked: MediaRepoExportOptions;
  readonly #api: MediaRepoApi;
  readonly #tools: Tools;
  readonly #progress: Progress;
  readonly #journal: ExportJournalFile;
  readonly #source: ArchiveSource;
  #state: ExportJournal;

  private constructor(
    asked: MediaRepoExportOptions,
    api: MediaRepoApi,
    tools: Tools,
    progress: Progress,
    { journal, state }: { journal: ExportJournalFile; state: ExportJournal },
  ) {
    this.#asked = asked;
    this.#api = api;
    this.#tools = tools;
    this.#progress = progress;
    this.#journal = journal;
    this.#state = state;
    this.#source = archiveInFolder(asked.folder, tools.files);
  }

  /** Goes on with the export that was begun earlier, or begins one, where matrix-media-repo makes exports. */
  static async open(
    asked: MediaRepoExportOptions,
    api: MediaRepoApi,
    tools: Tools,
    progress: Progress,
  ): Promise<MediaRepoExport> {
    const journal = new ExportJournalFile(asked.folder, tools.files);
    const key = keyOf(asked);
    let state = await journal.read(key);
    if (state) progress.note("continuing the export that was begun in this folder");
    else {
      const held = await readUsage(api, asked.serverName);
      state = {
        version: 1,
        ...key,
        export: await startExport(api, progress),
        held,
        ownManifest: false,
        finished: false,
      };
      await journal.write(state);
    }
    return new MediaRepoExport(asked, api, tools, progress, { journal, state });
  }

  async run(): Promise<MediaExported> {
    const { leaveOut, folder } = this.#asked;
    const { where } = this.#api;
    await this.#fetchExport();
    const own = await OwnParts.read(folder, this.#tools.files);
    let checked = await this.#checkExport();
    const known = recordsById(checked, own, leaveOut);
    const held = await this.#api.uploads();
    const wanted = new Map(
      [...held].filter(([id, one]) => !one.quarantined && !known.has(id) && !leaveOut.has(id)),
    );
    let notFetched: readonly NotFetched[] = [];
    if (wanted.size > 0) {
      this.#progress.note(
        `uploads that the archive does not hold yet: ${formatCount(wanted.size)} of ${formatCount(held.size)}; they are fetched one by one`,
      );
      await this.#update({ finished: false });
      notFetched = await fetchUploads(this.#api, wanted, own, {
        serverName: this.#asked.serverName,
        folder,
        tools: this.#tools,
        progress: this.#progress,
      });
      for (const record of own.records) known.set(record.media_id, record);
    }
    if (known.size === 0) throw nothingFetched(where, held, notFetched);
    if (!checked || known.size !== checked.manifest.records || checked.read.wrong.length > 0) {
      await this.#writeManifest(known);
      checked = await this.#check();
    }
    assertUploadsIntact(this.#source, checked.read);
    await this.#update({ finished: true });
    const { size, parts } = await sizeOf(folder, this.#tools.files);
    const { records: uploads, bytes } = checked.read;
    return {
      held: sumOf(held),
      archive: { parts, size, uploads, bytes, fetched: own.records.length },
      findings: [
        ...findingsOf(this.#source, checked.manifest, checked.read),
        ...listingFindings(where, { held, known, notFetched, leaveOut }),
      ],
    };
  }

  async #update(changes: Partial<ExportJournal>): Promise<void> {
    this.#state = { ...this.#state, ...changes };
    await this.#journal.write(this.#state);
  }

  /** Waits for the export, if there is one, and brings its parts. */
  async #fetchExport(): Promise<void> {
    const { export: begun, held } = this.#state;
    if (!begun) return;
    const { where } = this.#api;
    if (!this.#state.parts) {
      const { parts, fault } = await waitForExport(this.#api, begun, held, this.#tools, this.#progress);
      if (fault !== undefined) this.#progress.note(`${where} could not make a complete export: ${fault}`);
      assertPartNames(parts, where);
      await this.#update({ parts: [...parts], fault });
    }
    const { parts = [], ownManifest } = this.#state;
    const wanted = parts.filter(({ name }) => !ownManifest || name !== MANIFEST_FILE);
    const { folder } = this.#asked;
    await fetchParts(this.#api, begun.id, wanted, {
      folder,
      files: this.#tools.files,
      progress: this.#progress,
    });
  }

  /** What the folder holds; undefined when it has no manifest yet, or its export broke off and cannot be read. */
  async #checkExport(): Promise<CheckedArchive | undefined> {
    const { parts = [], ownManifest, fault } = this.#state;
    if (parts.length === 0 && !ownManifest) return undefined;
    try {
      return await this.#check();
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code !== "archive-damaged") throw error;
      if (fault !== undefined && !ownManifest) {
        // Of an export that broke off nothing is needed.
        await this.#update({ parts: [] });
        for (const { name } of parts) await this.#tools.files.remove(join(this.#asked.folder, name));
        return undefined;
      }
      throw new MigrationError("archive-damaged", error.message, {
        hint: `see the log of matrix-media-repo and this disk; then remove ${this.#asked.folder} and run the same command again, which begins another export`,
        cause: error,
      });
    }
  }

  async #check(): Promise<CheckedArchive> {
    const { folder, serverName } = this.#asked;
    const { size } = await sizeOf(folder, this.#tools.files);
    const id = "media-export/check";
    // For its manifest, and for its uploads.
    this.#progress.begin({ id, label: "check of the archive", unit: "bytes", total: 2 * size });
    const source = metered(this.#source, (bytes) => {
      this.#progress.advance(id, bytes);
    });
    const manifest = await findManifest(source);
    if (manifest.entity !== serverName)
      throw new MigrationError(
        "archive-damaged",
        `the archive in ${folder} is of ${JSON.stringify(manifest.entity)}`,
      );
    const read = await readArchive(source, manifest, () => Promise.resolve(undefined));
    this.#progress.end(id);
    return { manifest, read };
  }

  /** Instead of the one that came with the export: it names the uploads that were fetched one by one, too. */
  async #writeManifest(known: ReadonlyMap<string, ArchiveRecord>): Promise<void> {
    const { folder, serverName } = this.#asked;
    const { files, machine } = this.#tools;
    await this.#update({ ownManifest: true });
    const manifest = new ManifestFile({ entity: serverName, createdTs: machine.now() });
    for (const record of known.values()) await manifest.add(record);
    const file = await files.begin(join(folder, MANIFEST_FILE), 0o600);
    try {
      for (const piece of await manifest.finish()) await file.write(piece);
      await file.finish();
    } finally {
      await file.abandon();
    }
  }
}

/** Null where matrix-media-repo makes no exports: its uploads can be fetched all the same. */
async function startExport(api: MediaRepoApi, progress: Progress): Promise<ExportJournal["export"]> {
  try {
    const { exportId: id, taskId } = await api.start();
    return { id, taskId };
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== "connection-failed") throw error;
    if (error.cause instanceof NoAnswer) throw error;
    progress.note(`there will be no export: ${error.message}`);
    return null;
  }
}

/** What is in the archive, whole and wanted, by media ID. */
function recordsById(
  checked: CheckedArchive | undefined,
  own: OwnParts,
  leaveOut: ReadonlySet<string>,
): Map<string, ArchiveRecord> {
  const known = new Map<string, ArchiveRecord>();
  const { missing = [], wrong = [] } = checked?.read ?? {};
  const bad = new Set([...missing, ...wrong.map(({ record }) => record)]);
  for (const records of checked?.manifest.byFile.values() ?? [])
    for (const record of records) if (!bad.has(record)) known.set(record.media_id, record);
  for (const record of own.records) known.set(record.media_id, record);
  for (const id of leaveOut) known.delete(id);
  return known;
}

function nothingFetched(where: string, held: HeldUploads, notFetched: readonly NotFetched[]): MigrationError {
  const shown = notFetched.slice(0, 5).map(({ mediaId, why }) => `${mediaId}: ${why}`);
  return new MigrationError(
    "program-failed",
    `none of the ${held.size} uploads that ${where} holds could be fetched${shown.length === 0 ? ": they are quarantined or left out" : `: ${shown.join("; ")}`}`,
    { hint: "its log says more; then run the same command again" },
  );
}

/** Of the files of an archive, its manifest among them. */
async function sizeOf(folder: string, files: Files): Promise<{ size: number; parts: number }> {
  let size = 0;
  let parts = 0;
  for (const name of await files.list(folder)) {
    const found = await files.stat(join(folder, name));
    if (found?.kind !== "file") continue;
    parts += 1;
    size += found.size;
  }
  return { size, parts };
}

const metered = (source: ArchiveSource, tell: (bytes: number) => void): ArchiveSource => ({
  where: source.where,
  async *members() {
    for await (const { name, content } of source.members())
      yield { name, content: reportBytes(tell)(content) };
  },
});
