import type { Finding } from "../../../report/finding.ts";
import { formatAmount, formatBytes, formatCount } from "../../../report/units.ts";
import type { Http } from "../../../system/http/http.ts";
import { NoAnswer, type NoAnswerReason } from "../../../system/http/no-answer.ts";
import type { QuerySession } from "../../../system/query.ts";

/** A server whose media is in the store, and that no longer answers. */
export type LostOrigin = { readonly origin: string; readonly files: number; readonly bytes: number };

export interface AskOrigins {
  readonly session: QuerySession;
  readonly http: Http;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly signal: AbortSignal;
}

/** Days without an answer after which a server is not asked any more. */
const SILENT_DAYS = 30;

/** So many are asked, those with the most media; so many at once; so many milliseconds is each waited for. */
const MAX_ASKED = 300;
const AT_ONCE = 30;
const WAIT = 4_000;

/** When at least this many are asked and none answers, the fault is on this host. */
const MIN_CONCLUSIVE = 5;

interface OriginRow extends LostOrigin {
  /** 2: it has not answered for long; 1: it did not answer lately, or was never spoken to; 0: it answers. */
  readonly silent: number;
}

/**
 * Servers whose media can hardly be fetched again. What this homeserver knows of them decides where it is sure
 * (`destinations`, synapse/storage/databases/main/transactions.py); the others are asked, the largest first, and those
 * that are too many to be asked are taken to answer. Quarantined media does not count: its rows stay anyway.
 */
export async function findLostOrigins({ session, http, now, signal }: AskOrigins): Promise<LostOrigin[]> {
  const lost: LostOrigin[] = [];
  const unsure: LostOrigin[] = [];
  const rows = session.rows<OriginRow>(`
    SELECT o.origin, o.files, o.bytes,
      CASE WHEN d.retry_interval > 0 AND d.failure_ts < ${now - SILENT_DAYS * 86_400_000} THEN 2
        WHEN d.destination IS NULL OR d.retry_interval > 0 THEN 1 ELSE 0 END AS silent
    FROM (SELECT media_origin AS origin, COUNT(*) AS files, COALESCE(SUM(media_length), 0) AS bytes
      FROM remote_media_cache WHERE quarantined_by IS NULL AND filesystem_id IS NOT NULL GROUP BY media_origin) o
    LEFT JOIN destinations d ON d.destination = o.origin
    ORDER BY o.bytes DESC, o.origin`);
  for await (const { silent, ...origin } of rows) {
    if (silent === 2) lost.push(origin);
    else if (silent === 1 && unsure.length < MAX_ASKED) unsure.push(origin);
  }
  const silent: LostOrigin[] = [];
  const waiting = unsure.values();
  const ask = async () => {
    for (const one of waiting) {
      signal.throwIfAborted();
      if (!(await isReachable(one.origin, http, signal))) silent.push(one);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, ask));
  // When none of many answers, this host has no network access.
  if (silent.length < unsure.length || unsure.length < MIN_CONCLUSIVE) lost.push(...silent);
  return lost.sort((a, b) => (a.origin < b.origin ? -1 : 1));
}

/** Errors that show that there is no server. Any other error shows a server, or proves nothing. */
const UNREACHABLE: readonly NoAnswerReason[] = ["refused", "timed-out", "no-name"];

/** Whether anything answers where a server of that name would (Matrix specification, server-server API, "Resolving server names"). */
async function isReachable(origin: string, http: Http, signal: AbortSignal): Promise<boolean> {
  const withPort = /:\d+$/.test(origin);
  const places = withPort
    ? [`https://${origin}/_matrix/federation/v1/version`]
    : [`https://${origin}/.well-known/matrix/server`, `https://${origin}:8448/_matrix/federation/v1/version`];
  const found = await Promise.all(places.map((place) => isReachableAt(place, http, signal)));
  return found.some(Boolean);
}

async function isReachableAt(place: string, http: Http, signal: AbortSignal): Promise<boolean> {
  try {
    await http.get(place, { timeout: WAIT, signal, limit: 64 * 1024 });
    return true;
  } catch (error) {
    signal.throwIfAborted();
    return !(error instanceof NoAnswer && UNREACHABLE.includes(error.kind));
  }
}

const SHOWN = 20;

/** What is told of media that is kept because its server is gone; nothing when there is none. */
export function keptFindings(lost: readonly LostOrigin[]): Finding[] {
  if (lost.length === 0) return [];
  const files = lost.reduce((sum, one) => sum + one.files, 0);
  const bytes = lost.reduce((sum, one) => sum + one.bytes, 0);
  return [
    {
      id: "media-remote-kept",
      level: "note",
      sentence: `media of servers that no longer answer is packed, and its rows are kept: ${formatAmount(files, "files")}, ${formatBytes(bytes)}, from servers: ${formatCount(lost.length)}`,
      evidence: [...lost]
        .sort((a, b) => b.bytes - a.bytes)
        .slice(0, SHOWN)
        .map((one) => `${one.origin}: ${formatAmount(one.files, "files")}, ${formatBytes(one.bytes)}`),
    },
  ];
}
