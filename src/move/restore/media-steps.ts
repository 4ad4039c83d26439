import { join } from "node:path";
import type { Inventory } from "../../bundle/inventory.ts";
import { encryptedName } from "../../bundle/layout.ts";
import { MigrationError } from "../../errors.ts";
import { type DatabaseTarget, openTarget } from "../../homeserver/database/target.ts";
import { type Change, UploadRowWriter } from "../../homeserver/media/archive/insert-rows.ts";
import { archiveArtifact, MANIFEST_FILE } from "../../homeserver/media/archive/names.ts";
import {
  QUARANTINED_LIST,
  quarantinedIn,
  quarantineFindings,
} from "../../homeserver/media/archive/quarantined.ts";
import { restoreMediaArchive } from "../../homeserver/media/archive/restore.ts";
import { packedArchives } from "../../homeserver/media/archive/section.ts";
import { archiveInFolder, archiveInTar } from "../../homeserver/media/archive/source.ts";
import { unpackParts } from "../../homeserver/media/archive/unpack.ts";
import { compareMedia } from "../../homeserver/media/compare/compare.ts";
import { MEDIA_SINCE_ARTIFACT } from "../../homeserver/media/export-since.ts";
import { MEDIA_ARTIFACT } from "../../homeserver/media/export.ts";
import { type MediaTarget, restoreArchives } from "../../homeserver/media/restore.ts";
import type { MediaSection } from "../../homeserver/media/section.ts";
import { lostSince } from "../../homeserver/media/verify.ts";
import type { Journal } from "../../journal/journal.ts";
import type { Outcome, Step } from "../../journal/step.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import { sectionsOf } from "../sections.ts";
import { contentWithProgress, type OpenedBundle } from "./opened-bundle.ts";

/** How `restore` unpacks the media: as Synapse's media store, or as archives for matrix-media-repo. */
export type MediaAs = "store" | "archive";

/** Unpacks the media. Runs again when files have gone missing. */
export function mediaStep(
  opened: OpenedBundle,
  target: MediaTarget,
  section: MediaSection,
  database: DatabaseTarget,
  system: System,
  progress: Progress,
): Step {
  const { files } = system;
  return {
    id: "restore/media",
    label: "media",
    inputs: { bundle: opened.bundle.manifest.id, store: target.store },
    async findFault() {
      const session = await openTarget(database, system);
      try {
        const compared = await compareMedia(session, target.store, files, {
          hashes: false,
          tell: () => undefined,
        });
        const lost = lostSince(section, compared);
        return lost.length === 0 ? undefined : `${lost.length} files are missing`;
      } finally {
        await session.close();
      }
    },
    async run() {
      const holds = (plainName: string) =>
        opened.inventory.artifacts.some(({ name }) => name === encryptedName(plainName));
      if (!holds(MEDIA_ARTIFACT)) return restoreFromArchives(opened, target, files, progress);
      // The later archive first: where both have a file, the later one wins.
      const since = holds(MEDIA_SINCE_ARTIFACT)
        ? contentWithProgress(opened, MEDIA_SINCE_ARTIFACT, "media added since", progress)
        : undefined;
      const archive = contentWithProgress(opened, MEDIA_ARTIFACT, "media", progress);
      const restored = await restoreArchives(since ? [since, archive] : [archive], target, files);
      // One sync for all: a sync for each file would be a million small waits.
      await files.syncAll(target.store);
      return { ...restored };
    },
  };
}

/**
 * Unpacks the archives in a bundle as folders below the media folder, as matrix-media-repo's importer expects them.
 * Throws `bundle-damaged` when it has none.
 */
export function archiveFoldersStep(
  opened: OpenedBundle,
  target: MediaTarget,
  { files }: System,
  progress: Progress,
): Step {
  const folders = packedArchives(opened.inventory).map(({ folder }) => folder);
  return {
    id: "restore/media-as-archive",
    label: "media as archives",
    inputs: { bundle: opened.bundle.manifest.id, store: target.store },
    async findFault() {
      for (const folder of folders)
        if (!(await files.lstat(join(target.store, folder, MANIFEST_FILE))))
          return `${folder} no longer exists`;
      return undefined;
    },
    async run() {
      if (folders.length === 0)
        throw new MigrationError("bundle-damaged", `${opened.bundle.folder} holds no media archive`, {
          hint: "export with --media archive, or restore without --media-as archive",
        });
      for (const folder of folders)
        await unpackParts(
          contentWithProgress(opened, archiveArtifact(folder), folder, progress),
          folder,
          target,
          files,
        );
      const quarantined = quarantinedIn(opened.inventory);
      if (quarantined.length > 0)
        await files.writeAtomically(join(target.store, QUARANTINED_LIST), `${quarantined.join("\n")}\n`);
      await files.syncAll(target.store);
      return { archives: folders.length };
    },
  };
}

const foreignArchiveId = (path: string): string => `restore/media-archive ${path}`;

/** The journal fact with the number of uploads in the restored database before rows for others were added. */
const UPLOADS_BEFORE = "uploads-before-archives";

/**
 * Restores an archive made by matrix-media-repo, a folder of parts, and adds rows for uploads that the
 * database does not have. Throws what `restoreMediaArchive` throws.
 */
export function foreignArchiveStep(
  path: string,
  {
    opened,
    target,
    database,
    journal,
  }: { opened: OpenedBundle; target: MediaTarget; database: DatabaseTarget; journal: Journal },
  system: System,
  progress: Progress,
): Step {
  const { files } = system;
  const { serverName } = sectionsOf(opened.inventory).config;
  return {
    id: foreignArchiveId(path),
    label: `media archive ${path}`,
    inputs: { bundle: opened.bundle.manifest.id, store: target.store },
    findFault: () => Promise.resolve(undefined),
    async run() {
      const { session, change } = await openToChange(database, system);
      try {
        if (journal.facts[UPLOADS_BEFORE] === undefined)
          await journal.setFact(UPLOADS_BEFORE, String(await countUploads(session)));
        const rows = await UploadRowWriter.begin(session, change);
        const source = archiveInFolder(path, files, (name) => {
          progress.note(`${join(path, name)} is not a part of an archive, and was skipped`);
        });
        const restored = await restoreMediaArchive(source, { ...target, serverName }, files, (record) =>
          rows.add(record),
        ).finally(
          // Also after an error, for what was restored before it.
          () => rows.flush(),
        );
        return {
          ...restored,
          findings: [...restored.findings, ...authenticationFindings(path, rows.unknownAuthentication)],
        };
      } finally {
        await session.close();
      }
    },
  };
}

const authenticationFindings = (path: string, count: number): Finding[] =>
  count === 0
    ? []
    : [
        {
          id: "media-authenticated",
          level: "note",
          sentence: `${path} does not say which uploads were public: their new rows are served to people and servers with authentication only`,
          evidence: [`uploads: ${count}`],
          hint: "old clients and servers, which ask without a token, get 404; if these uploads were public before, say so in the restored database before open: UPDATE local_media_repository SET authenticated = FALSE WHERE created_ts < … (milliseconds since 1970)",
        },
      ];

/** Nothing else uses the database, because its server is fenced. */
async function openToChange(
  database: DatabaseTarget,
  { postgres, sqlite }: Pick<System, "postgres" | "sqlite">,
): Promise<{ session: QuerySession; change: Change }> {
  if (database.engine === "postgres") {
    const session = await postgres.connect(database.address, { writes: true });
    return { session, change: (statement) => session.run(statement) };
  }
  const { path } = database;
  const change = (statement: string) => sqlite.execute(path, [statement], { recoverable: true });
  return { session: await sqlite.connect(path), change };
}

/** How many rows were added for uploads from other archives. */
export async function addedUploads(
  database: DatabaseTarget,
  journal: Journal,
  system: System,
): Promise<number> {
  const before = journal.facts[UPLOADS_BEFORE];
  if (before === undefined) return 0;
  const session = await openTarget(database, system);
  return countUploads(session)
    .then((count) => count - Number(before))
    .finally(() => session.close());
}

async function countUploads(session: QuerySession): Promise<number> {
  return (await session.one<{ count: number }>("SELECT count(*) AS count FROM local_media_repository")).count;
}

/** For a bundle without a media store backup: restores the uploads; Synapse generates thumbnails when they are requested. */
async function restoreFromArchives(
  opened: OpenedBundle,
  target: MediaTarget,
  files: Files,
  progress: Progress,
): Promise<Outcome> {
  const sum = { written: 0, kept: 0, bytes: 0 };
  const { serverName } = sectionsOf(opened.inventory).config;
  for (const { folder } of packedArchives(opened.inventory)) {
    const name = archiveArtifact(folder);
    const source = archiveInTar(
      () => contentWithProgress(opened, name, folder, progress),
      encryptedName(name),
    );
    const restored = await restoreMediaArchive(source, { ...target, serverName }, files);
    sum.written += restored.written;
    sum.kept += restored.kept;
    sum.bytes += restored.bytes;
  }
  await files.makeFolder(target.store);
  await files.syncAll(target.store);
  return sum;
}

/** What was found in the archives outside the bundle while they were restored. */
export const foreignArchiveFindings = (
  paths: readonly string[],
  { steps }: Pick<Journal, "steps">,
): Finding[] =>
  paths.flatMap((path) => (steps[foreignArchiveId(path)]?.outcome["findings"] ?? []) as Finding[]);

/** What to do about media that is not in this server's store. */
export const mediaAsArchiveFindings = (inventory: Inventory, store: string): Finding[] => [
  {
    id: "media-as-archive",
    level: "note",
    sentence: "the media was restored as archives: Synapse's media store has no uploads",
    hint: "import the folders with matrix-media-repo's gdpr_import, one after another; then run open with --accept media",
  },
  ...quarantineFindings(quarantinedIn(inventory), sectionsOf(inventory).config.serverName, {
    list: join(store, QUARANTINED_LIST),
  }),
];
