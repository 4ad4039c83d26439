import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { DUMP_FORMATS } from "../../homeserver/database/dump/format.ts";
import type { MediaChoice } from "../../homeserver/media/pack/choice.ts";
import { optionGroup } from "../command.ts";
import { mediaArtifactsOf, sizeOf } from "./shared.ts";

/** What a bundle contains, and how it is packed. `read` throws `bad-usage` for options that require others. */
export const PACKING_OPTIONS = optionGroup({
  heading: "Contents of the bundle",
  options: [
    {
      flags: "--media <kinds>",
      about:
        "which media to pack: backup (the media store, which restore needs), archive (for matrix-media-repo), archive,backup or none",
      default: "backup",
    },
    {
      flags: "--remote-media <what>",
      about:
        "media of other servers: leave, which packs only media of servers that no longer answer; or keep",
      default: "leave",
    },
    { flags: "--url-cache", about: "also pack the images of URL previews" },
    {
      flags: "--db-format <format>",
      about:
        "format of a PostgreSQL dump: plain, which is SQL; or custom, which restore loads with parallel pg_restore jobs",
      default: "plain",
    },
    { flags: "--split <size>", about: "split artifacts into parts of this size, such as 100m" },
    {
      flags: "--archive-size <size>",
      about: "size of one archive for matrix-media-repo, such as 10g; more uploads make several archives",
      default: "10g",
    },
  ],
  schema: {
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
  },
  read(options): MediaChoice {
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
  },
});
