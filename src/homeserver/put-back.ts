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
import { urlsOf } from "./service/inspect.ts";
import { starts, undoOnHost, undoWords } from "./service/undo.ts";

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

/**
 * Undoes every change that was made to the old host, and starts the server again if it was stopped by us. May be called
 * again after a break. Answers what a person has to do still. Throws `fence-failed` for a change that cannot be undone,
 * `start-failed` when the server does not come up.
 */
export async function putBack(from: PutBack, system: System, progress: Progress): Promise<string[]> {
  const { record, startCommand } = from;
  const left: string[] = [];
  let started = false;
  for (const change of undos(record)) {
    const words = undoWords(change, record.keeper, startCommand);
    const isStart = starts(change);
    let done: boolean;
    try {
      done = await undoOne(change, from, system);
      await record.undone(change);
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      throw new MigrationError(
        isStart ? "start-failed" : "fence-failed",
        `this could not be undone: ${words}: ${error.message}`,
        {
          hint: "clear that and run the same command again, or do it by hand and run it again all the same",
          cause: error,
        },
      );
    }
    if (done) progress.note(words);
    else left.push(words);
    started ||= done && isStart;
  }
  if (startCommand !== undefined && !started && left.length === 0) {
    await undoOnHost(START, record.keeper, startCommand, system);
    started = true;
  }
  const url = from.url ?? from.homeserver.listeners.flatMap(urlsOf)[0];
  if (started && url !== undefined) await waitUntilUp(url, PATIENCE, system);
  return left;
}

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
