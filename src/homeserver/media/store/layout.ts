/**
 * Where things lie in a media store (synapse/media/filepath.py). Only what is local and cannot be had again is
 * moved: uploads, and their thumbnails.
 */
export const LOCAL_FOLDERS = ["local_content", "local_thumbnails"] as const;

/** Where uploads lie, below the store. */
export const UPLOADS = LOCAL_FOLDERS[0];

/** synapse/media/filepath.py, ALLOWED_CHARACTERS: nothing else makes a part of a path. */
const ALLOWED = /^[A-Za-z0-9_\-.[\]:]+$/;

/** The path of a local upload below the store, or undefined when no file can have that id. */
export function uploadPath(mediaId: string): string | undefined {
  if (mediaId.length < 5 || !ALLOWED.test(mediaId)) return undefined;
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

/** Where media of other servers lies, below the store. */
export const REMOTE = "remote_content";

/** Sorts before all that a server's name may hold, so that keys come in the order of the folders. */
export const REMOTE_SEPARATOR = " ";

/** How names below remote_content and "origin filesystem_id" belong together. */
export const REMOTE_KEYS = {
  keyAt(name: string): string | undefined {
    const [origin, ...rest] = name.split("/");
    const id = rest.length === 3 ? uploadIdAt(rest.join("/")) : undefined;
    return id === undefined || !ALLOWED.test(origin!) ? undefined : `${origin!}${REMOTE_SEPARATOR}${id}`;
  },
  prefixAt(name: string): string {
    if (name === "") return "";
    const [origin, ...rest] = name.split("/");
    return `${origin!}${REMOTE_SEPARATOR}${rest.join("")}`;
  },
};

/** The path below the store of what REMOTE_KEYS has as "origin id"; undefined when no file can be meant. */
export function remotePath(key: string): string | undefined {
  const [origin = "", id = ""] = key.split(REMOTE_SEPARATOR);
  const path = uploadPath(id);
  if (path === undefined || !ALLOWED.test(origin) || origin === "." || origin === "..") return undefined;
  return `${REMOTE}/${origin}/${path.slice(UPLOADS.length + 1)}`;
}

/** Whether a name may be unpacked below a media store: nothing that leads out of it, nothing but what lies in those folders. */
export function isStorePath(name: string, folders: readonly string[] = LOCAL_FOLDERS): boolean {
  const parts = name.split("/");
  return (
    parts.length >= 2 &&
    folders.some((folder) => name.startsWith(`${folder}/`)) &&
    parts.every(
      (part) => part !== "" && part !== "." && part !== ".." && !part.includes("\\") && !part.includes("\0"),
    )
  );
}
