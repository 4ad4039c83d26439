import { MigrationError } from "../../errors.ts";
import { addressOfStore, connect, databaseAddress } from "../../homeserver/database/address.ts";
import { parseRoleName, restoreFileMode, restoreRoleDefault } from "../../homeserver/database/fence.ts";
import type { Store } from "../../homeserver/database/store.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { localHttp, localUrlsOf } from "../../homeserver/listeners.ts";
import type { Change, FenceRecord } from "../../homeserver/service/fence/record.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import { waitUntilUp } from "../../homeserver/service/start.ts";
import { describeUndo, startsServer, undoOnHost } from "../../homeserver/service/undo.ts";
import type { Finding } from "../../report/finding.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { BestEffort } from "./best-effort.ts";
import { findReadOnly, makeRoleWritableText } from "./still-read-only.ts";

export interface UndoRequest {
  readonly record: FenceRecord;
  /** Undefined when its configuration cannot be read: changes that need it cannot be undone, the others can. */
  readonly homeserver: Homeserver | undefined;
  /** Ids of changes that the person undoes manually where that fails here. */
  readonly accepted: readonly string[];
  /** Collects what could not be recorded. */
  readonly unwritten: BestEffort;
  /** The command that starts it, instead of the recorded one. */
  readonly startCommand?: string | undefined;
  /** Address at which to check the started server; otherwise its first unencrypted listener. */
  readonly url?: string | undefined;
}

/** Milliseconds that a server may take to start. */
const START_TIMEOUT_MS = 120_000;

/**
 * The changes in the order in which they are undone: the latest first, then the start of the server, and last of all the
 * answer of the web server, which tells clients to wait until then.
 */
export function undoOrder({ activeChanges }: Pick<FenceRecord, "activeChanges">): Change[] {
  const reversed = activeChanges.toReversed();
  const rest = reversed.filter((change) => !startsServer(change) && !isWebServer(change));
  return [...rest, ...reversed.filter(startsServer), ...reversed.filter(isWebServer)];
}

const isWebServer = ({ kind }: Change) => kind === "web-server";

export interface UndoResult {
  /** What the person still has to do, a line each. */
  readonly leftToDo: readonly string[];
  /** The server could not run or write in this state, so it was not started. */
  readonly readOnly: boolean;
  /** Whether it was started, or runs already. */
  readonly started: boolean;
  /** What could not be undone and was not accepted; everything else was done. */
  readonly failure: MigrationError | undefined;
}

interface Failed {
  readonly id: string;
  /** Whether the server cannot run without undoing it. */
  readonly preventsStart: boolean;
  readonly isStart: boolean;
  readonly sentence: string;
  readonly cause: MigrationError;
}

/**
 * Undoes every change to the old host, and starts the server again if synlift stopped it. A failed undo does not prevent
 * the others; the server is not started while it could not run. May be repeated after an interruption. Throws only
 * unexpected errors: `failure` has `fence-failed` or `start-failed`.
 */
export async function undoAndStart(
  from: UndoRequest,
  system: System,
  progress: Progress,
): Promise<UndoResult> {
  const { record, homeserver, startCommand } = from;
  const list = undoOrder(record);
  const left: string[] = [];
  const failed: Failed[] = [];
  const back = (change: Change) => undoOrReport(change, from, { left, failed }, system, progress);
  for (const change of list.filter((one) => !startsServer(one) && !isWebServer(one))) await back(change);
  const closed = homeserver ? await findReadOnly(homeserver, record, system) : [];
  left.push(...closed);
  const isKept = closed.length > 0 || failed.some(({ preventsStart }) => preventsStart);
  let started = false;
  for (const change of list.filter(startsServer)) {
    const words = describeUndo(change, record.supervisor, startCommand);
    // Started now, it could not write to its database.
    if (isKept) left.push(`then run the same rollback again: ${words}`);
    else if (await back(change)) started = true;
  }
  if (startCommand !== undefined && !started && left.length === 0 && failed.length === 0)
    started = await back(START);
  const listeners = homeserver?.listeners ?? [];
  const url = from.url ?? localUrlsOf(listeners)[0];
  if (started && url !== undefined)
    await attempt(
      () => waitUntilUp(url, START_TIMEOUT_MS, { ...system, http: localHttp(system.http, listeners) }),
      (cause) =>
        failed.push({ id: "start", preventsStart: false, isStart: true, sentence: cause.message, cause }),
    );
  for (const change of list.filter(isWebServer)) {
    // While the server cannot answer, clients go on to be told to wait.
    if (isKept || failed.some(({ isStart }) => isStart))
      left.push(`then run the same rollback again: ${describeUndo(change, record.supervisor)}`);
    else await back(change);
  }
  const failure = failed.length === 0 ? undefined : failureOf(failed);
  return {
    leftToDo: left,
    readOnly: isKept,
    started: started && !failed.some(({ isStart }) => isStart),
    failure,
  };
}

/** Whether the change is undone, with nothing left to do manually. */
async function undoOrReport(
  change: Change,
  from: UndoRequest,
  { left, failed }: { left: string[]; failed: Failed[] },
  system: System,
  progress: Progress,
): Promise<boolean> {
  const { record, startCommand, unwritten } = from;
  const words = describeUndo(change, record.supervisor, startCommand);
  // A start command from the options is not in the record.
  const written = async () => {
    if (change !== START) await unwritten.attempt(() => record.undone(change));
  };
  const { id, keeps } = UNDO_RULES[change.kind];
  // A server must not be started twice: the stop may have failed, or an earlier undo may not have been recorded.
  const runs = change.kind === "running" && (await answers(from, system));
  const done = await attempt(
    async () => runs || (await undoOne(change, from, system)),
    async (cause) => {
      const sentence = `${words}: ${cause.message}`;
      if (from.accepted.includes(id)) {
        left.push(sentence);
        await written();
      } else failed.push({ id, preventsStart: keeps, isStart: startsServer(change), sentence, cause });
    },
  );
  if (done === undefined) return false;
  await written();
  if (done) progress.note(runs ? `${record.subject} is not started, because it already answers` : words);
  else left.push(words);
  return done;
}

/** Undefined after a `MigrationError`, which is passed to `onFailure`. */
async function attempt<T>(
  act: () => Promise<T>,
  onFailure: (cause: MigrationError) => unknown,
): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    await onFailure(error);
    return undefined;
  }
}

/** The id with which a failed undo is accepted, as for the fence, and whether the server cannot run without it. */
const UNDO_RULES: Readonly<Record<Change["kind"], { readonly id: string; readonly keeps: boolean }>> = {
  "unit-enabled": { id: "fence-disable", keeps: false },
  "restart-policy": { id: "fence-restart-policy", keeps: false },
  "unit-masked": { id: "fence-mask", keeps: true },
  "unit-held": { id: "fence-mask", keeps: true },
  "role-writes": { id: "fence-database", keeps: true },
  "file-writes": { id: "fence-database", keeps: true },
  "web-server": { id: "maintenance", keeps: false },
  "unit-running": { id: "start", keeps: false },
  "container-running": { id: "start", keeps: false },
  running: { id: "start", keeps: false },
};

function failureOf(failed: readonly Failed[]): MigrationError {
  const onlyStart = failed.every(({ isStart }) => isStart);
  const ids = [...new Set(failed.map(({ id }) => `--accept ${id}`))].join(" ");
  return new MigrationError(
    onlyStart ? "start-failed" : "fence-failed",
    `some changes could not be undone: ${failed.map(({ sentence }) => sentence).join("; ")}`,
    {
      hint: onlyStart
        ? "check the server's log, then run the same command again; --start-command gives another command to start it"
        : `fix that and run the same command again; or undo it manually and run the command with ${ids}`,
      cause: failed[0]!.cause,
    },
  );
}

const answers = async ({ homeserver }: UndoRequest, system: System) =>
  homeserver !== undefined &&
  (await findActivity(homeserver, system)).some(({ id }) => id === "homeserver-answers");

/** A start with --start-command, where the record has none. */
const START: Change = {
  kind: "running",
  name: "command",
  before: null,
  intended: "",
  made: null,
  undone: null,
};

/** Throws as `databaseAddress` does. */
const addressFor = (store: Store, homeserver: Homeserver): PostgresAddress =>
  addressOfStore(store, homeserver) ?? databaseAddress(homeserver);

async function undoOne(
  change: Change,
  { record, homeserver, startCommand }: UndoRequest,
  system: System,
): Promise<boolean> {
  const { kind, name, before } = change;
  if (kind === "file-writes") await restoreFileMode(name, before!, system.files);
  else if (kind === "role-writes") {
    const { role, database, store } = parseRoleName(name);
    if (!homeserver)
      throw new MigrationError(
        "config-unreadable",
        `the database's address is in the configuration, which cannot be read; do this manually: ${makeRoleWritableText({ role, database })}`,
      );
    const { session } = await connect(addressFor(store, homeserver), system, homeserver.mediaStore, {
      writes: true,
    });
    try {
      await restoreRoleDefault(session, { role, database, before });
    } finally {
      await session.close();
    }
  } else return undoOnHost(change, record.supervisor, startCommand, system);
  return true;
}

/** The warning when the old server's configuration cannot be read. */
export const configUnreadable = (subject: string, error: MigrationError): Finding => ({
  id: "config-unreadable",
  level: "warning",
  sentence: `the configuration of ${subject} cannot be read: ${error.message}`,
  hint: "give each of its files with --config; without it the database role stays read-only, and the server is not checked",
});
