import { MigrationError, reasonOf } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import { type PostgresSession, quoteLiteral } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { connectRecorded } from "./administrator.ts";
import type { FollowChange, FollowRecord } from "./record.ts";
import { Reconnecting, resetIdentityIn } from "./logical/identities.ts";
import { dropPublication } from "./logical/publication.ts";
import { dropSlot } from "./logical/slot.ts";
import { closeRole, dropFollowRole, revokeReading } from "./role.ts";
import { reload, restoreSetting } from "./settings.ts";

export interface FollowUndone {
  /** What a person still has to do, a line each; empty when everything is as it was. */
  readonly leftToDo: readonly string[];
  readonly findings: readonly Finding[];
}

type World = Pick<System, "postgres" | "machine" | "files" | "signal">;

/** A change in words, as it is undone. */
function describeFollowUndo(change: FollowChange): string {
  switch (change.kind) {
    case "setting":
      return change.before === null
        ? `${change.name} is taken out of postgresql.auto.conf`
        : `${change.name} is ${change.before} again in postgresql.auto.conf`;
    case "role":
      return `the role ${change.name} is dropped`;
    case "grant":
      return `${change.role} may not read the database ${change.database} any more`;
    case "replica-identity":
      return `the table ${change.schema}.${change.table} has its former replica identity`;
    case "publication":
      return `the publication ${change.name} is dropped`;
    case "slot":
      return `the replication slot ${change.name} is dropped`;
  }
}

/** The same for several, in this order: tables, of which there are more than a hundred, in one line for each database. */
export function describeFollowUndos(changes: readonly FollowChange[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < changes.length; at += 1) {
    const change = changes[at]!;
    const next = changes.findIndex((other, place) => place > at && !isSameKind(change, other));
    const count = (next === -1 ? changes.length : next) - at;
    if (change.kind === "replica-identity" && count > 1) {
      lines.push(`${count} tables of the database ${change.database} have their former replica identity`);
      at += count - 1;
    } else lines.push(describeFollowUndo(change));
  }
  return lines;
}

const isSameKind = (one: FollowChange, other: FollowChange) =>
  one.kind === "replica-identity" && other.kind === one.kind && other.database === one.database;

/**
 * Undoes every change that follow made to the old PostgreSQL, the latest first. One that cannot be undone does not prevent the
 * others, but for those that would do harm then: the limit of a slot stays as long as the slot. What somebody else has changed
 * since stays as it is. May be repeated after an interruption. `written` stores that a change was undone. Throws
 * `other-machine`, and `database-unreachable` when PostgreSQL cannot be reached.
 */
export async function undoFollow(
  record: FollowRecord,
  system: World,
  progress: Pick<Progress, "note">,
  written: (change: FollowChange) => Promise<unknown> = (change) => record.undone(change),
): Promise<FollowUndone> {
  record.assertMadeHere();
  const changes = record.activeChanges.toReversed();
  if (changes.length === 0) return { leftToDo: [], findings: [] };
  const session = new Sessions(record, system);
  try {
    return await undoAll(record, changes, { session, system, progress, written });
  } finally {
    await session.close();
  }
}

interface Undoing {
  readonly session: Sessions;
  readonly system: World;
  readonly progress: Pick<Progress, "note">;
  readonly written: (change: FollowChange) => Promise<unknown>;
}

async function undoAll(
  record: FollowRecord,
  changes: readonly FollowChange[],
  { session, system, progress, written }: Undoing,
): Promise<FollowUndone> {
  // Otherwise what follows connects again, and could make its slot anew.
  for (const change of changes) if (change.kind === "role") await close(change.name, record, session, system);
  const leftToDo: string[] = [];
  const failed: { change: FollowChange; cause: MigrationError }[] = [];
  let settings = 0;
  const untold: FollowChange[] = [];
  const tell = () => {
    for (const line of describeFollowUndos(untold.splice(0))) progress.note(line);
  };
  for (const change of changes) {
    system.signal.throwIfAborted();
    if (change.kind !== "replica-identity") tell();
    const kept = failed.find((one) => mustStay(change, one.change));
    if (kept) {
      leftToDo.push(`then run the same command again: ${describeFollowUndo(change)}`);
      continue;
    }
    try {
      const left = await undoOne(change, record, { session, system, progress });
      if (change.kind === "setting") settings += 1;
      await written(change);
      if (left === undefined) untold.push(change);
      else leftToDo.push(left);
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code === "disk-full") throw error;
      await session.forget();
      failed.push({ change, cause: error });
      leftToDo.push(
        `${describeFollowUndo(change)}: ${error.message}${error.hint === undefined ? "" : `; ${error.hint}`}`,
      );
    }
  }
  tell();
  if (settings > 0) await reload(await session.main());
  return { leftToDo, findings: findingsOf(changes, failed.length > 0) };
}

/** What does not end now, ends with its slot. */
async function close(
  role: string,
  record: FollowRecord,
  session: Sessions,
  { machine }: World,
): Promise<void> {
  const main = await session.main();
  try {
    await closeRole(main, role, record.id, machine);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    await session.forget();
  }
}

/** What must not be undone while something else is still there. */
function mustStay(change: FollowChange, failed: FollowChange): boolean {
  // Without its limit, the slot could fill the disk; without wal_level = logical, PostgreSQL would not start with it.
  if (failed.kind === "slot") return change.kind === "setting";
  // A published table without an identity refuses UPDATE and DELETE.
  if (failed.kind === "publication") return change.kind === "replica-identity";
  return failed.kind === "grant" && change.kind === "role";
}

/** Throws what keeps it from being undone; returns what a person has to know where it was not. */
async function undoOne(
  change: FollowChange,
  record: FollowRecord,
  { session, system, progress }: Pick<Undoing, "session" | "system" | "progress">,
): Promise<string | undefined> {
  switch (change.kind) {
    case "slot":
      await dropSlot(await session.main(), change.name, system.machine);
      return undefined;
    case "role":
      await dropFollowRole(await session.main(), change.name, record.id);
      return undefined;
    case "grant": {
      const inside = await session.of(change.database);
      if (inside) await revokeReading(inside, change.role, record.id);
      return undefined;
    }
    case "setting":
      return undoSetting(change, await session.main());
    case "publication": {
      const inside = await session.of(change.database);
      if (inside) await dropPublication(inside, change.name);
      return undefined;
    }
    case "replica-identity":
      if (await session.of(change.database)) {
        const { machine, signal } = system;
        await resetIdentityIn(session.writing(change.database), change, { machine, progress, signal });
      }
      return undefined;
  }
}

async function undoSetting(
  change: Extract<FollowChange, { kind: "setting" }>,
  session: PostgresSession,
): Promise<string | undefined> {
  if (change.name === "wal_level") {
    const others = await session.all<{ name: string }>(
      "SELECT slot_name::text AS name FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY 1",
    );
    if (others.length > 0)
      return `wal_level stays logical, as other replication slots need it: ${others.map(({ name }) => name).join(", ")}. Without it PostgreSQL would not start`;
  }
  if (await restoreSetting(session, change)) return undefined;
  return `${change.name} stays as it is: somebody has changed it in postgresql.auto.conf since (it was ${change.before ?? "not there"} before)`;
}

function findingsOf(changes: readonly FollowChange[], isIncomplete: boolean): Finding[] {
  const restart = changes.find((change) => change.kind === "setting" && change.name === "wal_level");
  if (!restart || isIncomplete) return [];
  return [
    {
      id: "wal-level-kept",
      level: "note",
      sentence: "PostgreSQL uses wal_level = logical until its next restart, which is harmless",
    },
  ];
}

/** One session in the homeserver's database, and one in each other; opened when it is needed, and again after a refused statement. */
class Sessions {
  readonly #record: FollowRecord;
  readonly #system: World;
  readonly #open = new Map<string, PostgresSession>();
  readonly #writing = new Map<string, Reconnecting>();

  constructor(record: FollowRecord, system: World) {
    this.#record = record;
    this.#system = system;
  }

  async main(): Promise<PostgresSession> {
    try {
      return await this.#opened("", undefined);
    } catch (error) {
      // The old database may have been dropped since, and roles and slots are of the whole server.
      if (reasonOf(error, "no-connection")?.database !== "missing") throw error;
      return this.#opened("", "postgres");
    }
  }

  /** Undefined where there is no such database any more. */
  async of(database: string): Promise<PostgresSession | undefined> {
    const { exists } = await (
      await this.main()
    ).one<{ exists: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_database WHERE datname = ${quoteLiteral(database)}) AS exists`,
    );
    return exists ? this.#opened(database, database) : undefined;
  }

  /** For statements that may be refused and tried again. */
  writing(database: string): Reconnecting {
    const known = this.#writing.get(database);
    if (known) return known;
    const made = new Reconnecting(() => connectRecorded(this.#record.administrator, database, this.#system));
    this.#writing.set(database, made);
    return made;
  }

  async #opened(key: string, database: string | undefined): Promise<PostgresSession> {
    const known = this.#open.get(key);
    if (known) return known;
    const session = await connectRecorded(this.#record.administrator, database, this.#system);
    this.#open.set(key, session);
    return session;
  }

  /** After an error, a session is closed. */
  async forget(): Promise<void> {
    await this.close();
    this.#open.clear();
  }

  async close(): Promise<void> {
    for (const session of [...this.#open.values(), ...this.#writing.values()]) await session.close();
  }
}
