import { join } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { madeElsewhere, otherMachineError, thisMachine } from "../../journal/made-on.ts";
import type { Files } from "../../system/files/files.ts";
import type { Machine } from "../../system/machine.ts";
import type { OldHost } from "../connect.ts";
import { recordFolder } from "../restore/record.ts";

/** PostgreSQL writes a position in its log as two hexadecimal numbers. */
const position = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/i);

/** A server on this host that is a physical standby of the old one. */
const standbySchema = z.object({
  kind: z.literal("standby"),
  /** Its data folder. */
  data: z.string(),
  /** The folder with PostgreSQL's programs of its version. */
  programs: z.string(),
  port: z.number(),
  socketFolder: z.string(),
  /** The account of this host that owns it. */
  account: z.string(),
  /** The superuser, as whom that account logs in over the socket. */
  administrator: z.string(),
  /** Debian's name for it, MAJOR/NAME; null for a data folder alone. */
  cluster: z.object({ major: z.number(), name: z.string() }).nullable(),
});

/** A database of this host that subscribes to the old one. */
const logicalSchema = z.object({
  kind: z.literal("logical"),
  /** libpq's connection keywords, without a password. */
  target: z.record(z.string(), z.string()),
  /** Of its role. */
  passwordFile: z.string(),
  /** A superuser there. */
  administrator: z.object({
    parameters: z.record(z.string(), z.string()),
    passwordFile: z.string().optional(),
  }),
  subscription: z.string(),
  /** The mark of a copy that is being made, or was broken off; see `markHalfFilled`. */
  mark: z.string().nullable(),
  /** All rows were copied and compared, as they were at this position of the old server's log. */
  copied: z.object({ at: z.string(), position }).nullable(),
});

const stateSchema = z.object({
  format: z.literal("synlift-follow"),
  version: z.literal(1),
  id: z.string(),
  madeOn: z.object({ id: z.string(), hostname: z.string() }),
  road: z.enum(["standby", "logical"]),
  serverName: z.string(),
  /** ISO 8601. */
  begun: z.string(),
  old: z.object({
    /** ssh://[user@]host[:port] */
    address: z.string(),
    sshConfig: z.string().optional(),
    /** The command that starts synlift there, without its folder. */
    senderCommand: z.string(),
    /** The folder there with its record, as it was given. */
    folder: z.string(),
    /** Where PostgreSQL answers, as the old host itself reaches it: a name and a port, or the folder of its socket. */
    postgres: z.object({ host: z.string(), port: z.number() }),
    database: z.string(),
    stateDatabase: z.string().optional(),
    masDatabase: z.string().optional(),
    /** Synapse's own role, which has to be able to log in here after the cut-over. */
    synapseRole: z.string().optional(),
    /** The same for the state database, where there is one. */
    stateRole: z.string().optional(),
    /** The role of synlift; its password is in the password file. */
    role: z.string(),
    /** Null where that PostgreSQL cannot limit what a slot holds back. */
    slot: z.string().nullable(),
    publication: z.string().optional(),
    systemIdentifier: z.string(),
    serverVersion: z.number(),
  }),
  tunnel: z.object({ folder: z.string() }),
  here: z.discriminatedUnion("kind", [standbySchema, logicalSchema]),
  stage: z.enum(["preparing", "copying", "following", "fenced", "detached", "done", "lost"]),
  /** What was made for it on the old host is undone there: since when, ISO 8601, where that is known. */
  endedThere: z.object({ at: z.string().nullable() }).optional(),
  /** The full comparison before the cut-over. `file` lies beside this one. */
  compared: z.object({ at: z.string(), position, file: z.string() }).nullable(),
});

/** What follows the old database on this host. Contains no secret. */
export type FollowState = z.infer<typeof stateSchema>;

const FOLLOW_STATE = "follow.json";
const statePath = (configDir: string) => join(recordFolder(configDir), FOLLOW_STATE);

/** The password of synlift's role on the old server, in the form of libpq's password file. */
export const passwordFilePath = (configDir: string) => join(recordFolder(configDir), "follow.passfile");

/** What a cut-over has found, beside the state. */
export const CUT_FILE = "follow-cut.json";

/** Held while a process follows, or cuts over. */
export const lockPath = (configDir: string) => join(recordFolder(configDir), "follow.lock");

/**
 * Undefined where nothing follows. Throws `bundle-damaged` for a file that cannot be read, and `other-machine` for one that
 * another machine made.
 */
export async function readFollowState(
  configDir: string,
  { files, machine }: { readonly files: Files; readonly machine: Machine },
): Promise<FollowState | undefined> {
  const path = statePath(configDir);
  if (!(await files.lstat(path))) return undefined;
  const state = parsed(await files.readText(path), path);
  const elsewhere = madeElsewhere(state.madeOn, machine);
  if (elsewhere) throw otherMachineError(path, elsewhere, machine);
  return state;
}

function parsed(text: string, path: string): FollowState {
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new MigrationError(
      "bundle-damaged",
      `${path} cannot be read; it says what follows the old database`,
      {
        hint: "on the old host, synlift rollback takes away what was made there; then remove the copy here, and this file",
        cause: error,
      },
    );
  }
}

/** Replaces the state atomically. */
export async function writeFollowState(configDir: string, state: FollowState, files: Files): Promise<void> {
  await files.makeFolder(recordFolder(configDir));
  await files.writeAtomically(statePath(configDir), `${JSON.stringify(stateSchema.parse(state), null, 2)}\n`);
}

/** The first state of a copy that is begun on this machine. */
export const newFollowState = (
  made: Pick<FollowState, "road" | "serverName" | "old" | "tunnel" | "here">,
  machine: Machine,
): FollowState => ({
  format: "synlift-follow",
  version: 1,
  id: machine.uuid(),
  madeOn: thisMachine(machine),
  begun: new Date(machine.now()).toISOString(),
  stage: "preparing",
  compared: null,
  ...made,
});

/** Forgets the state, its password and its comparison. Does nothing where there is none. */
export async function removeFollowState(
  configDir: string,
  state: FollowState | undefined,
  files: Files,
): Promise<void> {
  if (state?.compared) await files.remove(join(recordFolder(configDir), state.compared.file));
  await files.remove(join(recordFolder(configDir), CUT_FILE));
  await files.remove(passwordFilePath(configDir));
  // Last: as long as it is there, the same command can be run again.
  await files.remove(statePath(configDir));
}

/** How the old host was given to `follow`. */
export const oldHostOf = ({ old }: FollowState): OldHost => ({
  address: old.address,
  sshConfig: old.sshConfig,
  senderCommand: old.senderCommand,
  folder: old.folder,
});

/** Throws `bad-usage` for a copy by logical replication. */
export function standbyOf(state: FollowState): Extract<FollowState["here"], { kind: "standby" }> {
  if (state.here.kind === "standby") return state.here;
  throw new MigrationError("bad-usage", "this copy follows by logical replication, and has no standby");
}
