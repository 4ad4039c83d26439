import type { Kept } from "../../scope.ts";
import { LOCAL_FOLDERS } from "./layout.ts";

/** Folders of a store whose files are packed, in an order that two walks share. Files of servers that no longer answer come last. */
export function keptFolders({ remote, origins, previews }: Kept): string[] {
  const servers = remote
    ? [""]
    : [...origins]
        .filter(isFolderName)
        .sort()
        .map((origin) => `/${origin}`);
  return [
    ...LOCAL_FOLDERS,
    ...(previews ? ["url_cache", "url_cache_thumbnails"] : []),
    // Synapse spells the second without an "s" (synapse/media/filepath.py, `remote_media_thumbnail_rel`).
    ...["remote_content", "remote_thumbnail"].flatMap((folder) =>
      servers.map((server) => `${folder}${server}`),
    ),
  ];
}

/** In this order. */
export const ALL_FOLDERS = keptFolders({ remote: true, origins: [], previews: true });

/** Whether a server's name is safe as a folder name. */
const isFolderName = (origin: string) =>
  /^[A-Za-z0-9_\-.[\]:]+$/.test(origin) && origin !== "." && origin !== "..";
