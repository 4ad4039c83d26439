/** The name that Element's guide "Migrate From Self-Hosted to EMS" gives to the media archive. */
const NAME = "customer_media_export";

/** What was packed while the server served, or what came since. */
export type ArchivePass = "first" | "since";

/** Of each pass, its step in the journal. */
export const ARCHIVE_STEP = { first: "export/media-archive", since: "export/media-archive-since" } as const;

/** The folder in an archive, from its number (from 1): "customer_media_export", "customer_media_export-2". */
export const archiveFolder = (pass: ArchivePass, number: number): string =>
  `${NAME}${pass === "since" ? "_since" : ""}${number === 1 ? "" : `-${number}`}`;

/** Of a folder that `archiveFolder` named. */
export const archiveNumber = (folder: string): number => Number(/-(\d+)$/.exec(folder)?.[1] ?? 1);

export const isFirst = (folder: string): boolean => !folder.startsWith(`${NAME}_since`);

/** An archive's plain name, from its folder. */
export const archiveArtifact = (folder: string): string => `${folder}.tar.gz`;

/** The folder of an archive, from its sealed name; undefined when it is none. */
export const folderOfArchive = (sealed: string): string | undefined =>
  /^(customer_media_export(?:_since)?(?:-[1-9]\d*)?)\.tar\.gz\.gpg$/.exec(sealed)?.[1];

/** matrix-media-repo's names (archival/dir_part_persister.go). No reader of theirs goes by them. */
export const partFile = (number: number): string => `export-part-${number}.tgz`;
export const MANIFEST_FILE = "export-manifest.tgz";
export const MANIFEST_ENTRY = "manifest.json";
