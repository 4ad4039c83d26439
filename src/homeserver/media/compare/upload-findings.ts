import type { Finding } from "../../../report/finding.ts";
import { formatAmount, formatBytes, formatCount } from "../../../report/units.ts";
import { MEDIA_MISSING, MEDIA_SPECIAL_FILES, MEDIA_UNREADABLE } from "../accept-ids.ts";
import type { StorageProvider } from "../facts.ts";
import { hasUnreadableProvider } from "../providers/providers.ts";
import type { BoundedList } from "../store/bounded-list.ts";
import { describeDiffering } from "./compare.ts";
import type { CheckedMismatch } from "./mismatches.ts";
import type { ReadResult } from "./read-all.ts";
import type { UploadsComparison } from "./uploads.ts";

const SHOWN = 20;

/** What is wrong between the rows of uploads and their files; one "ok" when nothing is. */
export function uploadFindings(
  look: UploadsComparison,
  read: ReadResult | undefined,
  { store, providers }: { store: string; providers: readonly StorageProvider[] },
): Finding[] {
  const findings = [
    ...missingFindings(look, store, providers),
    ...differingFindings(look, read?.changed, store),
  ];
  if (findings.length === 0 && look.unseen === 0) {
    findings.push({
      id: "media-compared",
      level: "ok",
      sentence: `every upload has its file in ${placesOf(store, look)}, with the size in its row: ${formatCount(look.rows)}`,
      ...(read ? { evidence: [`hashes compared: ${formatCount(read.hashed)}`] } : {}),
    });
  }
  return [...findings, ...providedFindings(look, providers), ...unknownFindings(look, store)];
}

const placesOf = (store: string, { provided }: UploadsComparison) =>
  provided.files === 0 ? store : `${store} or in a storage provider`;

function providedFindings({ provided }: UploadsComparison, providers: readonly StorageProvider[]): Finding[] {
  if (provided.files === 0) return [];
  const places = providers.flatMap(
    ({ folder, bucket }) => folder ?? (bucket === null ? [] : `bucket ${bucket}`),
  );
  return [
    {
      id: "media-in-provider",
      level: "note",
      sentence: `uploads that only a storage provider has, and that are packed from there: ${formatAmount(provided.files, "files")}, ${formatBytes(provided.bytes)}`,
      evidence: places,
    },
  ];
}

function missingFindings(
  { rows, missing, files: stored }: UploadsComparison,
  store: string,
  providers: readonly StorageProvider[],
): Finding[] {
  if (missing.count === 0) return [];
  const evidence = missing.some.slice(0, SHOWN).map(describeMismatch);
  const sentence = `uploads without a file in ${store}: ${formatCount(missing.count)} of ${formatCount(rows)}`;
  if (hasUnreadableProvider(providers)) {
    return [
      {
        id: MEDIA_MISSING,
        level: "note",
        sentence: `${sentence}; they may be in the storage provider`,
        evidence,
        hint: `the new host must reach the provider; the export goes on without their files only with --accept ${MEDIA_MISSING}`,
      },
    ];
  }
  const hint = `restore them from a backup; if they are lost already, continue the export without them: --accept ${MEDIA_MISSING}`;
  return [
    ...(stored === 0 ? [emptyStore(store, rows)] : []),
    { id: MEDIA_MISSING, level: "warning", sentence, evidence, hint },
  ];
}

const emptyStore = (store: string, rows: number): Finding => ({
  id: "media-store",
  level: "warning",
  sentence: `the media store ${store} holds no upload, but the database has ${formatCount(rows)}`,
  hint: "it may be another folder than Synapse's: check media_store_path and the folder that Synapse runs in, which relative paths start from",
});

/** The export takes both for missing: what is there is not what was uploaded. */
function differingFindings(
  { rows, differing }: UploadsComparison,
  changed: BoundedList | undefined,
  store: string,
): Finding[] {
  const count = differing.count + (changed?.count ?? 0);
  if (count === 0) return [];
  return [
    {
      id: "media-differing",
      level: "warning",
      sentence: `uploads in ${store} that differ from their rows: ${formatCount(count)} of ${formatCount(rows)}`,
      evidence: [
        ...differing.some.map(describeMismatch),
        ...(changed?.some ?? []).map((id) => `${id}: its hash is not the one in its row`),
      ].slice(0, SHOWN),
      hint: `put them back from a backup; if they are lost already, the export goes on with --accept ${MEDIA_MISSING} where the size differs, and the check before opening asks about the hash`,
    },
  ];
}

function unknownFindings({ unknown }: UploadsComparison, store: string): Finding[] {
  if (unknown.count === 0) return [];
  return [
    {
      id: "media-unknown-files",
      level: "note",
      sentence: `files in ${store} that belong to no upload and are packed with the others: ${formatAmount(unknown.count, "files")}, ${formatBytes(unknown.bytes)}`,
      evidence: unknown.some.slice(0, SHOWN).map(({ path, found }) => `${path!}: ${found ?? 0} bytes`),
    },
  ];
}

/** What an export cannot pack, or would leave out. */
export function obstacleFindings(
  { closed, odd, unseen }: { closed: BoundedList; odd: BoundedList; unseen: number },
  store: string,
): Finding[] {
  const findings: Finding[] = [];
  if (closed.count > 0) {
    findings.push({
      id: MEDIA_UNREADABLE,
      level: "blocker",
      sentence: `files or folders in ${store} that cannot be read: ${formatCount(closed.count)}`,
      evidence: [
        ...closed.some.slice(0, SHOWN),
        ...(unseen > 0 ? [`uploads whose files may lie there: ${formatCount(unseen)}`] : []),
      ],
      hint: `run synlift as root; if it already runs as root, check the kernel's log for disk errors, and save what can still be read; to export without these files: --accept ${MEDIA_UNREADABLE}`,
    });
  }
  if (odd.count > 0) {
    findings.push({
      id: MEDIA_SPECIAL_FILES,
      level: "warning",
      sentence: `symbolic links and other special files in ${store}, which are not packed: ${formatCount(odd.count)}`,
      evidence: odd.some.slice(0, SHOWN),
      hint: `replace them by the files that they point to, or leave them out: synlift export --accept ${MEDIA_SPECIAL_FILES}`,
    });
  }
  return findings;
}

/** "AbCd…: 4000 bytes by its row, no file; from @user:example.org, 2024-05-01". */
function describeMismatch({ id, path, expected, found, uploader, created, usedAs }: CheckedMismatch): string {
  const what =
    path === undefined
      ? `${JSON.stringify(id)}: no file can have this id`
      : describeDiffering({ mediaId: id!, expected: expected!, found });
  const when =
    created !== null && created >= 0 && created < 8.64e15
      ? `, ${new Date(created).toISOString().slice(0, 10)}`
      : "";
  return `${what}; from ${uploader ?? "nobody known"}${when}${usedAs === undefined ? "" : `; it is ${usedAs}`}`;
}
