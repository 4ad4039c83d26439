import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { compress } from "../../../pipeline/compress.ts";
import { Digester } from "../../../pipeline/digest.ts";
import { packTar, type TarEntry } from "../../../pipeline/tar.ts";
import { formatBytes } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import { NoAnswer } from "../../../system/http/no-answer.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { headerTime } from "../archive/write.ts";
import { readExactly } from "../archive/pad-to-size.ts";
import { type ArchiveRecord, recordOf } from "../archive/record.ts";
import type { MediaRepoApi } from "./api.ts";
import type { HeldUpload, HeldUploads } from "./held.ts";
import { OWN_FOLDER } from "./journal.ts";
import type { OwnParts } from "./own-parts.ts";

/** An upload that could not be fetched, with the reason. */
export interface NotFetched {
  readonly mediaId: string;
  readonly why: string;
}

export interface UploadFetching {
  readonly serverName: string;
  /** Of the archive. */
  readonly folder: string;
  readonly tools: Pick<System, "files" | "machine" | "signal">;
  readonly progress: Progress;
}

/** Of one part: what was fetched for it and is not packed yet needs that much room besides. */
const PART = { bytes: 100 * 1024 ** 2, files: 1_000 };

/** Asked for at the same time. matrix-media-repo may take them out of a bucket, which answers slowly. */
const AT_ONCE = 4;

/** Uploads in a row whose download broke off: then it is the connection, and not a damaged file there. */
const BROKEN_OFF = 3;

/** Milliseconds before a download that broke off is tried once more. */
const PAUSE = 2_000;

/**
 * Fetches uploads one by one and adds them to the archive in parts. Each is packed only if it has the size and the hash
 * that matrix-media-repo recorded for it; the others are answered. May be run again after an interruption: what was
 * fetched is kept. Throws `disk-full` before it begins, `connection-failed` and `permission-denied`.
 */
export async function fetchUploads(
  api: MediaRepoApi,
  wanted: HeldUploads,
  parts: OwnParts,
  { serverName, folder, tools, progress }: UploadFetching,
): Promise<NotFetched[]> {
  const { files } = tools;
  const work = { id: "media-export/uploads", label: "uploads, one by one" };
  const total = sumOf([...wanted.values()]);
  const { free } = await files.diskSpace(folder);
  if (total > free)
    throw new MigrationError(
      "disk-full",
      `${folder} has ${formatBytes(free)} of free disk space, and ${formatBytes(total)} of uploads are still to be downloaded`,
      { hint: "free disk space, then run the same command again: it continues this export" },
    );
  progress.begin({ ...work, unit: "bytes", total });
  const fetching = new Fetching(api, join(folder, OWN_FOLDER, "uploads"), tools, progress, work.id);
  await files.makeFolder(fetching.folder);
  for (const batch of batchesOf(wanted)) {
    const fetched = await fetching.all(batch);
    if (fetched.length > 0)
      fetching.notFetched.push(...(await packPart(fetched, parts, { serverName, files })));
    for (const { path } of fetched) await files.remove(path);
  }
  await files.removeEmptyFolder(fetching.folder);
  progress.end(work.id);
  return fetching.notFetched;
}

interface Wanted {
  readonly mediaId: string;
  readonly held: HeldUpload;
}

interface Fetched extends Wanted {
  /** Where its content lies. */
  readonly path: string;
}

const sumOf = (uploads: readonly HeldUpload[]) =>
  uploads.reduce((sum, { size_bytes: size }) => sum + size, 0);

function* batchesOf(wanted: HeldUploads): Iterable<Wanted[]> {
  let batch: Wanted[] = [];
  let bytes = 0;
  for (const [mediaId, held] of wanted) {
    batch.push({ mediaId, held });
    bytes += held.size_bytes;
    if (bytes < PART.bytes && batch.length < PART.files) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** Brings uploads into a folder, several at a time. */
class Fetching {
  readonly folder: string;
  readonly notFetched: NotFetched[] = [];
  readonly #api: MediaRepoApi;
  readonly #tools: UploadFetching["tools"];
  readonly #progress: Progress;
  readonly #id: string;
  #brokenOff = 0;
  #limit = false;

  constructor(
    api: MediaRepoApi,
    folder: string,
    tools: UploadFetching["tools"],
    progress: Progress,
    id: string,
  ) {
    this.folder = folder;
    this.#api = api;
    this.#tools = tools;
    this.#progress = progress;
    this.#id = id;
  }

  /** In the order that was given; without those that could not be fetched. When one throws, all stop. */
  async all(batch: readonly Wanted[]): Promise<readonly Fetched[]> {
    const fetched: (Fetched | undefined)[] = [];
    const waiting = batch.entries();
    let stopped = false;
    const work = async () => {
      for (const [index, one] of waiting) {
        if (stopped) return;
        try {
          fetched[index] = await this.#fetchOne(one);
        } catch (error) {
          stopped = true;
          throw error;
        }
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
    for (const end of ended) if (end.status === "rejected") throw end.reason;
    return fetched.filter((one) => one !== undefined);
  }

  async #fetchOne(one: Wanted): Promise<Fetched | undefined> {
    const { files, machine, signal } = this.#tools;
    // Nothing of the ID is in the name: it was chosen by somebody else.
    const path = join(this.folder, createHash("sha256").update(one.mediaId).digest("hex"));
    const there = await files.lstat(path);
    if (there?.kind === "file" && there.size === one.held.size_bytes) {
      this.#progress.advance(this.#id, there.size);
      return { ...one, path };
    }
    const told = { bytes: 0 };
    let why = await this.#download(one, path, told);
    if (why instanceof NoAnswer) {
      await machine.wait(PAUSE, signal);
      why = await this.#download(one, path, told);
    }
    if (why === undefined) {
      this.#brokenOff = 0;
      return { ...one, path };
    }
    if (why instanceof NoAnswer) {
      this.#brokenOff += 1;
      if (this.#brokenOff >= BROKEN_OFF)
        throw new MigrationError(
          "connection-failed",
          `${this.#api.where} gave no complete response to ${BROKEN_OFF} downloads in a row: ${why.message}`,
          { hint: "run the same command again: it continues where it stopped", cause: why },
        );
      why = `the download broke off: ${why.message}`;
    } else this.#brokenOff = 0;
    this.notFetched.push({ mediaId: one.mediaId, why });
    return undefined;
  }

  /** Undefined when the file is there, whole. `told` is what was reported of it as progress. */
  async #download(
    { mediaId, held }: Wanted,
    path: string,
    told: { bytes: number },
  ): Promise<string | NoAnswer | undefined> {
    const { files } = this.#tools;
    let fault: string | undefined;
    try {
      const answer = await this.#api.upload(
        mediaId,
        held.size_bytes,
        async ({ body }) => {
          const file = await files.begin(path, 0o600, { sync: false });
          const tally = new Digester();
          try {
            for await (const chunk of body) {
              tally.add(chunk);
              if (file.size + chunk.length > held.size_bytes) break;
              await file.write(chunk);
              if (file.size > told.bytes) this.#progress.advance(this.#id, file.size - told.bytes);
              told.bytes = Math.max(told.bytes, file.size);
            }
            fault = differenceOf(tally.result(), held);
            if (fault === undefined) await file.finish();
          } finally {
            await file.abandon();
          }
        },
        () => {
          if (this.#limit) return;
          this.#limit = true;
          this.#progress.note(
            `${this.#api.where} limits downloads: this takes long; set rateLimit.enabled to false in its configuration for the time of the export, it is read at once`,
          );
        },
      );
      return answer.kind === "refused" ? answer.why : fault;
    } catch (error) {
      if (error instanceof MigrationError && error.cause instanceof NoAnswer) return error.cause;
      throw error;
    }
  }
}

/** Why that is not the upload that was recorded; undefined when it is. */
function differenceOf(read: { size: number; sha256: string }, held: HeldUpload): string | undefined {
  if (read.size !== held.size_bytes) return `it has another size than the recorded ${held.size_bytes} bytes`;
  if (held.sha256_hash !== "" && read.sha256 !== held.sha256_hash)
    return "its hash is not the one that matrix-media-repo recorded";
  return undefined;
}

/** Answers those that are not any more what was fetched, as after a loss of power. */
async function packPart(
  fetched: readonly Fetched[],
  parts: OwnParts,
  { serverName, files }: { serverName: string; files: Files },
): Promise<NotFetched[]> {
  const changed: NotFetched[] = [];
  const records: ArchiveRecord[] = [];
  const number = parts.count + 1;
  const entries = fetched.map(({ mediaId, held, path }, index): TarEntry => {
    const size = held.size_bytes;
    // Told apart by its number in the part; another number than in the names of matrix-media-repo's entries.
    const fileName = `uploads-${number}/${index + 1}`;
    return {
      name: fileName,
      size,
      mode: 0o644,
      mtimeMs: headerTime(held.created_ts),
      content: () =>
        readExactly(files.read(path), size, ({ sha256, fault }) => {
          const why = fault ?? differenceOf({ size, sha256 }, held);
          if (why === undefined)
            records.push(recordOf(uploadOf(mediaId, held), serverName, { fileName, size, sha256 }));
          else changed.push({ mediaId, why: `${why}; run the same command again` });
          return Promise.resolve();
        }),
    };
  });
  const file = await files.begin(parts.nextPath, 0o600);
  try {
    for await (const chunk of compress(0, 1)(packTar(entries))) await file.write(chunk);
    const { size } = file;
    await file.finish();
    await parts.complete(size, records);
    return changed;
  } finally {
    await file.abandon();
  }
}

const uploadOf = (mediaId: string, held: HeldUpload) => ({
  mediaId,
  contentType: held.content_type,
  length: held.size_bytes,
  createdTs: held.created_ts,
  name: held.upload_name,
  userId: held.uploaded_by,
  lastAccessTs: null,
  quarantinedBy: null,
  safeFromQuarantine: false,
  authenticated: null,
  sha256: held.sha256_hash,
});
