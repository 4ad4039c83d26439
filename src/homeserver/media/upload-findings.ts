import { join } from "node:path";
import type { Finding } from "../../report/finding.ts";
import { formatAmount, formatBytes, formatCount } from "../../report/units.ts";
import type { Files } from "../../system/files.ts";
import { describeDiffering } from "./compare.ts";
import { MEDIA_MISSING } from "./export.ts";
import type { StorageProvider } from "./facts.ts";
import { mayBeElsewhere } from "./providers.ts";
import type { AllRead } from "./read-all.ts";
import { MEDIA_ODD } from "./store.ts";
import type { Judged } from "./suspects.ts";
import type { Listed, UploadsLook } from "./uploads.ts";

const SHOWN = 20;

/** What is wrong between the rows of uploads and their files; one "ok" when nothing is. */
export async function uploadFindings(
  look: UploadsLook,
  read: AllRead | undefined,
  { store, providers, files }: { store: string; providers: readonly StorageProvider[]; files: Files },
): Promise<Finding[]> {
  const findings = [
    ...(await missingFindings(look, store, providers, files)),
    ...differingFindings(look, read?.changed, store),
  ];
  if (findings.length === 0 && look.unseen === 0) {
    findings.push({
      id: "media-compared",
      level: "ok",
      sentence: `every upload has its file in ${store}, as long as its row says: ${formatCount(look.rows)}`,
      ...(read ? { evidence: [`hashes compared: ${formatCount(read.hashed)}`] } : {}),
    });
  }
  return [...findings, ...unknownFindings(look, store)];
}

async function missingFindings(
  { rows, missing, files: stored }: UploadsLook,
  store: string,
  providers: readonly StorageProvider[],
  files: Files,
): Promise<Finding[]> {
  if (missing.count === 0) return [];
  const found = await inFolders(missing.some, providers, files);
  const evidence = missing.some.slice(0, SHOWN).map((one) => {
    const folder = found.get(one);
    return folder === undefined ? describe(one) : `${describe(one)}; it is in ${folder}`;
  });
  const sentence = `uploads without a file in ${store}: ${formatCount(missing.count)} of ${formatCount(rows)}`;
  if (mayBeElsewhere(providers)) {
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
  const hint =
    found.size > 0
      ? `copy what is in ${[...new Set(found.values())].join(", ")} to the same place below ${store} before the move, and plan again`
      : `put them back from a backup; if they are lost already, the export goes on without them: --accept ${MEDIA_MISSING}`;
  return [
    ...(stored === 0 ? [emptyStore(store, rows)] : []),
    { id: MEDIA_MISSING, level: "warning", sentence, evidence, hint },
  ];
}

const emptyStore = (store: string, rows: number): Finding => ({
  id: "media-store",
  level: "warning",
  sentence: `the media store ${store} holds no upload, and the database knows ${formatCount(rows)}`,
  hint: "it may be another folder than Synapse's: check media_store_path and the folder that Synapse runs in, which relative paths start from",
});

/** In which folder of a storage provider the file of each upload lies, of those that it has. */
async function inFolders(
  missing: readonly Judged[],
  providers: readonly StorageProvider[],
  files: Files,
): Promise<Map<Judged, string>> {
  const found = new Map<Judged, string>();
  for (const { folder } of providers) {
    if (folder === null) continue;
    for (const one of missing) {
      if (one.path === undefined || found.has(one)) continue;
      const entry = await files.look(join(folder, one.path));
      if (entry?.kind === "file" && entry.size === one.expected) found.set(one, folder);
    }
  }
  return found;
}

/** The export takes both for missing: what is there is not what was uploaded. */
function differingFindings(
  { rows, differing }: UploadsLook,
  changed: Listed | undefined,
  store: string,
): Finding[] {
  const count = differing.count + (changed?.count ?? 0);
  if (count === 0) return [];
  return [
    {
      id: "media-differing",
      level: "warning",
      sentence: `uploads in ${store} that are not as their rows say: ${formatCount(count)} of ${formatCount(rows)}`,
      evidence: [
        ...differing.some.map(describe),
        ...(changed?.some ?? []).map((id) => `${id}: its hash is not the one in its row`),
      ].slice(0, SHOWN),
      hint: `put them back from a backup; if they are lost already, the export goes on with --accept ${MEDIA_MISSING} where the size differs, and the check before opening asks about the hash`,
    },
  ];
}

function unknownFindings({ unknown }: UploadsLook, store: string): Finding[] {
  if (unknown.count === 0) return [];
  return [
    {
      id: "media-unknown-files",
      level: "note",
      sentence: `in ${store} lie files that belong to no upload and travel with the others: ${formatAmount(unknown.count, "files")}, ${formatBytes(unknown.bytes)}`,
      evidence: unknown.some.slice(0, SHOWN).map(({ path, found }) => `${path!}: ${found ?? 0} bytes`),
    },
  ];
}

/** What an export cannot pack, or would leave out. */
export function obstacleFindings(
  { closed, odd, unseen }: { closed: Listed; odd: Listed; unseen: number },
  store: string,
): Finding[] {
  const findings: Finding[] = [];
  if (closed.count > 0) {
    findings.push({
      id: "media-unreadable",
      level: "blocker",
      sentence: `files or folders in ${store} that cannot be read: ${formatCount(closed.count)}`,
      evidence: [
        ...closed.some.slice(0, SHOWN),
        ...(unseen > 0 ? [`uploads whose files may lie there: ${formatCount(unseen)}`] : []),
      ],
      hint: "run synlift as root; if it is, look for faults of the disk in the kernel's log, and save what can still be read",
    });
  }
  if (odd.count > 0) {
    findings.push({
      id: MEDIA_ODD,
      level: "warning",
      sentence: `links and the like in ${store}, which would not be packed: ${formatCount(odd.count)}`,
      evidence: odd.some.slice(0, SHOWN),
      hint: `put what they lead to in their place, or leave them out: synlift export --accept ${MEDIA_ODD}`,
    });
  }
  return findings;
}

/** "AbCd…: 4000 bytes by its row, no file; from @user:example.org, 2024-05-01". */
function describe({ id, path, expected, found, uploader, created }: Judged): string {
  const what =
    path === undefined
      ? `${JSON.stringify(id)}: no file can have this id`
      : describeDiffering({ mediaId: id!, expected: expected!, found });
  const when =
    created !== null && created >= 0 && created < 8.64e15
      ? `, ${new Date(created).toISOString().slice(0, 10)}`
      : "";
  return `${what}; from ${uploader ?? "nobody known"}${when}`;
}
