import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import type { QuerySession } from "../../../system/query.ts";

export interface MediaStoreInspection {
  readonly findings: readonly Finding[];
  /** Whether it is a folder that we may look into. */
  readonly usable: boolean;
}

/**
 * Checks that the media store is where the configuration says. Synapse silently creates a missing folder
 * (synapse/config/repository.py, `ensure_directory`), and then answers 404 for every upload.
 */
export async function inspectMediaStore(
  store: string,
  workingFolder: string,
  files: Files,
): Promise<MediaStoreInspection> {
  try {
    const found = await files.stat(store);
    if (found?.kind !== "folder")
      return unusable(`${store} ${found ? "is not a directory" : "does not exist"}`, workingFolder);
    await files.list(store);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return {
      usable: false,
      findings: [
        {
          id: "media-store",
          level: "blocker",
          sentence: `the media store cannot be used: ${error.message}`,
          hint: error.hint ?? "an export would fail in the same way: fix the cause, then run plan again",
        },
      ],
    };
  }
  return { usable: true, findings: await fileSystemFindings(store, files) };
}

const unusable = (what: string, workingFolder: string): MediaStoreInspection => ({
  usable: false,
  findings: [
    {
      id: "media-store",
      level: "blocker",
      sentence: `the media store ${what}`,
      hint: `check media_store_path; relative paths start at Synapse's working directory, assumed to be ${workingFolder}`,
    },
  ],
});

async function fileSystemFindings(store: string, files: Files): Promise<Finding[]> {
  const { kind } = await files.diskSpace(store);
  if (kind === "disk") return [];
  return [
    {
      id: "media-file-system",
      level: "note",
      sentence:
        kind === "memory"
          ? `the media store ${store} is kept in memory: a restart of this host would lose it`
          : `the media store ${store} is on another host's disk, over the network: packing it takes longer`,
    },
  ];
}

/**
 * Ids of media differ in case alone often enough: where upper and lower case are the same, one upload overwrites
 * another. Asks for something that is there, by its name in the other case; writes nothing.
 */
export async function caseFindings(
  store: string,
  session: QuerySession | undefined,
  files: Files,
): Promise<Finding[]> {
  if (!(await ignoresCase(store, files))) return [];
  const alike = session
    ? await session.one<{ count: number }>(
        "SELECT COUNT(*) AS count FROM (SELECT lower(media_id) AS id FROM local_media_repository GROUP BY 1 HAVING COUNT(*) > 1) alike",
      )
    : undefined;
  return [
    {
      id: "media-case",
      level: "warning",
      sentence: `the file system of the media store ${store} is case-insensitive: uploads overwrite each other there`,
      ...(alike ? { evidence: [`ids that differ in case alone: ${formatCount(alike.count)}`] } : {}),
      hint: "use a case-sensitive file system for the new host's media store, such as ext4 or xfs",
    },
  ];
}

async function ignoresCase(folder: string, files: Files): Promise<boolean> {
  const names = await files.list(folder);
  for (const name of names) {
    const other = name === name.toLowerCase() ? name.toUpperCase() : name.toLowerCase();
    if (other === name || names.includes(other)) continue;
    return (await files.lstat(join(folder, other))) !== undefined;
  }
  return false;
}
