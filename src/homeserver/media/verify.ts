import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files.ts";
import type { PostgresSession } from "../../system/postgres.ts";
import { LEFT_BEHIND } from "../left-behind.ts";
import { compareMedia, describeDiffering } from "./compare.ts";
import { MEDIA_MISSING } from "./export.ts";
import type { MediaSection } from "./section.ts";

const SHOWN = 20;

/** The gates of media: every upload that has a row has its file, of that size and, where it is known, that hash. */
export async function verifyMedia(
  section: MediaSection,
  {
    session,
    store,
    files,
    tell,
  }: { session: PostgresSession; store: string; files: Files; tell: (bytes: number) => void },
): Promise<Finding[]> {
  const { rows, bytes, differing, changed, hashed } = await compareMedia(session, store, files, {
    hashes: true,
    tell,
  });
  const before = new Set(section.differing.map(({ mediaId }) => mediaId));
  const lost = differing.filter(({ mediaId }) => !before.has(mediaId));
  const findings: Finding[] = [];
  if (lost.length > 0 || changed.length > 0) {
    findings.push({
      id: "media",
      level: "blocker",
      sentence: `${lost.length + changed.length} of ${rows} uploads are missing or not what they were, in ${store}`,
      evidence: [
        ...lost.map(describeDiffering),
        ...changed.map((id) => `${id}: its hash is not the one in its row`),
      ].slice(0, SHOWN),
      hint: "run the restore again: it brings back what is missing",
    });
  } else {
    findings.push({
      id: "media",
      level: "ok",
      sentence: `${rows - before.size} uploads, ${bytes} bytes by their rows, are in ${store}; ${hashed} were compared by hash`,
    });
  }
  if (before.size > 0) {
    findings.push({
      id: MEDIA_MISSING,
      level: "note",
      sentence: `${before.size} uploads were missing at the source already`,
      evidence: section.differing.slice(0, SHOWN).map(describeDiffering),
    });
  }
  findings.push(await remoteMedia(session));
  return findings;
}

/** Rows whose files stayed behind must be gone, or they answer 404 for ever. */
async function remoteMedia(session: PostgresSession): Promise<Finding> {
  const left: string[] = [];
  for (const { table, keep } of LEFT_BEHIND) {
    const { count } = await session.one<{ count: number }>(
      `SELECT count(*) AS count FROM ${table} WHERE NOT (${keep})`,
    );
    if (count > 0) left.push(`${table}: ${count} rows`);
  }
  if (left.length === 0) {
    return {
      id: "remote-media",
      level: "ok",
      sentence: "no rows are left for remote media and previews whose files stayed behind",
    };
  }
  return {
    id: "remote-media",
    level: "blocker",
    sentence: "rows are left for media whose files stayed behind: each would answer 404 for ever",
    evidence: left,
    hint: "drop the database and restore again, with synlift",
  };
}
