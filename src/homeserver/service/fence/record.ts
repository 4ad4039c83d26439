import { join } from "node:path";
import { z } from "zod";
import { FENCE } from "../../../bundle/layout.ts";
import { MigrationError } from "../../../errors.ts";
import { type MadeOn, madeElsewhere, otherMachineError, thisMachine } from "../../../journal/made-on.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";
import { isDropIn } from "../../../system/systemd/systemctl.ts";
import { type Supervisor, supervisorSchema } from "../supervisor.ts";
import { isWebServerBefore } from "./web-server-before.ts";

const changeSchema = z
  .object({
    kind: z.enum([
      /** A unit was enabled; `before` is how: "enabled" or "enabled-runtime". */
      "unit-enabled",
      "unit-running",
      /** A unit could be started, and is masked now. */
      "unit-masked",
      /** The same with a drop-in that synlift writes, for a unit that cannot be masked; `before` is its path. */
      "unit-held",
      /** `before` is the policy, as `update --restart` takes it. */
      "restart-policy",
      "container-running",
      /** The server was running, and is started by synctl, a command or a person. */
      "running",
      /** The database's default for its role; `before` is the role's own, null where it had none. */
      "role-writes",
      /** `before` is the mode, octal. */
      "file-writes",
      /** A file that a web server reads, which answers for the server meanwhile; `before` is JSON (web-server-before.ts). */
      "web-server",
    ]),
    /** The unit, container, role or file. */
    name: z.string(),
    before: z.string().nullable(),
    /** ISO 8601, all three. `intended` is recorded before the change: undoing one that was never made is harmless. */
    intended: z.string(),
    made: z.string().nullable(),
    undone: z.string().nullable(),
  })
  .refine(({ kind, before }) => kind !== "file-writes" || /^[0-7]{1,6}$/.test(before ?? ""), {
    error: "a file's mode is octal",
  })
  .refine(({ kind, before }) => kind !== "web-server" || isWebServerBefore(before), {
    error: "a web server's file as it was, with its commands",
  })
  .refine(({ kind, before }) => kind !== "unit-held" || isDropIn(before ?? ""), {
    error: "not the path of a drop-in that synlift writes",
  });

const recordSchema = z.object({
  format: z.literal("synlift-fence"),
  version: z.literal(1),
  /** Missing in a record of an earlier version. */
  madeOn: z.object({ id: z.string(), hostname: z.string() }).optional(),
  subject: z.string(),
  /** How to read the configuration again. */
  source: z.object({
    configPaths: z.array(z.string()),
    workingFolder: z.string(),
    map: z.array(z.object({ inside: z.string(), outside: z.string() })),
    keysFolder: z.string().optional(),
    databaseCommand: z.array(z.string()).optional(),
    databaseServer: z.record(z.string(), z.string()).optional(),
    masConfig: z.array(z.string()).optional(),
  }),
  supervisor: supervisorSchema,
  changes: z.array(changeSchema),
  /** The state of the database once the fence was complete; null before. */
  marker: z.string().nullable(),
});

type Content = z.infer<typeof recordSchema>;
export type Change = Content["changes"][number];
type Host = Pick<Machine, "now" | "hostId" | "hostname">;
export type NewChange = Pick<Change, "kind" | "name" | "before">;

/** Every change to the old host, and which host that is, with the previous state. Replaced atomically; contains no secret. */
export class FenceRecord {
  readonly #path: string;
  readonly #files: Files;
  readonly #machine: Host;
  #content: Content;

  private constructor(path: string, files: Files, machine: Host, content: Content) {
    this.#path = path;
    this.#files = files;
    this.#machine = machine;
    this.#content = content;
  }

  /** Undefined when nothing was ever changed. Throws `bundle-damaged` for a record that cannot be read. */
  static async read(folder: string, files: Files, machine: Host): Promise<FenceRecord | undefined> {
    const path = join(folder, FENCE);
    if (!(await files.lstat(path))) return undefined;
    try {
      return new FenceRecord(
        path,
        files,
        machine,
        recordSchema.parse(JSON.parse(await files.readText(path))),
      );
    } catch (error) {
      if (error instanceof MigrationError) throw error;
      throw new MigrationError("bundle-damaged", `${path} cannot be read; it is needed to undo the fence`, {
        hint: "undo it manually (docs/runbook.md, Roll back), then remove the file",
        cause: error,
      });
    }
  }

  /** The record of a folder, or a new one if there is none or everything in it was undone. Written with its first change.
   * Throws `other-machine` where another one's changes are recorded. */
  static async open(
    folder: string,
    made: Pick<Content, "subject" | "source" | "supervisor">,
    files: Files,
    machine: Host,
  ): Promise<FenceRecord> {
    const found = await FenceRecord.read(folder, files, machine);
    if (found && found.activeChanges.length > 0) {
      found.assertMadeHere();
      // As long as it was not used, another supervisor may be found.
      if (!found.activeChanges.some(isOfHost)) found.#content.supervisor = withoutStop(made.supervisor);
      return found;
    }
    const content: Content = {
      format: "synlift-fence",
      version: 1,
      madeOn: thisMachine(machine),
      ...made,
      supervisor: withoutStop(made.supervisor),
      changes: [],
      marker: null,
    };
    return new FenceRecord(join(folder, FENCE), files, machine, content);
  }

  /** The machine whose changes these are, where that is another one than this: then nothing in it may be acted on. */
  get madeElsewhere(): MadeOn | undefined {
    return madeElsewhere(this.#content.madeOn, this.#machine);
  }

  /** Whether it does not say which machine that is, as earlier versions did not: then a person has to know. */
  get isMachineUnknown(): boolean {
    return this.#content.madeOn === undefined;
  }

  /** Throws `other-machine`. */
  assertMadeHere(): void {
    const elsewhere = this.madeElsewhere;
    if (elsewhere) throw otherMachineError(this.#path, elsewhere, this.#machine);
  }

  get subject(): string {
    return this.#content.subject;
  }

  get source(): Content["source"] {
    return this.#content.source;
  }

  get supervisor(): Supervisor {
    return this.#content.supervisor;
  }

  get marker(): string | null {
    return this.#content.marker;
  }

  /** The changes that are not undone, in the order in which they were made. */
  get activeChanges(): readonly Change[] {
    return this.#content.changes.filter(({ undone }) => undone === null);
  }

  /** Whether a change prevents the server from running; false when it is only stopped, or changes are only intended. */
  get preventsStart(): boolean {
    return this.activeChanges.some(({ kind, made }) => made !== null && PREVENTING_START.has(kind));
  }

  /** When the last change was undone, ISO 8601; undefined while one is in effect, and when there were none. */
  get rolledBackAt(): string | undefined {
    return this.activeChanges.length > 0 ? undefined : lastUndone(this.#content.changes);
  }

  /** When synlift started the server again, ISO 8601; undefined when it did not. */
  get restartedAt(): string | undefined {
    const { supervisor, changes } = this.#content;
    const isCommandless =
      supervisor.kind === "person" || (supervisor.kind === "commands" && supervisor.start === null);
    const isStart = ({ kind }: Change) =>
      kind === "unit-running" || kind === "container-running" || (kind === "running" && !isCommandless);
    return lastUndone(changes.filter((change) => change.made !== null && isStart(change)));
  }

  find(kind: Change["kind"], name: string): Change | undefined {
    return this.activeChanges.find((change) => change.kind === kind && change.name === name);
  }

  /**
   * Records a change, makes it, and records that it was made. One that is already recorded is made again, and keeps its
   * `before`. Throws what `act` throws.
   */
  async apply({ kind, name, before }: NewChange, act: () => Promise<unknown>): Promise<void> {
    const change = this.find(kind, name) ?? {
      kind,
      name,
      before,
      intended: this.#now(),
      made: null,
      undone: null,
    };
    if (!this.#content.changes.includes(change)) this.#content.changes.push(change);
    await this.#save();
    await act();
    change.made = this.#now();
    await this.#save();
  }

  /** Records that a change was undone. */
  async undone(change: Change): Promise<void> {
    change.undone = this.#now();
    await this.#save();
  }

  async setMarker(marker: string): Promise<void> {
    if (this.#content.marker === marker) return;
    this.#content.marker = marker;
    await this.#save();
  }

  #now(): string {
    return new Date(this.#machine.now()).toISOString();
  }

  async #save(): Promise<void> {
    await this.#files.writeAtomically(this.#path, `${JSON.stringify(this.#content, null, 2)}\n`);
  }
}

const PREVENTING_START: ReadonlySet<Change["kind"]> = new Set([
  "unit-masked",
  "unit-held",
  "container-running",
  "role-writes",
  "file-writes",
]);

const lastUndone = (changes: readonly Change[]) =>
  changes
    .flatMap(({ undone }) => undone ?? [])
    .toSorted()
    .at(-1);

const isOfHost = ({ kind }: Change) => !["role-writes", "file-writes", "web-server"].includes(kind);

function withoutStop(supervisor: Supervisor): Supervisor {
  return supervisor.kind === "commands" ? { kind: "commands", start: supervisor.start } : supervisor;
}
