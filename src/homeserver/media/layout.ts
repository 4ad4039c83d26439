/**
 * Where things lie in a media store (synapse/media/filepath.py). Only what is local and cannot be had again is
 * moved: uploads, and their thumbnails.
 */
export const LOCAL_FOLDERS = ["local_content", "local_thumbnails"] as const;

/** Where uploads lie, below the store. */
export const UPLOADS = LOCAL_FOLDERS[0];

/** The path of a local upload below the store, or undefined when no file can have that id. */
export function uploadPath(mediaId: string): string | undefined {
  // synapse/media/filepath.py, GOOD_CHARACTERS: nothing else makes a path component.
  if (!/^[A-Za-z0-9_\-.[\]:]{5,}$/.test(mediaId)) return undefined;
  const parts = [mediaId.slice(0, 2), mediaId.slice(2, 4), mediaId.slice(4)];
  if (parts.some((part) => part === "." || part === "..")) return undefined;
  return `${UPLOADS}/${parts.join("/")}`;
}

/** The id of the upload that a name below local_content belongs to: "aa/bb/rest". Undefined when it can be none's. */
export function uploadIdAt(name: string): string | undefined {
  if (name[2] !== "/" || name[5] !== "/") return undefined;
  const id = name.slice(0, 2) + name.slice(3, 5) + name.slice(6);
  return uploadPath(id) === `${UPLOADS}/${name}` ? id : undefined;
}

/** How names below local_content and media ids belong together. Both sort alike: the first two parts have a fixed length. */
export const UPLOAD_KEYS = {
  keyAt: uploadIdAt,
  prefixAt: (name: string) => name.replaceAll("/", ""),
};

/** Whether a name may be unpacked below a media store: nothing that leads out of it, nothing but local media. */
export function isStorePath(name: string): boolean {
  const parts = name.split("/");
  return (
    parts.length >= 2 &&
    LOCAL_FOLDERS.some((folder) => folder === parts[0]) &&
    parts.every(
      (part) => part !== "" && part !== "." && part !== ".." && !part.includes("\\") && !part.includes("\0"),
    )
  );
}
