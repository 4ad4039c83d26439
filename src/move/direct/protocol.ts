import { z } from "zod";
import { formatSchema } from "../../bundle/manifest.ts";
import { MigrationError } from "../../errors.ts";
import type { Channel } from "../../pipeline/channel.ts";
import { stateQuestion } from "../old-server/server-state.ts";

/** Version of the protocol; increased with each incompatible change. 2: a database that follows is not sent. */
export const PROTOCOL_VERSION = 2;

const version = z.number();
const finding = z.object({
  id: z.string(),
  level: z.enum(["ok", "note", "warning", "blocker"]),
  sentence: z.string(),
  evidence: z.array(z.string()).optional(),
  hint: z.string().optional(),
});

/** The messages of the new host, in this order. */
export const NEW_HOST_MESSAGES = {
  begin: z.object({
    type: z.literal("begin"),
    version,
    rehearsal: z.boolean(),
    /** Nothing is written or stopped, and only the configuration is sent. */
    dryRun: z.boolean(),
    /** Whether the database is compressed for the transfer. */
    compress: z.boolean(),
    /** The database is not sent: a copy on the new host follows it. */
    followed: z.boolean(),
    /** The inventory of an earlier run, or an empty one. */
    inventory: z.unknown(),
  }),
  /** Consent was given. The list of the media that the new host already has follows. */
  go: z.object({ type: z.literal("go") }),
  /** The answer to `has`. */
  there: z.object({ type: z.literal("there"), why: z.string().optional() }),
  /** The answer to `inventory`: everything received before it is on disk. */
  kept: z.object({ type: z.literal("kept") }),
  /** Everything is restored. */
  restored: z.object({ type: z.literal("restored") }),
};

/** What the new host says first: a transfer begins, or it only asks. */
export const FIRST_MESSAGE = z.discriminatedUnion("type", [NEW_HOST_MESSAGES.begin, stateQuestion]);

/** The messages of the old host. */
const OLD_HOST_MESSAGES = {
  hello: z.object({ type: z.literal("hello"), version, program: z.string() }),
  /** What was found on the old host. */
  source: z.object({
    type: z.literal("source"),
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
    /** What will be done there, in words, a line each. */
    lines: z.array(z.string()),
    findings: z.array(finding),
  }),
  /** Instead of a database that is not sent: its server is stopped, and what the fence has set is in the log by now. */
  fenced: z.object({
    type: z.literal("fenced"),
    /** The roles whose sessions are read-only, with their own default from before. */
    roles: z.array(z.object({ role: z.string(), database: z.string(), before: z.string().nullable() })),
  }),
  /** A stream follows. */
  artifact: z.object({
    type: z.literal("artifact"),
    /** Its plain name. */
    name: z.string(),
    format: formatSchema,
    label: z.string(),
    total: z.number().optional(),
    compressed: z.boolean(),
  }),
  /** The inventory so far. Answered once everything sent before it is on disk. */
  inventory: z.object({ type: z.literal("inventory"), content: z.unknown() }),
  /** Asks whether an artifact of an earlier run still exists, by its name in the inventory. */
  has: z.object({ type: z.literal("has"), name: z.string() }),
  note: z.object({ type: z.literal("note"), sentence: z.string() }),
  /** Without a label, the id is shown. */
  remark: z.object({
    type: z.literal("remark"),
    id: z.string(),
    label: z.string().optional(),
    why: z.string(),
  }),
  /** Start of the outage: ISO 8601. */
  outage: z.object({ type: z.literal("outage"), since: z.string() }),
  done: z.object({
    type: z.literal("done"),
    /** ISO 8601; null for a rehearsal. */
    outageSince: z.string().nullable(),
    findings: z.array(finding),
  }),
};

type Old = typeof OLD_HOST_MESSAGES;
type New = typeof NEW_HOST_MESSAGES;
export type OldHostMessages = { [Type in keyof Old]: z.infer<Old[Type]> };
export type NewHostMessages = { [Type in keyof New]: z.infer<New[Type]> };
export type OldHostMessage = OldHostMessages[keyof Old];

const anyFromOld = z.discriminatedUnion("type", [
  OLD_HOST_MESSAGES.hello,
  OLD_HOST_MESSAGES.source,
  OLD_HOST_MESSAGES.fenced,
  OLD_HOST_MESSAGES.artifact,
  OLD_HOST_MESSAGES.inventory,
  OLD_HOST_MESSAGES.has,
  OLD_HOST_MESSAGES.note,
  OLD_HOST_MESSAGES.remark,
  OLD_HOST_MESSAGES.outage,
  OLD_HOST_MESSAGES.done,
]);

/** Parses any message of the old host. Throws `connection-failed` for anything else. */
export const parseFromOld = (message: unknown) => parsed(anyFromOld, message, "the old host");

/** Receives the expected message of the new host. Throws `connection-failed` for any other. */
export const readFromNewHost = async <T>(channel: Channel, expected: z.ZodType<T>): Promise<T> =>
  parsed(expected, await channel.receiveMessage(), "the new host");

export const parseFromNew = <T>(expected: z.ZodType<T>, message: unknown): T =>
  parsed(expected, message, "the new host");

/** Throws `program-too-old` when the other host uses another protocol version. */
export function assertSameProtocol(theirs: number, there: string): void {
  if (theirs === PROTOCOL_VERSION) return;
  throw new MigrationError(
    "program-too-old",
    `synlift ${there} uses version ${theirs} of the direct transfer protocol, and this one uses version ${PROTOCOL_VERSION}`,
    { hint: "use the same version of synlift on both hosts" },
  );
}

function parsed<T>(shape: z.ZodType<T>, message: unknown, who: string): T {
  const found = shape.safeParse(message);
  if (found.success) return found.data;
  throw new MigrationError("connection-failed", `${who} sent an unexpected message`, {
    hint: "use the same version of synlift on both hosts, and run the same command again",
  });
}
