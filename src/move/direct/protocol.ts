import { z } from "zod";
import { formatSchema } from "../../bundle/manifest.ts";
import { MigrationError } from "../../errors.ts";
import type { Channel } from "../../pipeline/channel.ts";

/** Raised when the talk changes so that another version would take it wrongly. */
export const ROAD_VERSION = 1;

const version = z.number();
const finding = z.object({
  id: z.string(),
  level: z.enum(["ok", "note", "warning", "blocker"]),
  sentence: z.string(),
  evidence: z.array(z.string()).optional(),
  hint: z.string().optional(),
});

/** What the new host says, in this order. */
export const FROM_NEW = {
  begin: z.object({
    type: z.literal("begin"),
    version,
    rehearsal: z.boolean(),
    /** Nothing is to be written, stopped or sent but the configuration. */
    dryRun: z.boolean(),
    /** Whether the database is to be compressed on the way. */
    presses: z.boolean(),
    /** What an earlier run counted, or an empty one. */
    inventory: z.unknown(),
  }),
  /** A person agreed. What follows is the list of the media that is there already. */
  go: z.object({ type: z.literal("go") }),
  /** The answer to `has`. */
  there: z.object({ type: z.literal("there"), why: z.string().optional() }),
  /** The answer to `inventory`: all that came before it is written for good. */
  kept: z.object({ type: z.literal("kept") }),
  /** All is restored. */
  restored: z.object({ type: z.literal("restored") }),
};

/** What the old host says. */
export const FROM_OLD = {
  hello: z.object({ type: z.literal("hello"), version, program: z.string() }),
  /** What was seen there. */
  looked: z.object({
    type: z.literal("looked"),
    subject: z.string(),
    folder: z.string(),
    engine: z.enum(["postgres", "sqlite"]),
    /** PostgreSQL's server_version_num; 0 for SQLite. */
    serverVersion: z.number(),
    databaseWords: z.string(),
    databaseBytes: z.number(),
    /** The same of the database for state groups, if there is one. */
    state: z.object({ serverVersion: z.number() }).optional(),
    mediaBytes: z.number(),
    mediaFiles: z.number(),
    serves: z.boolean(),
    /** What is about to be done there, a line each. */
    lines: z.array(z.string()),
    findings: z.array(finding),
  }),
  /** A stream follows. */
  artifact: z.object({
    type: z.literal("artifact"),
    /** Its plain name. */
    name: z.string(),
    format: formatSchema,
    label: z.string(),
    total: z.number().optional(),
    pressed: z.boolean(),
  }),
  /** All that was counted so far. Answered when what came before it is written for good. */
  inventory: z.object({ type: z.literal("inventory"), content: z.unknown() }),
  /** Whether an artifact of an earlier run is still there, by the name that the inventory has for it. */
  has: z.object({ type: z.literal("has"), name: z.string() }),
  note: z.object({ type: z.literal("note"), sentence: z.string() }),
  /** Without a label, what it is about goes by its id. */
  remark: z.object({
    ...{ type: z.literal("remark"), id: z.string(), label: z.string().optional(), why: z.string() },
  }),
  /** Since when people have been without their server: ISO 8601. */
  outage: z.object({ type: z.literal("outage"), since: z.string() }),
  done: z.object({
    type: z.literal("done"),
    /** ISO 8601; null for a rehearsal. */
    outageSince: z.string().nullable(),
    findings: z.array(finding),
  }),
};

type Old = typeof FROM_OLD;
type New = typeof FROM_NEW;
export type FromOld = { [Type in keyof Old]: z.infer<Old[Type]> };
export type FromNew = { [Type in keyof New]: z.infer<New[Type]> };
export type AnyFromOld = FromOld[keyof Old];

const anyFromOld = z.discriminatedUnion("type", [
  FROM_OLD.hello,
  FROM_OLD.looked,
  FROM_OLD.artifact,
  FROM_OLD.inventory,
  FROM_OLD.has,
  FROM_OLD.note,
  FROM_OLD.remark,
  FROM_OLD.outage,
  FROM_OLD.done,
]);

/** What the old host says now, whatever it is. Throws `connection-failed` when it is nothing that it may say. */
export const parseFromOld = (message: unknown) => parsed(anyFromOld, message, "the old host");

/** What the new host says now, which must be this. Throws `connection-failed`. */
export const hearFromNew = async <T>(channel: Channel, expected: z.ZodType<T>): Promise<T> =>
  parsed(expected, await channel.hear(), "the new host");

export const parseFromNew = <T>(expected: z.ZodType<T>, message: unknown): T =>
  parsed(expected, message, "the new host");

/** What the old host says now, which must be this. Throws `connection-failed`. */
export const hearFromOld = async <T>(channel: Channel, expected: z.ZodType<T>): Promise<T> =>
  parsed(expected, await channel.hear(), "the old host");

/** Throws `program-too-old` for whoever talks another version. */
export function mustTalkAlike(theirs: number, there: string): void {
  if (theirs === ROAD_VERSION) return;
  throw new MigrationError(
    "program-too-old",
    `synlift ${there} talks version ${theirs} of what two hosts say to each other, this one talks version ${ROAD_VERSION}`,
    { hint: "use the same version of synlift on both hosts" },
  );
}

function parsed<T>(shape: z.ZodType<T>, message: unknown, who: string): T {
  const found = shape.safeParse(message);
  if (found.success) return found.data;
  throw new MigrationError("connection-failed", `${who} said what it may not say here`, {
    hint: "use the same version of synlift on both hosts, and run the same command again",
  });
}
