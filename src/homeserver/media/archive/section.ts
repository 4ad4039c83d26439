import { z } from "zod";
import type { Inventory } from "../../../bundle/inventory.ts";

/** In a bundle with media archives, what they hold. */
const MEDIA_ARCHIVE_SECTION = "media-archive";

const packedSchema = z.object({
  /** The folder in it; its artifact's name is made of that. */
  folder: z.string(),
  records: z.number(),
  /** Bytes of uploads. */
  bytes: z.number(),
  /** Ids of those that were quarantined; the importer of matrix-media-repo does not know of that. */
  quarantined: z.array(z.string()),
  /** Ids of those that could not be read while it was packed, the first thousand: they are not in it. */
  unread: z.array(z.string()).optional(),
  /** The id of the last one that only a storage provider had. */
  lastElsewhere: z.string().optional(),
});

const mediaArchiveSectionSchema = z.object({ archives: z.array(packedSchema) });

export type PackedArchive = z.infer<typeof packedSchema>;

/** What the inventory says of the archives in a bundle; nothing where there are none. */
export function packedArchives(inventory: Inventory): readonly PackedArchive[] {
  const found = mediaArchiveSectionSchema.safeParse(inventory.section(MEDIA_ARCHIVE_SECTION));
  return found.success ? found.data.archives : [];
}

/** Puts an archive into the inventory, in the place of an earlier one in that folder. */
export function notePacked(inventory: Inventory, packed: PackedArchive): void {
  const others = packedArchives(inventory).filter(({ folder }) => folder !== packed.folder);
  inventory.setSection(MEDIA_ARCHIVE_SECTION, { archives: [...others, packed] });
}

export function forgetPacked(inventory: Inventory, folder: string): void {
  const others = packedArchives(inventory).filter((packed) => packed.folder !== folder);
  inventory.setSection(MEDIA_ARCHIVE_SECTION, { archives: others });
}
