import { MigrationError } from "../errors.ts";
import type { Progress } from "../system/progress.ts";
import type { PostgresAddress } from "../system/postgres.ts";
import type { System } from "../system/system.ts";
import { connect, databaseAddress, stateAddress } from "./database/address.ts";
import { reopenFile, reopenRole, roleNamed } from "./database/fence.ts";
import type { Store } from "./database/store.ts";
import type { Homeserver } from "./homeserver.ts";
import type { Change, FenceRecord } from "./service/fence-record.ts";
import { waitUntilUp } from "./service/start.ts";
import { signsOfLife, urlsOf } from "./service/inspect.ts";
import { starts, undoOnHost, undoWords } from "./service/undo.ts";
import { stillClosed } from "./still-closed.ts";

export interface PutBack {
  readonly record: FenceRecord;
  readonly homeserver: Homeserver;
  /** What starts it, instead of what is written down. */
  readonly startCommand?: string | undefined;
  /** Where to ask the started server; else its first plain listener. */
  readonly url?: string | undefined;
}

/** Milliseconds that a server gets to come up. */
const PATIENCE = 120_000;

/** What undoing the fence does, in order: the last made is undone first, and the start comes last. */
export function undos({ standing }: Pick<FenceRecord, "standing">): Change[] {
  const reversed = standing.toReversed();
  return [...reversed.filter((change) => !starts(change)), ...reversed.filter(starts)];
}

export interface WentBack {
  /** What a person has to do still, a line each. */
  readonly left: readonly string[];
  /** The database cannot be written to, for which this record knows no way back: so the server was not started. */
  readonly closed: boolean;
  /** Whether it was started, or runs already. */
  readonly started: boolean;
}

/**
 * Undoes every change that was made to the old host, and starts the server again if it was stopped by us. May be called
 * again after a break. Throws `fence-failed` for a change that cannot be undone, `start-failed` when the server does not
 * come up.
 */
export async function putBack(from: PutBack, system: System, progress: Progress): Promise<WentBack> {
  const { record, homeserver, startCommand } = from;
  const list = undos(record);
  const left: string[] = [];
  for (const change of list.filter((one) => !starts(one))) await takeBack(change, from, system, progress);
  const closed = await stillClosed(homeserver, record, system);
  left.push(...closed);
  let started = false;
  for (const change of list.filter(starts)) {
    const words = undoWords(change, record.keeper, startCommand);
    // It would serve nobody.
    if (closed.length > 0) left.push(`then the same rollback once more: ${words}`);
    else if (await takeBack(change, from, system, progress)) started = true;
    else left.push(words);
  }
  if (startCommand !== undefined && !started && left.length === 0) {
    await undoOnHost(START, record.keeper, startCommand, system);
    started = true;
  }
  const url = from.url ?? homeserver.listeners.flatMap(urlsOf)[0];
  if (started && url !== undefined) await waitUntilUp(url, PATIENCE, system);
  return { left, closed: closed.length > 0, started };
}

/** Answers false where only a person can. */
async function takeBack(change: Change, from: PutBack, system: System, progress: Progress): Promise<boolean> {
  const { record, startCommand } = from;
  const words = undoWords(change, record.keeper, startCommand);
  const isStart = starts(change);
  try {
    const runs = change.kind === "running" && change.made === null && (await answers(from, system));
    const done = runs || (await undoOne(change, from, system));
    await record.undone(change);
    if (done) progress.note(runs ? `${record.subject} was not stopped: it answers` : words);
    return done;
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError(
      isStart ? "start-failed" : "fence-failed",
      `this could not be undone: ${words}: ${error.message}`,
      {
        hint: isStart
          ? "look at the server's own log, and run the same command again; --start-command says what starts it instead"
          : "clear that and run the same command again, or do it by hand and run it again all the same",
        cause: error,
      },
    );
  }
}

/** A stop that was begun may have failed, and a server must not be started twice. */
const answers = async ({ homeserver }: PutBack, system: System) =>
  (await signsOfLife(homeserver, system)).some(({ id }) => id === "homeserver-answers");

const START: Change = {
  ...{ kind: "running", name: "command", before: null },
  ...{ intended: "", made: null, undone: null },
};

/** Throws as `databaseAddress` does. */
function addressFor(store: Store, homeserver: Homeserver): PostgresAddress {
  const other =
    store === "mas" ? homeserver.mas?.address : store === "state" ? stateAddress(homeserver) : undefined;
  return other ?? databaseAddress(homeserver);
}

async function undoOne(
  change: Change,
  { record, homeserver, startCommand }: PutBack,
  system: System,
): Promise<boolean> {
  const { kind, name, before } = change;
  if (kind === "file-writes") await reopenFile(name, before!, system.files);
  else if (kind === "role-writes") {
    const { role, database, store } = roleNamed(name);
    const { session } = await connect(addressFor(store, homeserver), system, homeserver.mediaStore);
    try {
      await reopenRole(session, { role, database, before });
    } finally {
      await session.close();
    }
  } else return undoOnHost(change, record.keeper, startCommand, system);
  return true;
}
