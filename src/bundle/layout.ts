import { partSuffix } from "../pipeline/split.ts";

/** The names of what lies in a bundle's folder. Nobody else spells these. */
export const MANIFEST = "manifest.json";
export const CHECKSUMS = "SHA256SUMS";
export const OPENING = "OPENING.txt";
export const INVENTORY = "inventory.json.gpg";
export const REPORT = "report.html";
/** The memory of the run that makes the bundle; no part of it. */
export const JOURNAL = "journal.json";
export const LOCK = "lock";
export const PROGRESS = "progress.json";
/** What was changed on the host that the bundle comes from, each with its undo; no part of the bundle. */
export const FENCE = "fence.json";
/** Which files of the media store the first archive holds, as keyed hashes; no part of the bundle. */
export const PACKED_MEDIA = "media-packed.txt";
/** The same of the uploads in a media archive, by its folder. */
export const packedIn = (folder: string) => `${folder}.packed.txt`;

/** An artifact's file: its plain name with gpg's suffix. */
export const sealedName = (plainName: string) => `${plainName}.gpg`;

/** What a part is called: as GNU split names it, or as the artifact where there is only one. */
export const partName = (artifact: string, index: number, split: boolean) =>
  split ? `${artifact}.part-${partSuffix(index)}` : artifact;

/** Whether a name in the folder belongs to an artifact: whole, or as a part. */
export const belongsTo = (artifact: string, name: string) =>
  name === artifact ||
  (name.startsWith(`${artifact}.part-`) && /^[a-z]{2,}$/.test(name.slice(artifact.length + 6)));

/** Names that a manifest may hold: nothing that could lead out of the folder. */
export const SAFE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;
