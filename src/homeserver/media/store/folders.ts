import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { LOCAL_FOLDERS } from "./layout.ts";

/**
 * What is moved besides uploads and their thumbnails: those rows stay, and their files are packed. The rest of the
 * rows is taken out of the restored database, as each would answer 404 for ever.
 */
export const keptSchema = z.object({
  /** All media of other servers. */
  remote: z.boolean(),
  /** Servers whose media is kept although the rest is left behind: they no longer answer. */
  origins: z.array(z.string()),
  /** Previews of linked pages. */
  previews: z.boolean(),
});

export type Kept = Readonly<z.infer<typeof keptSchema>>;

/** What a person asked for, before anybody knows which servers are gone. */
export type MediaOrder = Pick<Kept, "remote" | "previews">;

export const NOTHING_KEPT: Kept = { remote: false, origins: [], previews: false };

/** What a step's outcome depends on; nothing where nothing is kept, as in bundles begun before there was a choice. */
export const keptInputs = (kept: Kept = NOTHING_KEPT): { kept?: string } =>
  isDeepStrictEqual(kept, NOTHING_KEPT) ? {} : { kept: JSON.stringify(kept) };

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

/** A server's name is a folder's: nothing that leads elsewhere. */
const isFolderName = (origin: string) =>
  /^[A-Za-z0-9_\-.[\]:]+$/.test(origin) && origin !== "." && origin !== "..";
