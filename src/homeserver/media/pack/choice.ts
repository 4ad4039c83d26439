import type { MediaOrder } from "../../scope.ts";

/** What of the media goes into a bundle. */
export interface MediaChoice extends MediaOrder {
  /** The media store as it is: everything that a restore needs, with thumbnails. */
  readonly backup: boolean;
  /** Archives that the importer of matrix-media-repo takes: uploads, without thumbnails. */
  readonly archive: boolean;
  /** Bytes of uploads in one archive. */
  readonly archiveSize: number;
}

/** What a move from host to host takes. */
export const BACKUP_ONLY: MediaChoice = {
  backup: true,
  archive: false,
  archiveSize: Infinity,
  remote: false,
  previews: false,
};
