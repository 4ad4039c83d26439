import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import { MEDIA_QUARANTINED } from "../accept-ids.ts";
import { type ArchiveRecord, mxcOf } from "../archive/record.ts";
import type { NotFetched } from "./fetch-uploads.ts";
import type { HeldUploads } from "./held.ts";

const SHOWN = 20;

export interface ComparedWithListing {
  readonly held: HeldUploads;
  /** In the archive, by media ID. */
  readonly known: ReadonlyMap<string, ArchiveRecord>;
  readonly notFetched: readonly NotFetched[];
  readonly leaveOut: ReadonlySet<string>;
}

/** What matrix-media-repo's own listing says of an archive: nothing is guessed. */
export function listingFindings(
  where: string,
  { held, known, notFetched, leaveOut }: ComparedWithListing,
): Finding[] {
  const reasons = new Map(notFetched.map(({ mediaId, why }) => [mediaId, why]));
  const same: string[] = [];
  const differing: string[] = [];
  const quarantined: string[] = [];
  const left: string[] = [];
  const missing: string[] = [];
  for (const [mediaId, upload] of held) {
    const record = known.get(mediaId);
    if (leaveOut.has(mediaId)) left.push(mediaId);
    else if (!record)
      (upload.quarantined ? quarantined : missing).push(
        upload.quarantined ? mediaId : `${mediaId}: ${reasons.get(mediaId) ?? "it is not in the archive"}`,
      );
    else if (
      record.size_bytes !== upload.size_bytes ||
      (upload.sha256_hash !== "" && record.sha256.toLowerCase() !== upload.sha256_hash)
    )
      differing.push(mxcOf(record));
    else same.push(mediaId);
  }
  const findings: Finding[] = [
    {
      id: "media-repo-compared",
      level: "ok",
      sentence: `uploads in the archive with the size and the hash that ${where} recorded: ${formatCount(same.length)}`,
    },
  ];
  if (differing.length > 0)
    findings.push({
      id: "media-repo-differing",
      level: "warning",
      sentence: `uploads in the archive without the size or the hash that ${where} recorded: ${formatCount(differing.length)}`,
      evidence: differing.slice(0, SHOWN),
      hint: "they are damaged in its datastore: put them back there from a backup, or accept them as they are",
    });
  if (missing.length > 0)
    findings.push({
      id: "media-archive-short",
      level: "warning",
      sentence: `uploads that ${where} holds and that are not in the archive: ${formatCount(missing.length)} of ${formatCount(held.size)}`,
      evidence: missing.slice(0, SHOWN),
      hint: "its log says more; put lost files back into its datastore and run the same command again, which fetches these alone; or accept that they are lost",
    });
  if (quarantined.length > 0) findings.push(quarantinedFinding(where, quarantined));
  if (left.length > 0)
    findings.push({
      id: "media-left-out",
      level: "note",
      sentence: `uploads that were left out of the archive, as asked: ${formatCount(left.length)}`,
      evidence: left.slice(0, SHOWN),
    });
  return findings;
}

export const quarantinedFinding = (where: string, ids: readonly string[]): Finding => ({
  id: MEDIA_QUARANTINED,
  level: "note",
  sentence: `uploads that are quarantined in ${where}, which hands them out to nobody, and that are not in the archive: ${formatCount(ids.length)}`,
  evidence: ids.slice(0, SHOWN),
  hint: "nobody gets them on the new server either; their files stay in the datastores of matrix-media-repo",
});
