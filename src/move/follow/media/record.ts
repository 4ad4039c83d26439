import { join } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import { recordFolder } from "../../restore/record.ts";

const count = z.object({ files: z.number(), bytes: z.number() });

/** What `follow` knows of the media that it copies beside the database. Contains no secret. */
const schema = z.object({
  format: z.literal("synlift-follow-media"),
  version: z.literal(1),
  /** Whose media it is. */
  serverName: z.string(),
  /** The new server's media store. */
  dir: z.string(),
  /** Whom it belongs to; null for the account that runs synlift. */
  owner: z.object({ name: z.string(), uid: z.number(), gid: z.number() }).nullable(),
  /** Seconds between two passes. */
  every: z.number(),
  /** Bytes a second; null for no limit. */
  maxRate: z.number().nullable(),
  /** Left out for the time being: nothing is copied, and what was copied stays. */
  paused: z.boolean(),
  /** Folders that did not exist before the first pass, outermost first. */
  made: z.array(z.string()),
  /** The last pass that ended well; null before. */
  last: z
    .object({
      /** ISO 8601. */
      at: z.string(),
      /** All that this host has of the old server's media. */
      here: count,
      /** What came in this pass. */
      came: count,
      /** All that the old server has, as it was found. */
      all: count,
    })
    .nullable(),
  /** A pass that runs, or was killed. */
  running: z
    .object({
      since: z.string(),
      /** What had come by then, and what there is to come; null while it is not known. */
      came: count,
      toCome: count.nullable(),
    })
    .nullable(),
  /** Why the last pass failed; null when it did not. */
  failed: z.object({ at: z.string(), code: z.string(), message: z.string() }).nullable(),
  /**
   * Uploads whose content has not the hash of their row on the old host either. `pull` has them sent again, and decides. Null when there are too
   * many to be named.
   */
  changed: z.array(z.string()).nullable(),
});

export type MediaRecord = z.infer<typeof schema>;

const pathOf = (configDir: string) => join(recordFolder(configDir), "follow-media.json");

/** The names of all files that `follow` has begun to write, beside the record. */
export const writtenPath = (configDir: string) => join(recordFolder(configDir), "follow-media.txt");

/** Undefined where no media are copied. Throws `bundle-damaged`. */
export async function readMediaRecord(configDir: string, files: Files): Promise<MediaRecord | undefined> {
  const path = pathOf(configDir);
  if (!(await files.lstat(path))) return undefined;
  try {
    return schema.parse(JSON.parse(await files.readText(path)));
  } catch (error) {
    if (error instanceof MigrationError) throw error;
    throw new MigrationError(
      "bundle-damaged",
      `${path} cannot be read; it says where follow copies media to`,
      {
        hint: "remove it and follow-media.txt beside it: the media stay where they are then, and pull compares what is there",
        cause: error,
      },
    );
  }
}

/** Replaces it atomically. */
export async function writeMediaRecord(configDir: string, record: MediaRecord, files: Files): Promise<void> {
  await files.makeFolder(recordFolder(configDir));
  await files.writeAtomically(pathOf(configDir), `${JSON.stringify(schema.parse(record), null, 2)}\n`);
}

/** Forgets the media: what was copied is nobody's but the new server's. Does nothing where there are none. */
export async function forgetMedia(configDir: string, files: Files): Promise<void> {
  await files.remove(writtenPath(configDir));
  // Last: as long as it is there, what was written is known.
  await files.remove(pathOf(configDir));
}
