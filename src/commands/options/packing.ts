import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { DUMP_FORMATS } from "../../homeserver/database/dump/format.ts";
import type { MediaChoice } from "../../homeserver/media/pack/choice.ts";
import type { Given, Option } from "../command.ts";
import { flagOf, mediaArtifactsOf, recipientSchema, sizeOf } from "./shared.ts";

/** How a bundle is packed. */
export const PACKING_OPTIONS: readonly Option[] = [
  { flags: "--split <size>", about: "split artifacts into parts of this size, such as 100m" },
  {
    flags: "--db-format <format>",
    about:
      "format of a PostgreSQL dump: plain (default), which is SQL; or custom, which restore loads with parallel pg_restore jobs",
  },
  {
    flags: "--media <kinds>",
    about:
      "which media to pack: backup (default; the media store, which restore needs), archive (for matrix-media-repo), archive,backup or none",
  },
  {
    flags: "--archive-size <size>",
    about:
      "size of one archive for matrix-media-repo, such as 10g (default); more uploads make several archives",
  },
  {
    flags: "--remote-media <what>",
    about:
      "media of other servers: leave (default), which packs only media of servers that no longer answer; or keep",
  },
  { flags: "--url-cache", about: "also pack the images of URL previews" },
];

export const packingSchema = {
  split: z
    .string()
    .transform((text) => sizeOf(text))
    .optional(),
  dbFormat: z.enum(DUMP_FORMATS, { error: "write plain or custom" }).default("plain"),
  media: z.string().default("backup").transform(mediaArtifactsOf),
  archiveSize: z
    .string()
    .default("10g")
    .transform((text) => sizeOf(text, "--archive-size")),
  remoteMedia: z.enum(["leave", "keep"], { error: "write leave or keep" }).default("leave"),
  urlCache: z.boolean().default(false),
};

type Packing = z.infer<z.ZodObject<typeof packingSchema>>;

/** Which media to pack. Throws `bad-usage` for options that require others. */
export function mediaChoiceOf(options: Packing): MediaChoice {
  const remote = options.remoteMedia === "keep";
  if ((remote || options.urlCache) && !options.media.backup)
    throw new MigrationError("bad-usage", "--remote-media keep and --url-cache require --media backup", {
      hint: "archives for matrix-media-repo contain uploads only: add backup to --media",
    });
  return {
    backup: options.media.backup,
    archive: options.media.archive,
    archiveSize: options.archiveSize,
    remote,
    previews: options.urlCache,
  };
}

/** Throws `bad-usage` when options of a bundle were given for a direct transfer, which packs none. */
export function assertNoPacking(given: Given): void {
  const unused = Object.keys({ ...packingSchema, ...recipientSchema }).filter(
    (name) => given[name] !== undefined,
  );
  if (unused.length === 0) return;
  throw new MigrationError(
    "bad-usage",
    `--to-receiver packs no bundle: it cannot be combined with ${unused.map(flagOf).join(", ")}`,
    {
      hint: "leave them out: the media store is sent unchanged; for archives, pack a bundle and copy it",
    },
  );
}
