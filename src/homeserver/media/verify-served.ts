import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Http } from "../../system/http/http.ts";
import { NoAnswer } from "../../system/http/no-answer.ts";
import type { QuerySession } from "../../system/query.ts";
import type { MediaSection } from "./section.ts";
import { uploadPath } from "./store/layout.ts";

export interface SampleUpload {
  readonly mediaId: string;
  /** Requires authentication. */
  readonly authenticated: boolean;
}

/** Bytes: an answer is read whole. */
const LARGEST = 4 * 1024 * 1024;

/** How many of the newest uploads are considered: the first ones may have no file here. */
const CANDIDATES = 200;

export interface SampleSearch {
  readonly session: QuerySession;
  readonly hasToken: boolean;
  readonly store: string;
  readonly files: Files;
  /** What was packed: an upload that was incomplete at the source is not served here either. */
  readonly section: Pick<MediaSection, "differing" | "changed">;
}

/**
 * An upload to ask the started server for: the newest small one that was complete at the source, is complete in the store,
 * and is served without a token where none was given.
 */
export async function findSampleUpload({
  session,
  hasToken,
  store,
  files,
  section,
}: SampleSearch): Promise<SampleUpload | undefined> {
  const { known } = await session.one<{ known: number }>(
    session.engine === "postgres"
      ? "SELECT count(*) AS known FROM pg_attribute WHERE attrelid = 'local_media_repository'::regclass AND attname = 'authenticated' AND NOT attisdropped"
      : "SELECT count(*) AS known FROM pragma_table_info('local_media_repository') WHERE name = 'authenticated'",
  );
  const authenticated = known > 0 ? "CASE WHEN authenticated THEN 1 ELSE 0 END" : "0";
  const found = await session.all<{ media_id: string; bytes: number; authenticated: number }>(`
    SELECT media_id, media_length AS bytes, ${authenticated} AS authenticated FROM local_media_repository
    WHERE url_cache IS NULL AND quarantined_by IS NULL AND media_length BETWEEN 1 AND ${LARGEST}
      ${hasToken || known === 0 ? "" : "AND NOT authenticated"}
    ORDER BY created_ts DESC, media_id LIMIT ${CANDIDATES}`);
  const incomplete = new Set([
    ...section.differing.map(({ mediaId }) => mediaId),
    ...(section.changed ?? []),
  ]);
  for (const { media_id: mediaId, bytes, authenticated: needsToken } of found) {
    const path = uploadPath(mediaId);
    if (path === undefined || incomplete.has(mediaId)) continue;
    // The lists of the inventory name only the first of very many.
    if ((await files.stat(join(store, path)))?.size !== bytes) continue;
    return { mediaId, authenticated: needsToken === 1 };
  }
  return undefined;
}

export interface AskForMedia {
  readonly url: string;
  readonly serverName: string;
  readonly store: string;
  readonly sample: SampleUpload | undefined;
  readonly token: string | undefined;
}

/** Checks that the started server serves an upload, byte for byte as it is in the store. */
export async function askForMedia(
  { url, serverName, store, sample, token }: AskForMedia,
  { http, files }: { http: Http; files: Files },
): Promise<Finding> {
  const id = "answers-media";
  if (!sample) {
    const more = token === undefined ? "public upload" : "upload";
    return {
      id,
      level: "note",
      sentence: `no media was requested: there is no small ${more} that is complete`,
      ...(token === undefined
        ? { hint: "with --token-file, uploads that require authentication can be requested" }
        : {}),
    };
  }
  const { mediaId } = sample;
  // The unauthenticated endpoint is closed for uploads since authenticated media (synapse/rest/client/media.py, 1.120).
  const endpoint = sample.authenticated ? "client/v1/media/download" : "media/v3/download";
  const address = `${url}/_matrix/${endpoint}/${serverName}/${mediaId}`;
  const headers = sample.authenticated && token !== undefined ? { authorization: `Bearer ${token}` } : {};
  const wrong = (what: string): Finding => ({
    id,
    level: "blocker",
    sentence: `the upload ${mediaId} ${what}`,
    evidence: [address],
    hint: "check media_store_path, the owner of the files and the server's log",
  });
  try {
    const { status, body } = await http.get(address, { headers, limit: LARGEST + 1 });
    if (status !== 200) return wrong(`is not served (status ${status})`);
    const path = uploadPath(mediaId);
    const there = path === undefined ? undefined : await files.readWhole(join(store, path), LARGEST + 1);
    if (there === undefined || hash(there) !== hash(body))
      return wrong("is served with other bytes than in the media store");
    return {
      id,
      level: "ok",
      sentence: `the upload ${mediaId} is served as it is in the media store, ${body.length} bytes`,
    };
  } catch (error) {
    if (error instanceof NoAnswer) return wrong(`is not served: ${error.message}`);
    if (error instanceof MigrationError) return wrong(`cannot be compared: ${error.message}`);
    throw error;
  }
}

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
