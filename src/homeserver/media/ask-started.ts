import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Http } from "../../system/http/http.ts";
import { NoAnswer } from "../../system/http/no-answer.ts";
import type { QuerySession } from "../../system/query.ts";
import { uploadPath } from "./store/layout.ts";

export interface Sample {
  readonly mediaId: string;
  /** Only shown to who is signed in. */
  readonly authenticated: boolean;
}

/** Bytes: an answer is read whole. */
const LARGEST = 4 * 1024 * 1024;

/** An upload to ask the started server for: the newest small one, if it may be one that everybody is shown. */
export async function sampleUpload(session: QuerySession, hasToken: boolean): Promise<Sample | undefined> {
  const { known } = await session.one<{ known: number }>(
    session.engine === "postgres"
      ? "SELECT count(*) AS known FROM pg_attribute WHERE attrelid = 'local_media_repository'::regclass AND attname = 'authenticated' AND NOT attisdropped"
      : "SELECT count(*) AS known FROM pragma_table_info('local_media_repository') WHERE name = 'authenticated'",
  );
  const authenticated = known > 0 ? "CASE WHEN authenticated THEN 1 ELSE 0 END" : "0";
  const [found] = await session.all<{ media_id: string; authenticated: number }>(`
    SELECT media_id, ${authenticated} AS authenticated FROM local_media_repository
    WHERE url_cache IS NULL AND quarantined_by IS NULL AND media_length BETWEEN 1 AND ${LARGEST}
      ${hasToken || known === 0 ? "" : "AND NOT authenticated"}
    ORDER BY created_ts DESC, media_id LIMIT 1`);
  return found && { mediaId: found.media_id, authenticated: found.authenticated === 1 };
}

export interface AskForMedia {
  readonly url: string;
  readonly serverName: string;
  readonly store: string;
  readonly sample: Sample | undefined;
  readonly token: string | undefined;
}

/** Whether the started server gives out an upload, byte for byte as it lies in the store. */
export async function askForMedia(
  { url, serverName, store, sample, token }: AskForMedia,
  { http, files }: { http: Http; files: Files },
): Promise<Finding> {
  const id = "answers-media";
  if (!sample) {
    const more = token === undefined ? "that everybody is shown" : "that is small enough";
    return {
      id,
      level: "note",
      sentence: `no media was asked for: there is no upload ${more}`,
      ...(token === undefined
        ? { hint: "with --token-file, uploads that only members see can be asked for" }
        : {}),
    };
  }
  const { mediaId } = sample;
  // The old road is closed for what came after media was made private (synapse/rest/client/media.py, 1.120).
  const road = sample.authenticated ? "client/v1/media/download" : "media/v3/download";
  const address = `${url}/_matrix/${road}/${serverName}/${mediaId}`;
  const headers = sample.authenticated && token !== undefined ? { authorization: `Bearer ${token}` } : {};
  const wrong = (what: string): Finding => ({
    id,
    level: "blocker",
    sentence: `the upload ${mediaId} ${what}`,
    evidence: [address],
    hint: "look at media_store_path, at the owner of the files and at the server's log",
  });
  try {
    const { status, body } = await http.get(address, { headers, limit: LARGEST + 1 });
    if (status !== 200) return wrong(`is not given out (status ${status})`);
    const path = uploadPath(mediaId);
    const there = path === undefined ? undefined : await files.readWhole(join(store, path), LARGEST + 1);
    if (there === undefined || hash(there) !== hash(body))
      return wrong("is given out with other bytes than lie in the store");
    return {
      id,
      level: "ok",
      sentence: `the upload ${mediaId} comes as it lies in the store, ${body.length} bytes`,
    };
  } catch (error) {
    if (error instanceof NoAnswer) return wrong(`is not given out: ${error.message}`);
    if (error instanceof MigrationError) return wrong(`cannot be compared: ${error.message}`);
    throw error;
  }
}

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
