import { join } from "node:path";
import type { Finding } from "../../../report/finding.ts";
import { formatAmount, formatBytes, formatCount } from "../../../report/units.ts";
import type { QuerySession } from "../../../system/query.ts";
import { mergeJoin } from "../compare/merge-join.ts";
import type { Comparable } from "../compare/uploads.ts";
import type { Origin, RemoteFacts } from "../facts.ts";
import { findInProviders } from "../providers/provider.ts";
import { REMOTE, REMOTE_KEYS, REMOTE_SEPARATOR, remotePath } from "../store/layout.ts";
import { bytewise, withoutIndex } from "../store/rows.ts";

/** Days without an answer after which a server is taken to be gone. */
const SILENT_DAYS = 30;
const SHOWN = 10;

/**
 * What it costs to leave remote media behind, as far as the database tells: `destinations` knows since when a server
 * has not answered (synapse/storage/databases/main/transactions.py). Quarantined media is not fetched again.
 */
export async function remoteFacts(session: QuerySession, now: number): Promise<RemoteFacts> {
  const fetchedAgain = { files: 0, bytes: 0 };
  const gone = { origins: 0, files: 0, bytes: 0 };
  const largest: Origin[] = [];
  const largestGone: Origin[] = [];
  let origins = 0;
  const rows = session.rows<Origin & { unreachable: number }>(`
    SELECT o.origin, o.files, o.bytes,
      CASE WHEN d.retry_interval > 0 AND d.failure_ts < ${now - SILENT_DAYS * 86_400_000} THEN 1 ELSE 0 END AS unreachable
    FROM (SELECT media_origin AS origin, COUNT(*) AS files, COALESCE(SUM(media_length), 0) AS bytes
      FROM remote_media_cache WHERE quarantined_by IS NULL GROUP BY media_origin) o
    LEFT JOIN destinations d ON d.destination = o.origin`);
  for await (const { origin, files, bytes, unreachable } of rows) {
    origins += 1;
    fetchedAgain.files += files;
    fetchedAgain.bytes += bytes;
    keepLargest(largest, { origin, files, bytes });
    if (!unreachable) continue;
    gone.origins += 1;
    gone.files += files;
    gone.bytes += bytes;
    keepLargest(largestGone, { origin, files, bytes });
  }
  return {
    fetchedAgain,
    origins,
    largestOrigins: largest,
    unreachable: { ...gone, largestOrigins: largestGone },
    rowsWithoutFile: null,
    filesWithoutRow: null,
  };
}

function keepLargest(largest: Origin[], origin: Origin): void {
  if (largest.length === SHOWN && largest.at(-1)!.bytes >= origin.bytes) return;
  largest.push(origin);
  largest.sort((a, b) => b.bytes - a.bytes || (a.origin < b.origin ? -1 : 1));
  if (largest.length > SHOWN) largest.pop();
}

export type ComparedRemote = {
  /** Quarantined ones among them. */
  readonly rowsWithoutFile: number;
  /** Of them, those that are quarantined, which are looked for in the store alone: nobody is to see them anyway. */
  readonly quarantinedWithoutFile: number;
  readonly filesWithoutRow: number;
};

/** Counts rows of remote media without a file, and files without a row. `tell` is called with 1 for each row. */
export async function compareRemote(
  { session, store, providers, files, signal }: Comparable,
  tell: (rows: number) => void,
): Promise<ComparedRemote> {
  let rowsWithoutFile = 0;
  let quarantinedWithoutFile = 0;
  let filesWithoutRow = 0;
  const key = `media_origin || '${REMOTE_SEPARATOR}' || filesystem_id`;
  const without = (quarantined: number) => {
    rowsWithoutFile += 1;
    quarantinedWithoutFile += quarantined;
  };
  const lookElsewhere = async ({ key: id, length, quarantined }: RemoteRow) => {
    const path = remotePath(id);
    if (path === undefined || length === null || !(await findInProviders(path, length, providers)))
      without(quarantined);
  };
  const rows = session.rows<RemoteRow>(`
    SELECT ${key} AS key, media_length AS length, CASE WHEN quarantined_by IS NULL THEN 0 ELSE 1 END AS quarantined FROM ${withoutIndex(session, "remote_media_cache")}
    WHERE filesystem_id IS NOT NULL ORDER BY ${bytewise(session, `(${key})`)}`);
  await mergeJoin(rows, files.walk(join(store, REMOTE), signal), {
    ...REMOTE_KEYS,
    both() {
      tell(1);
      return undefined;
    },
    rowOnly(row, unseen) {
      tell(1);
      if (unseen) return undefined;
      // Nobody is to see a quarantined one: it is no reason to ask a provider, which may be out of reach by now.
      if (providers.length > 0 && !row.quarantined) return lookElsewhere(row);
      without(row.quarantined);
      return undefined;
    },
    fileOnly({ kind }) {
      if (kind === "file") filesWithoutRow += 1;
    },
  });
  return { rowsWithoutFile, quarantinedWithoutFile, filesWithoutRow };
}

interface RemoteRow {
  readonly key: string;
  readonly length: number | null;
  readonly quarantined: number;
}

export function remoteFindings(facts: RemoteFacts, quarantined: number): Finding[] {
  const { fetchedAgain, origins, unreachable, largestOrigins, rowsWithoutFile, filesWithoutRow } = facts;
  const line = ({ origin, files, bytes }: Origin) =>
    `${origin}: ${formatAmount(files, "files")}, ${formatBytes(bytes)}`;
  const findings: Finding[] = [
    {
      id: "media-remote",
      level: fetchedAgain.files === 0 ? "ok" : "note",
      sentence:
        fetchedAgain.files === 0
          ? "there is no remote media"
          : `remote media is not moved: ${formatAmount(fetchedAgain.files, "files")}, ${formatBytes(fetchedAgain.bytes)}, from servers: ${formatCount(origins)}; the new server fetches each file again when somebody asks for it`,
      evidence: [
        ...largestOrigins.slice(0, 5).map(line),
        ...(quarantined > 0
          ? [
              `quarantined, which stays as it is and is not fetched again: ${formatAmount(quarantined, "files")}`,
            ]
          : []),
        ...(rowsWithoutFile ? [`without a file here as well: ${formatCount(rowsWithoutFile)}`] : []),
        ...(filesWithoutRow ? [`files without a row: ${formatCount(filesWithoutRow)}`] : []),
      ],
    },
  ];
  if (unreachable.files > 0) {
    findings.push({
      id: "media-remote-lost",
      level: "warning",
      sentence: `${formatAmount(unreachable.files, "files")} of other servers, ${formatBytes(unreachable.bytes)}, can hardly be fetched again: servers that have not answered for ${SILENT_DAYS} days or longer: ${formatCount(unreachable.origins)}`,
      evidence: unreachable.largestOrigins.slice(0, 5).map(line),
      hint: "people who still need files from those servers' rooms should save them before the move",
    });
  }
  return findings;
}
