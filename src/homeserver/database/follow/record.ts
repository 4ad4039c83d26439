import { join } from "node:path";
import { z } from "zod";
import { FOLLOW } from "../../../bundle/layout.ts";
import { MigrationError } from "../../../errors.ts";
import { type MadeOn, madeElsewhere, otherMachineError, thisMachine } from "../../../journal/made-on.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";

/** "standby" is physical replication, "logical" is logical replication. */
export const ROADS = ["standby", "logical"] as const;
export type Road = (typeof ROADS)[number];

/** Of a follow: a UUID that the new host makes. */
export const followIdSchema = z.string().regex(/^[0-9a-f-]{32,36}$/);

/** How the rows of a table are told apart in the log (PostgreSQL documentation, ALTER TABLE … REPLICA IDENTITY). */
export const identityChangeSchema = z.object({
  schema: z.string(),
  table: z.string(),
  before: z.object({
    kind: z.enum(["default", "nothing", "full", "index"]),
    /** The name of its index, for "index". */
    index: z.string().nullable(),
  }),
});

/** What is changed. Names are PostgreSQL's own, unquoted. */
const whatSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("setting"),
    name: z.string().regex(/^[a-z_]+$/),
    /** Its value in postgresql.auto.conf; null where that file did not have it. */
    before: z.string().nullable(),
    /** What is written there instead, in the form in which ALTER SYSTEM keeps it. */
    after: z.string(),
    /** Whether it takes effect only with the next start of PostgreSQL. */
    needsRestart: z.boolean(),
  }),
  /** A role that synlift creates; its comment is `markOf`. */
  z.object({ kind: z.literal("role"), name: z.string() }),
  /** What this role may read in a database, below PostgreSQL 14. */
  z.object({ kind: z.literal("grant"), role: z.string(), database: z.string() }),
  z.object({ kind: z.literal("replica-identity"), database: z.string(), ...identityChangeSchema.shape }),
  /** One that synlift creates; its comment is `markOf`. */
  z.object({ kind: z.literal("publication"), name: z.string(), database: z.string() }),
  /** A replication slot. Its name has a random part: there was none of this name when it was recorded. */
  z.object({ kind: z.literal("slot"), name: z.string() }),
]);

const changeSchema = whatSchema.and(
  z.object({
    /** ISO 8601, all three. `intended` is recorded before the change: undoing one that was never made is harmless. */
    intended: z.string(),
    made: z.string().nullable(),
    undone: z.string().nullable(),
  }),
);

const administratorSchema = z.object({
  /** libpq's, without secrets. */
  parameters: z.record(z.string(), z.string()),
  /** The file that has the administrator's password, where one is needed. Absolute. */
  passwordFile: z.string().optional(),
  /** The account of this host that runs PostgreSQL's programs. */
  account: z.string().optional(),
  commandPrefix: z.array(z.string()).optional(),
});

const recordSchema = z.object({
  format: z.literal("synlift-follow-source"),
  version: z.literal(1),
  madeOn: z.object({ id: z.string(), hostname: z.string() }),
  id: followIdSchema,
  subject: z.string(),
  road: z.enum(ROADS),
  /** ISO 8601. */
  begun: z.string(),
  /** How PostgreSQL's administrator connects, for the undo. */
  administrator: administratorSchema,
  changes: z.array(changeSchema),
});

type Content = z.infer<typeof recordSchema>;
export type FollowChange = Content["changes"][number];
export type NewFollowChange = z.infer<typeof whatSchema>;
export type RecordedAdministrator = Content["administrator"];
type Host = Pick<Machine, "now" | "hostId" | "hostname">;

/** The comment on everything that a follow creates: what has another one belongs to somebody else. */
export const markOf = (id: string) => `made by synlift follow ${id}`;

/** The name of a follow's replication slot and publication. */
export const slotNameOf = (id: string) => `synlift_${id.replaceAll("-", "").slice(0, 12)}`;

/** The role with which the new host reads and follows. */
export const FOLLOW_ROLE = "synlift_follow";

/**
 * Every change that follow makes to the old PostgreSQL, with the previous state, recorded before it is made. Replaced
 * atomically; contains no secret.
 */
export class FollowRecord {
  readonly #path: string;
  readonly #files: Files;
  readonly #machine: Host;
  readonly #content: Content;

  private constructor(path: string, files: Files, machine: Host, content: Content) {
    this.#path = path;
    this.#files = files;
    this.#machine = machine;
    this.#content = content;
  }

  /** Undefined when nothing was ever changed. Throws `bundle-damaged` for a record that cannot be read. */
  static async read(folder: string, files: Files, machine: Host): Promise<FollowRecord | undefined> {
    const path = join(folder, FOLLOW);
    if (!(await files.lstat(path))) return undefined;
    try {
      const content = recordSchema.parse(JSON.parse(await files.readText(path)));
      return new FollowRecord(path, files, machine, content);
    } catch (error) {
      if (error instanceof MigrationError) throw error;
      throw new MigrationError(
        "bundle-damaged",
        `${path} cannot be read; it says what was changed in PostgreSQL so that a copy can follow`,
        {
          hint: `undo it manually: SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'synlift%', drop each with pg_drop_replication_slot; DROP ROLE ${FOLLOW_ROLE}; take max_slot_wal_keep_size, wal_keep_segments and wal_level out with ALTER SYSTEM RESET where you did not set them; then remove the file`,
          cause: error,
        },
      );
    }
  }

  /**
   * The record of a folder, or a new one if there is none or everything in it was undone. Written with its first change.
   * Throws `other-machine`, and `bundle-mismatch` where another follow is recorded that was not undone.
   */
  static async open(
    folder: string,
    made: Pick<Content, "id" | "subject" | "road" | "administrator">,
    files: Files,
    machine: Host,
  ): Promise<FollowRecord> {
    const found = await FollowRecord.read(folder, files, machine);
    if (found && found.activeChanges.length > 0) {
      found.assertMadeHere();
      if (found.id !== made.id || found.road !== made.road)
        throw new MigrationError(
          "bundle-mismatch",
          `${folder} has the changes of an earlier follow, begun on ${found.begun}, which were not undone`,
          { hint: "undo them first: synlift follow stop on the new host, or synlift rollback on this one" },
        );
      found.#content.administrator = made.administrator;
      return found;
    }
    return new FollowRecord(join(folder, FOLLOW), files, machine, {
      format: "synlift-follow-source",
      version: 1,
      madeOn: thisMachine(machine),
      ...made,
      begun: new Date(machine.now()).toISOString(),
      changes: [],
    });
  }

  /** The machine whose changes these are, where that is another one than this: then nothing in it may be acted on. */
  get madeElsewhere(): MadeOn | undefined {
    return madeElsewhere(this.#content.madeOn, this.#machine);
  }

  /** Throws `other-machine`. */
  assertMadeHere(): void {
    const elsewhere = this.madeElsewhere;
    if (elsewhere) throw otherMachineError(this.#path, elsewhere, this.#machine);
  }

  get id(): string {
    return this.#content.id;
  }

  get subject(): string {
    return this.#content.subject;
  }

  get road(): Road {
    return this.#content.road;
  }

  get begun(): string {
    return this.#content.begun;
  }

  get administrator(): RecordedAdministrator {
    return this.#content.administrator;
  }

  /** The changes that are not undone, in the order in which they were made. */
  get activeChanges(): readonly FollowChange[] {
    return this.#content.changes.filter(({ undone }) => undone === null);
  }

  /** When the last change was undone, ISO 8601; undefined while one is in effect, and when there were none. */
  get undoneAt(): string | undefined {
    if (this.activeChanges.length > 0) return undefined;
    return this.#content.changes
      .flatMap(({ undone }) => undone ?? [])
      .toSorted()
      .at(-1);
  }

  /** The active change of the same thing. */
  find(what: NewFollowChange): FollowChange | undefined {
    return this.activeChanges.find((change) => keyOf(change) === keyOf(what));
  }

  /**
   * Records a change, makes it, and records that it was made. One that is already recorded is made again as it is recorded:
   * `act` gets that. Throws what `act` throws.
   */
  async apply(what: NewFollowChange, act: (change: FollowChange) => Promise<unknown>): Promise<void> {
    const change = await this.intend(what);
    await act(change);
    change.made = this.#now();
    await this.#save();
  }

  /** Records a change that another host or program will make, such as the slot of pg_basebackup. */
  async intend(what: NewFollowChange): Promise<FollowChange> {
    const known = this.find(what);
    const change = known ?? { ...what, intended: this.#now(), made: null, undone: null };
    if (!known) this.#content.changes.push(change);
    await this.#save();
    return change;
  }

  /** Records that a change was undone. */
  async undone(change: FollowChange): Promise<void> {
    change.undone = this.#now();
    await this.#save();
  }

  #now(): string {
    return new Date(this.#machine.now()).toISOString();
  }

  async #save(): Promise<void> {
    await this.#files.writeAtomically(this.#path, `${JSON.stringify(this.#content, null, 2)}\n`);
  }
}

/** Identifies what is changed, whatever it was before. */
function keyOf(what: NewFollowChange): string {
  switch (what.kind) {
    case "setting":
    case "role":
    case "slot":
      return JSON.stringify([what.kind, what.name]);
    case "grant":
      return JSON.stringify([what.kind, what.database, what.role]);
    case "publication":
      return JSON.stringify([what.kind, what.database, what.name]);
    case "replica-identity":
      return JSON.stringify([what.kind, what.database, what.schema, what.table]);
  }
}
