/** The id by which a person accepts that uploads are missing already. */
export const MEDIA_MISSING = "media-missing";
/** Under which what is told of uploads whose hash is another one. Accepted with those that are missing. */
export const MEDIA_CHANGED = "media-changed";
/** The id by which a person accepts that links and the like in the media store stay behind. */
export const MEDIA_ODD = "media-odd";
/** The id by which a person accepts that what cannot be read in the media store stays behind. */
export const MEDIA_UNREADABLE = "media-unreadable";
