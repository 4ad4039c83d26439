import { hasSqlstate, MigrationError, reasonOf } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import { formatCount } from "../../report/units.ts";
import type { Files } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { ObjectStores } from "../../system/s3/object-store.ts";
import { withProgress } from "../../system/throttled-progress.ts";
import type { Homeserver } from "../homeserver.ts";
import { withAvatarUses } from "./compare/avatars.ts";
import { quickCheck, readAll, type ReadResult } from "./compare/read-all.ts";
import { obstacleFindings, uploadFindings } from "./compare/upload-findings.ts";
import { type Comparable, compareUploads, type UploadsComparison } from "./compare/uploads.ts";
import { openProviders } from "./providers/provider.ts";
import { storageProviders } from "./providers/providers.ts";
import { type ComparedRemote, compareRemote } from "./remote/remote.ts";
import { caseFindings, inspectMediaStore } from "./store/inspect.ts";

export interface MediaCheckTools {
  /** Reads only. */
  readonly session: QuerySession;
  readonly files: Files;
  readonly objects: ObjectStores;
  readonly signal: AbortSignal;
}

/** Counts by fault: plain JSON, sizes in bytes, nothing secret. */
type MediaCheckFacts = {
  /** The media store's path. */
  readonly store: string;
  /** Rows of uploads that a file is expected for. */
  readonly rows: number;
  /** Regular files where uploads lie. */
  readonly files: number;
  readonly bytes: number;
  /** Not in the store, but in a storage provider. */
  readonly provided: number;
  readonly missing: number;
  readonly differing: number;
  /** Files that belong to no upload. */
  readonly unknown: number;
  /** Symbolic links and other special files. */
  readonly odd: number;
  readonly unreadable: number;
  /** Null when hashes were not compared. */
  readonly hashed: number | null;
  /** Another hash than in the row. */
  readonly changed: number | null;
  readonly remote: ComparedRemote;
};

export interface MediaCheck {
  readonly findings: readonly Finding[];
  /** Undefined when there is no store to be looked into. */
  readonly facts: MediaCheckFacts | undefined;
}

/**
 * Rows against files, uploads and remote media, in the store and in the storage providers that we can read. With
 * `hashes` every file is read. Changes nothing, memory stays flat. Throws as the database and the providers do.
 */
export async function checkMedia(
  homeserver: Homeserver,
  hashes: boolean,
  tools: MediaCheckTools,
  progress: Progress,
): Promise<MediaCheck> {
  const { session, files } = tools;
  const { mediaStore: store, workingFolder, serverName } = homeserver;
  const place = await inspectMediaStore(store, workingFolder, files);
  if (!place.usable) return { findings: place.findings, facts: undefined };
  const readable = openProviders(homeserver, tools);
  try {
    const where: Comparable = { ...tools, store, providers: readable };
    const counted = await counts(session);
    const work = { id: "media/uploads", label: "media", unit: "files", total: counted.uploads } as const;
    const compared = await withProgress(progress, work, (tell) => compareUploads(where, tell));
    const look = await withAvatarUses(compared, serverName, session);
    const read = hashes ? await readEveryFile(where, counted, progress) : undefined;
    const beside = read ?? (await quickCheck(store, look.example, files));
    look.closed.addAll(beside.unreadable);
    look.odd.addAll(beside.odd);
    const total = counted.remote;
    const others = { id: "media/remote", label: "media of other servers", unit: "files", total } as const;
    const remote = await withProgress(progress, others, (tell) => compareRemote(where, tell));
    const providers = storageProviders(homeserver);
    return {
      findings: [
        ...place.findings,
        ...(await caseFindings(store, session, files)),
        ...uploadFindings(look, read, { store, providers }),
        ...obstacleFindings(look, store),
        remoteFinding(remote, counted.remote),
      ],
      facts: factsOf(store, look, read, remote),
    };
  } finally {
    for (const provider of readable) provider.close();
  }
}

interface Counts {
  readonly uploads: number;
  readonly bytes: number;
  readonly remote: number;
}

/** For progress; and whether it is a homeserver's database at all. Throws `database-unsupported`. */
async function counts(session: QuerySession): Promise<Counts> {
  try {
    return await session.one<Counts>(`
      SELECT u.uploads, u.bytes + t.bytes AS bytes, r.remote FROM
        (SELECT COUNT(*) AS uploads, COALESCE(SUM(media_length), 0) AS bytes FROM local_media_repository
          WHERE url_cache IS NULL AND media_length IS NOT NULL) u,
        (SELECT COALESCE(SUM(thumbnail_length), 0) AS bytes FROM local_media_repository_thumbnails) t,
        (SELECT COUNT(*) AS remote FROM remote_media_cache WHERE filesystem_id IS NOT NULL) r`);
  } catch (error) {
    // undefined_table, undefined_column; SQLite has only SQLITE_ERROR for a statement with unknown names.
    if (!hasSqlstate(error, ["42P01", "42703"]) && reasonOf(error, "sqlite")?.code !== 1) throw error;
    throw new MigrationError("database-unsupported", "the database has no media tables of a homeserver", {
      hint: "check that configuration and database belong together",
      cause: error,
    });
  }
}

function readEveryFile(where: Comparable, { bytes }: Counts, progress: Progress): Promise<ReadResult> {
  const work = { id: "media/read", label: "media, every file", unit: "bytes", total: bytes } as const;
  return withProgress(progress, work, (tell) => readAll(where, tell));
}

function remoteFinding(
  { rowsWithoutFile, quarantinedWithoutFile, filesWithoutRow }: ComparedRemote,
  rows: number,
): Finding {
  const lost = rowsWithoutFile - quarantinedWithoutFile;
  const evidence = [
    ...(quarantinedWithoutFile > 0
      ? [`quarantined and without a file, which is not an error: ${formatCount(quarantinedWithoutFile)}`]
      : []),
    ...(filesWithoutRow > 0 ? [`files without a row: ${formatCount(filesWithoutRow)}`] : []),
  ];
  const more = evidence.length > 0 ? { evidence } : {};
  if (lost === 0)
    return {
      id: "media-remote",
      level: "ok",
      sentence: `every row of remote media has its file: ${formatCount(rows - rowsWithoutFile)}`,
      ...more,
    };
  return {
    id: "media-remote",
    level: "warning",
    sentence: `rows of remote media without a file, for which Synapse always returns 404: ${formatCount(lost)} of ${formatCount(rows)}`,
    ...more,
    hint: "delete the rows, and Synapse fetches the files again: POST /_synapse/admin/v1/purge_media_cache?before_ts= with a time in the future, in milliseconds",
  };
}

function factsOf(
  store: string,
  look: UploadsComparison,
  read: ReadResult | undefined,
  remote: ComparedRemote,
): MediaCheckFacts {
  return {
    store,
    rows: look.rows,
    files: look.files,
    bytes: look.bytes,
    provided: look.provided.files,
    missing: look.missing.count,
    differing: look.differing.count,
    unknown: look.unknown.count,
    odd: look.odd.count,
    unreadable: look.closed.count,
    hashed: read?.hashed ?? null,
    changed: read?.changed.count ?? null,
    remote,
  };
}
