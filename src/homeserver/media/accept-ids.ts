/** The id to accept with `--accept` that uploads are missing already. */
export const MEDIA_MISSING = "media-missing";
/** The finding id for uploads with a different hash. Accepted together with missing ones. */
export const MEDIA_CHANGED = "media-changed";
/** The id to accept with `--accept` that symbolic links and other special files in the media store are not packed. */
export const MEDIA_SPECIAL_FILES = "media-special-files";
/** The id to accept with `--accept` that unreadable files in the media store are not packed. */
export const MEDIA_UNREADABLE = "media-unreadable";
/** The finding id for quarantined uploads. */
export const MEDIA_QUARANTINED = "media-quarantined";
