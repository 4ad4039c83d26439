import { formatCount, formatCountOf } from "../../report/units.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { QuerySession } from "../../system/query.ts";
import { excludedRows, type Kept, NOTHING_KEPT } from "../scope.ts";
import { compareMedia, type Comparison, describeDiffering } from "./compare/compare.ts";
import type { SavedComparison } from "./compare/compared-before.ts";
import type { HashedBefore } from "./compare/hashed-before.ts";
import { compareSince, type ComparisonSince } from "./compare/since.ts";
import { lossFindings } from "./losses.ts";
import { uploadIdOf } from "./pack/join-rows.ts";
import type { Differing, MediaSection } from "./section.ts";

const SHOWN = 20;

/** Uploads that were compared before, and at random are looked at again. */
const SAMPLE = 1000;

export interface MediaToVerify {
  readonly session: QuerySession;
  readonly store: string;
  readonly files: Files;
  readonly tell: (bytes: number) => void;
  /** Uploads that were compared by hash while the old server ran: they are not read again where they have not changed since. */
  readonly earlier?: HashedBefore | undefined;
  /** All of them were compared then: only those that came since are, and some others at random. */
  readonly before?: SavedComparison | undefined;
}

type ToVerify = Pick<ComparisonSince, "compared"> & Partial<ComparisonSince>;

/** Compares uploads with their rows, and their hashes where those are known: all of them, or what came since they were compared. */
export async function compareToVerify({
  session,
  store,
  files,
  tell,
  earlier,
  before,
}: MediaToVerify): Promise<ToVerify> {
  const options = { hashes: true, tell, before: earlier };
  const since =
    before && earlier
      ? await compareSince({ session, store, files }, before, { ...options, sample: SAMPLE })
      : undefined;
  return since ?? { compared: await compareMedia(session, store, files, options) };
}

/** The gates of media: every upload that has a row has its file, of that size and, where it is known, that hash. */
export async function verifyMedia(
  section: MediaSection,
  toVerify: ToVerify,
  {
    session,
    store,
    before: earlier,
    kept = NOTHING_KEPT,
  }: Pick<MediaToVerify, "session" | "store" | "before"> & { readonly kept?: Kept | undefined },
): Promise<Finding[]> {
  const { compared } = toVerify;
  const { rows, bytes } = compared;
  const unreadable = new Set(section.unreadable?.flatMap((name) => uploadIdOf(name) ?? []));
  const lost = lostSince(section, compared).filter(({ mediaId }) => !unreadable.has(mediaId));
  const otherBefore = new Set(section.changed);
  const changed = compared.changed.some.filter((id) => !otherBefore.has(id) && !unreadable.has(id));
  const changedCount = changed.length + compared.changed.count - compared.changed.some.length;
  // Where the section does not name all that were other files at the source, so many more may be.
  const changedBefore = section.changedCount ?? otherBefore.size;
  const isChanged = changedCount > changedBefore - otherBefore.size;
  const before = section.differingCount ?? section.differing.length;
  const findings: Finding[] = [];
  if (lost.length > 0 || isChanged) {
    findings.push({
      id: "media",
      level: "blocker",
      sentence: `${lost.length + (isChanged ? changedCount : 0)} of ${rows} uploads are missing or differ from the old host, in ${store}`,
      evidence: [
        ...lost.map(describeDiffering),
        ...(isChanged ? changed : []).map((id) => `${id}: its hash is not the one in its row`),
      ].slice(0, SHOWN),
      hint: "run the restore again: it restores missing files",
    });
  } else {
    findings.push({
      id: "media",
      level: "ok",
      sentence: `${formatCountOf(rows - before - unreadable.size, "upload")} in ${store}, ${formatCountOf(bytes, "byte")} by their rows; ${describeHashes(toVerify, earlier)}`,
    });
  }
  findings.push(...lossFindings(section));
  findings.push(await remoteMediaFinding(session, kept));
  return findings;
}

/** What is not as it was at the source: uploads that were missing there already are no loss. */
export function lostSince(section: MediaSection, now: Comparison): readonly Differing[] {
  const named = new Set(section.differing.map(({ mediaId }) => mediaId));
  const all = (section.differingCount ?? named.size) <= named.size;
  if (!all && now.differingDigest === section.differingDigest) return [];
  return now.differing.filter(({ mediaId }) => !named.has(mediaId));
}

/** Rows whose files stayed behind must be gone, or they answer 404 for ever. */
async function remoteMediaFinding(session: QuerySession, kept: Kept): Promise<Finding> {
  const left: string[] = [];
  for (const { table, keep } of excludedRows(kept)) {
    const { count } = await session.one<{ count: number }>(
      `SELECT count(*) AS count FROM ${table} WHERE NOT (${keep})`,
    );
    if (count > 0) left.push(`${table}: ${count} rows`);
  }
  if (left.length === 0) {
    return {
      id: "remote-media",
      level: "ok",
      sentence: "there are no rows for remote media and previews whose files were not moved",
    };
  }
  return {
    id: "remote-media",
    level: "blocker",
    sentence: "there are rows for media whose files were not moved: Synapse would always return 404 for them",
    evidence: left,
    hint: "remove the database and restore again, with synlift",
  };
}

function describeHashes(
  { compared: { hashed, hashedBefore }, since, others = 0 }: ToVerify,
  before: Pick<SavedComparison, "at" | "hashed"> | undefined,
): string {
  if (since === undefined || !before)
    return `compared by hash: ${formatCount(hashed)}${hashedBefore === 0 ? "" : `, and ${formatCount(hashedBefore)} before the cut-over, unchanged since`}`;
  return `${formatCount(before.hashed)} were compared by hash on ${new Date(before.at).toISOString()}, before the cut-over; now those that came since (${formatCount(since)}), and the size of ${formatCount(others)} others at random`;
}
