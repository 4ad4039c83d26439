import { partSuffix } from "../pipeline/split.ts";

/** The names of the files in a bundle's folder. They are defined only here. */
export const MANIFEST = "manifest.json";
export const CHECKSUMS = "SHA256SUMS";
export const OPENING = "OPENING.txt";
export const INVENTORY = "inventory.json.gpg";
export const REPORT = "report.html";
/** The journal of the export; not part of the bundle. */
export const JOURNAL = "journal.json";
export const LOCK = "lock";
export const PROGRESS = "progress.json";
/** Which files were proven to be at other places; not part of the bundle. */
export const SENT = "sent.json";
/** Which files of a fetched bundle were compared; not part of the bundle. */
export const FETCHED = "fetched.json";
/** The changes made on the old host and how to undo them; not part of the bundle. */
export const FENCE = "fence.json";
/** What was changed on the old host so that a copy of its database can follow; not part of the bundle. */
export const FOLLOW = "follow.json";
/** Which files of the media store are in the first archive, as keyed hashes; not part of the bundle. */
export const PACKED_MEDIA = "media-packed.txt";
/** The same list for the uploads in a media archive, next to the archive's folder. */
export const packedListOf = (folder: string) => `${folder}.packed.txt`;

/** The file name of an artifact: its plain name with gpg's suffix. */
export const encryptedName = (plainName: string) => `${plainName}.gpg`;

/** The file name of a part: as GNU split names it, or that of the artifact if it is not split. */
export const partName = (artifact: string, index: number, split: boolean) =>
  split ? `${artifact}.part-${partSuffix(index)}` : artifact;

/** Whether a file name is that of an artifact or of one of its parts. */
export const isFileOfArtifact = (artifact: string, name: string) =>
  name === artifact ||
  (name.startsWith(`${artifact}.part-`) && /^[a-z]{2,}$/.test(name.slice(artifact.length + 6)));

/** File names that a manifest may contain: none that could lead outside the folder. */
export const SAFE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;
