/**
 * What is known of a homeserver's media once it was looked at: plain JSON, sizes in bytes, nothing secret. What could
 * not be found out is null.
 */
export type MediaFacts = {
  /** The media store's path. */
  readonly store: string;
  /** By the rows of the database, whether their files are there or not. */
  readonly kinds: MediaKinds | null;
  /** Uploads and remote media by when they came, oldest first, at most 24 columns; URL previews and thumbnails apart. */
  readonly byAge: readonly AgeColumn[];
  /** The largest uploads first, at most five. */
  readonly largest: readonly LargeUpload[];
  /** What an export would pack. */
  readonly packed: PackEstimate | null;
  /** How the rows of uploads and the files fit. */
  readonly compared: ComparedUploads | null;
  readonly remote: RemoteFacts | null;
  readonly providers: readonly StorageProvider[];
  /** What matrix-media-repo says that it holds of this server; null when it was not asked or gave no answer. */
  readonly mediaRepo: MediaRepoUsage | null;
};

export type Amount = { readonly files: number; readonly bytes: number };

export type MediaKinds = {
  /** Without those that are pending. */
  readonly localUploads: Amount;
  readonly localThumbnails: Amount;
  readonly remoteMedia: Amount;
  readonly remoteThumbnails: Amount;
  /** Images of web pages that were linked to. */
  readonly urlPreviews: Amount;
  readonly urlPreviewThumbnails: Amount;
  /** Ids that were reserved for an upload that has not come: no file is expected. */
  readonly pending: number;
  /** Uploads and remote media that are blocked, which their rows say. */
  readonly quarantinedLocal: number;
  readonly quarantinedRemote: number;
};

export type AgeColumn = {
  /** "2024" or "2026-03"; "" for what has no usable date. A year ends where the months begin. */
  readonly period: string;
  readonly local: Amount;
  readonly remote: Amount;
};

export type LargeUpload = { readonly mediaId: string; readonly bytes: number };

type PackEstimate = {
  readonly files: number;
  readonly bytes: number;
  /** False when thumbnails were counted by their rows, not by their files: to look at those takes `deep`. */
  readonly exact: boolean;
};

type ComparedUploads = {
  readonly missing: number;
  /** Not in the media store, but in a storage provider that we can read. */
  readonly provided: number;
  readonly differing: number;
  /** Files that are no row's. */
  readonly unknownFiles: number;
  readonly unknownBytes: number;
  /** Only with `deep`: files whose hash was compared with their row's, and those that cannot be read. */
  readonly hashed: number | null;
  readonly unreadable: number | null;
};

/** What leaving remote media behind costs. */
export type RemoteFacts = {
  /** Fetched again when somebody asks for them, quarantined ones apart. */
  readonly fetchedAgain: Amount;
  readonly origins: number;
  /** Those with the most bytes, at most ten. */
  readonly largestOrigins: readonly Origin[];
  /** Servers that have not answered for 30 days: what they hold is likely lost. */
  readonly unreachable: Amount & { readonly origins: number; readonly largestOrigins: readonly Origin[] };
  /** Only with `deep`. */
  readonly rowsWithoutFile: number | null;
  readonly filesWithoutRow: number | null;
};

export type Origin = Amount & { readonly origin: string };

export type StorageProvider = {
  /** The Python module, as the configuration names it. */
  readonly module: string;
  readonly storeLocal: boolean;
  readonly storeRemote: boolean;
  /** Where Synapse's own provider for folders keeps its files; null for every other. */
  readonly folder: string | null;
  /** The bucket in which synapse-s3-storage-provider keeps them; null for every other. */
  readonly bucket: string | null;
};

export type MediaRepoUsage = { readonly media: Amount; readonly thumbnails: Amount };
