import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { sourceFactsSchema, targetFactsSchema } from "../../homeserver/database/follow/facts.ts";
import { followIdSchema, ROADS } from "../../homeserver/database/follow/record.ts";
import { stateQuestion } from "../old-server/server-state.ts";

/** Version of the protocol between follow on the new host and `follow-source` on the old one. */
export const FOLLOW_PROTOCOL_VERSION = 2;

const count = z.object({ files: z.number(), bytes: z.number() });

const finding = z.object({
  id: z.string(),
  level: z.enum(["ok", "note", "warning", "blocker"]),
  sentence: z.string(),
  evidence: z.array(z.string()).optional(),
  hint: z.string().optional(),
});

/** The requests of the new host. After each the old host answers, with any number of `note` before. */
const REQUESTS = {
  /** Reads only. */
  facts: z.object({
    type: z.literal("facts"),
    target: targetFactsSchema.optional(),
    /** Whether the media are looked at, too. */
    media: z.boolean().optional(),
  }),
  /** May be repeated with the same id, which gives the role another password. */
  prepare: z.object({
    type: z.literal("prepare"),
    /** Made by the new host. */
    id: followIdSchema,
    road: z.enum(ROADS),
    target: targetFactsSchema,
    /** Consent to restart PostgreSQL once, where wal_level has to change. */
    restart: z.boolean(),
  }),
  /** May be repeated. Does nothing where nothing is recorded. */
  undo: z.object({ type: z.literal("undo") }),
  /**
   * A pass over the media, which only reads them. The list of those that the new host has follows as a stream, made with this key (base64).
   * Answered with `media-found`; after `media-go` with an `artifact`, unless nothing is new, whose stream follows, and `media-sent`.
   */
  media: z.object({ type: z.literal("media"), key: z.string() }),
  "media-go": z.object({ type: z.literal("media-go") }),
};

/** The answers of the old host. */
const ANSWERS = {
  hello: z.object({ type: z.literal("hello"), version: z.number(), program: z.string() }),
  note: z.object({ type: z.literal("note"), sentence: z.string() }),
  facts: z.object({
    type: z.literal("facts"),
    subject: z.string(),
    source: sourceFactsSchema,
    /** Each with the reasons against it; an empty list where it fits. */
    roads: z.object({ standby: z.array(z.string()), logical: z.array(z.string()) }),
    /** What would be changed there, a line each, for the road that fits best. */
    changes: z.array(z.string()),
    /** The same for each kind of replication. */
    changesFor: z.object({ standby: z.array(z.string()), logical: z.array(z.string()) }).optional(),
    /** Of all media, where that was asked. */
    media: count.optional(),
    findings: z.array(finding),
  }),
  prepared: z.object({
    type: z.literal("prepared"),
    subject: z.string(),
    /** Where the tunnel ends: a host, or the folder of a socket, which begins with "/". */
    host: z.string(),
    port: z.number(),
    role: z.string(),
    password: z.string(),
    /** Null where PostgreSQL has no limit for slots (below 13): the log is then kept by wal_keep_segments, without a slot. */
    slot: z.string().nullable(),
    publication: z.string().nullable(),
    database: z.string(),
    stateDatabase: z.string().nullable(),
    masDatabase: z.string().nullable(),
    /** The role as which Synapse logs in, and PostgreSQL's administrator there. */
    synapseRole: z.string(),
    /** The same for the state database; null where there is none. */
    stateRole: z.string().nullable().default(null),
    administrator: z.string(),
    systemIdentifier: z.string(),
    serverVersion: z.number(),
    /** As `uname -m` prints it; null where PostgreSQL runs on another machine than synlift. */
    architecture: z.string().nullable(),
    /** Bytes of the log that the old host keeps for a copy that does not come; then the copy has to be begun again. */
    keeps: z.number(),
    findings: z.array(finding),
  }),
  undone: z.object({
    type: z.literal("undone"),
    /** What a person still has to do on the old host, a line each. */
    leftToDo: z.array(z.string()),
    findings: z.array(finding),
  }),
  "media-found": z.object({
    type: z.literal("media-found"),
    /** All that there is. */
    all: count,
    /** Of it, what the new host does not have; null where that is not known beforehand. */
    toCome: count.nullable(),
    /** What `pull` will refuse to leave behind. */
    findings: z.array(finding),
  }),
  artifact: z.object({ type: z.literal("artifact"), name: z.string() }),
  "media-sent": z.object({
    type: z.literal("media-sent"),
    /** Names below the store of files whose content is not what was read: they are not to stay on the new host. */
    broken: z.array(z.string()),
    /** Ids of uploads whose hash is not the one that their row has; the first of them. */
    changed: z.array(z.string()),
    changedCount: z.number(),
  }),
};

type Requests = typeof REQUESTS;
type Answers = typeof ANSWERS;
export type FollowRequests = { [Type in keyof Requests]: z.infer<Requests[Type]> };
export type FollowAnswers = { [Type in keyof Answers]: z.infer<Answers[Type]> };
export type FollowRequest = z.infer<typeof anyRequest>;
type FollowAnswer = FollowAnswers[keyof FollowAnswers];

const anyRequest = z.discriminatedUnion("type", [
  REQUESTS.facts,
  REQUESTS.prepare,
  REQUESTS.undo,
  REQUESTS.media,
  REQUESTS["media-go"],
  stateQuestion,
]);
const anyAnswer = z.discriminatedUnion("type", [
  ANSWERS.hello,
  ANSWERS.note,
  ANSWERS.facts,
  ANSWERS.prepared,
  ANSWERS.undone,
  ANSWERS["media-found"],
  ANSWERS.artifact,
  ANSWERS["media-sent"],
]);

/** Throws `connection-failed` for anything else. */
export const parseFollowRequest = (message: unknown): FollowRequest =>
  parsed(anyRequest, message, "the new host");

/** Throws `connection-failed` for anything else. */
export const parseFollowAnswer = (message: unknown): FollowAnswer =>
  parsed(anyAnswer, message, "the old host");

function parsed<T>(shape: z.ZodType<T>, message: unknown, who: string): T {
  const found = shape.safeParse(message);
  if (found.success) return found.data;
  throw new MigrationError("connection-failed", `${who} sent an unexpected message`, {
    hint: "use the same version of synlift on both hosts, and run the same command again",
  });
}
