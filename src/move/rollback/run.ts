import { join } from "node:path";
import { LOCK, MANIFEST } from "../../bundle/layout.ts";
import { MigrationError } from "../../errors.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import { FollowRecord } from "../../homeserver/database/follow/record.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import { describeUndo } from "../../homeserver/service/undo.ts";
import type { Journal } from "../../journal/journal.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { sayingWhatIsLeft } from "../interrupted.ts";
import { BestEffort } from "../old-server/best-effort.ts";
import { changedSinceFenced, machineUnknownFindings } from "../old-server/changed-since.ts";
import { readExportState } from "../old-server/export-state.ts";
import {
  ALL_SENT,
  DATABASE_FOLLOWS,
  HANDED_OVER,
  OUTAGE_BOOT,
  OUTAGE_SINCE,
  outageSeconds,
  SENT_DIRECTLY,
} from "../old-server/journal-facts.ts";
import { followUndoLines, readFollowed, unfollow, type UnfollowResult } from "../old-server/followed.ts";
import { leftOfOldServer } from "../old-server/left.ts";
import { configUnreadable, undoAndStart, undoOrder, type UndoResult } from "../old-server/undo.ts";
import { confirmRollback, confirmUnfollow } from "./consent.ts";
import { findNewServer, type NewServerHints } from "./new-server.ts";

export interface RollbackOrder {
  /** Folder of the bundle, or of the direct transfer, as given to export; absolute. */
  readonly folder: string;
  /** Where the state of the new server may be found; absolute. */
  readonly newServer: NewServerHints;
  /** The configuration, if it has moved since the export; absolute. Empty for the recorded paths. */
  readonly configPaths: readonly string[];
  /** The command that starts the old server, instead of the recorded one. */
  readonly startCommand: string | undefined;
  /** Address at which to check the started server; otherwise its first unencrypted listener. */
  readonly url: string | undefined;
  /** Continue without asking although it is unknown whether the new server was opened. */
  readonly yes: boolean;
  /** Continue although the new server was opened. */
  readonly force: boolean;
  /** Ids of changes that the person undoes manually where that fails here. */
  readonly accepted: readonly string[];
  readonly dryRun: boolean;
  /** What becomes of a copy that follows the old database: "only" undoes nothing else. */
  readonly follow: "undo" | "keep" | "only";
}

interface RollbackFacts {
  readonly subject: string;
  readonly folder: string;
  readonly findings: readonly Finding[];
  /** The changes to undo, in words and in order, a line each. */
  readonly changes: readonly string[];
}

interface PlannedRollback extends RollbackFacts {
  readonly kind: "dry-run";
}

/** Everything that could be undone is undone; `failure` and `leftToDo` say what could not. */
export interface FinishedRollback extends RollbackFacts, UndoResult, Pick<UnfollowResult, "followFailure"> {
  readonly kind: "undone";
  /** Whether the homeserver was sent directly to the new host, without a bundle. */
  readonly sentDirectly: boolean;
  /** Whether its database was not sent, because a copy on the new host follows it. */
  readonly databaseFollows: boolean;
  /** What this host has for a copy that follows: "none" where none was ever made. */
  readonly copy: "none" | "prepared" | "ended";
  /** Whether this run, or one before it, had anything to undo. */
  readonly changed: boolean;
  /** When an earlier rollback started the old server, ISO 8601. */
  readonly startedEarlier: string | undefined;
  /** Whether the old server runs or answers now. */
  readonly alive: boolean;
  /** Seconds from the stop to now; undefined when unknown, or not over. */
  readonly outageSeconds: number | undefined;
}

/** Only what was changed so that a copy could follow was undone: the old server was not stopped, or stays as it is. */
interface Unfollowed extends RollbackFacts, UnfollowResult {
  readonly kind: "unfollowed";
}

export type RollbackResult = PlannedRollback | FinishedRollback | Unfollowed;

/**
 * Cancels a move: unseals the bundle, undoes what the export changed on the old host, and starts the old server again; then it
 * undoes what was changed so that a copy could follow. Where only that was changed, it undoes that alone.
 * May be repeated after an interruption. Works on a full disk, and then without recording everything.
 *
 * Throws `bundle-incomplete` when nothing was started or changed there, `already-opened` when the new server is open or
 * the answer to the question is no, `bad-usage` when there is no terminal to ask on, `bundle-in-use`,
 * `other-machine` when another host was changed: nothing of that is there to undo here, and a bundle stays sealed. A dry run changes
 * nothing and asks nothing.
 */
export async function rollBack(
  order: RollbackOrder,
  system: System,
  progress: Progress,
): Promise<RollbackResult> {
  const { files, machine } = system;
  const { folder } = order;
  // Before the lock: its file must not be created in a folder that has nothing to do with a move.
  const followed = await FollowRecord.read(folder, files, machine);
  followed?.assertMadeHere();
  // Also where all of it was undone: the same command may be run again.
  const isOnly = followed !== undefined && (order.follow === "only" || !(await wasFenced(folder, system)));
  if (order.follow === "only" && !followed) throw nothingFollows(folder);
  if (!isOnly) (await readExportState(folder, system)).record?.assertMadeHere();
  const unwritten = new BestEffort();
  const lock = await unwritten.attempt(() => acquireLock(join(folder, LOCK), files, machine));
  try {
    return await sayingWhatIsLeft(
      () => (isOnly ? unfollowOnly : rollBackLocked)(order, unwritten, system, progress),
      () => leftOfOldServer(folder, system),
    );
  } finally {
    await lock?.release();
  }
}

async function wasFenced(folder: string, { files, machine }: System): Promise<boolean> {
  const record = await FenceRecord.read(folder, files, machine);
  return record !== undefined;
}

const nothingFollows = (folder: string) =>
  new MigrationError("bundle-incomplete", `nothing was changed with ${folder} so that a copy could follow`, {
    hint: "there is nothing to undo",
  });

async function unfollowOnly(
  { folder, dryRun, yes, force }: RollbackOrder,
  unwritten: BestEffort,
  system: System,
  progress: Progress,
): Promise<RollbackResult> {
  const record = await FollowRecord.read(folder, system.files, system.machine);
  if (!record) throw nothingFollows(folder);
  const { subject } = record;
  const changes = followUndoLines(record);
  if (dryRun) return { kind: "dry-run", subject, folder, findings: [], changes };
  if (changes.length > 0 && !yes && !force) await confirmUnfollow(subject, changes, system);
  const undone = await unfollow(record, folder, unwritten, system, progress);
  return {
    kind: "unfollowed",
    subject,
    folder,
    changes,
    leftToDo: undone.leftToDo,
    followFailure: undone.followFailure,
    findings: [...undone.findings, ...unwritten.findings(folder)],
  };
}

async function rollBackLocked(
  order: RollbackOrder,
  unwritten: BestEffort,
  system: System,
  progress: Progress,
): Promise<RollbackResult> {
  const { files } = system;
  const { folder, startCommand } = order;
  const { record, journal, findings: journalFindings } = await readExportState(folder, system);
  if (!record) throw nothingToUndo(folder);
  const { subject } = record;
  const { homeserver, findings: configFindings } = await readOldConfig(record, order.configPaths, system);
  const newServer = await findNewServer(order.newServer, { serverName: subject, homeserver }, system);
  const sentDirectly = journal?.facts[SENT_DIRECTLY] !== undefined;
  const followed = order.follow === "undo" ? await readFollowed(folder, system) : undefined;
  const changes = [
    ...undoOrder(record).map((change) => describeUndo(change, record.supervisor, startCommand)),
    ...(followed ? followUndoLines(followed) : []),
  ];
  const complete = await wasComplete(folder, journal, files);
  const request = {
    subject,
    folder,
    newServer,
    complete,
    machineUnknown: machineUnknownFindings(record)[0],
    lines: changes,
    yes: order.yes,
    force: order.force,
    dryRun: order.dryRun,
  };
  const risks = await confirmRollback(request, system);
  const warnings = [...journalFindings, ...configFindings, ...risks];
  const findings = [...warnings, ...(await changedSinceFenced(record, sentDirectly, system))];
  if (order.dryRun) return { kind: "dry-run", subject, folder, findings, changes };

  for (const { sentence } of warnings) progress.note(sentence);
  const unseal = async () => {
    await unwritten.attempt(() => files.remove(join(folder, MANIFEST)));
    await unwritten.attempt(async () => journal?.removeFact(HANDED_OVER));
  };
  // An interrupted rollback is run again, and the bundle may have been opened in between.
  const isNoted = complete && journal ? await noteComplete(journal, unwritten, system) : true;
  // First: once the server runs again, its bundle must not be restored by mistake.
  if (isNoted) await unseal();
  // Read before this run starts anything.
  const startedEarlier = record.restartedAt;
  const undo = { record, homeserver, unwritten, accepted: order.accepted, startCommand, url: order.url };
  const undone = await undoAndStart(undo, system, progress);
  // People first: this may wait for locks of tables that they use.
  const unfollowed = followed && (await unfollow(followed, folder, unwritten, system, progress));
  const isBack = !undone.readOnly && (undone.started || !undone.failure);
  const outageSeconds = isBack ? await endOutage(journal, unwritten, system) : undefined;
  const alive = homeserver !== undefined && (await findActivity(homeserver, system)).length > 0;
  if (isBack) {
    if (!isNoted) await unseal();
    await unwritten.attempt(async () => journal?.removeFact(ALL_SENT));
  }
  const copy = await FollowRecord.read(folder, system.files, system.machine);
  return {
    kind: "undone",
    subject,
    folder,
    findings: [...findings, ...(unfollowed?.findings ?? []), ...unwritten.findings(folder)],
    changes,
    leftToDo: [...undone.leftToDo, ...(unfollowed?.leftToDo ?? [])],
    readOnly: undone.readOnly,
    started: undone.started,
    failure: undone.failure,
    followFailure: unfollowed?.followFailure,
    sentDirectly,
    databaseFollows: journal?.facts[DATABASE_FOLLOWS] !== undefined,
    copy: copy ? (copy.activeChanges.length > 0 ? "prepared" : "ended") : "none",
    changed: record.rolledBackAt !== undefined,
    startedEarlier,
    alive,
    outageSeconds,
  };
}

const nothingToUndo = (folder: string) =>
  new MigrationError("bundle-incomplete", `the export into ${folder} has changed nothing on this host`, {
    hint: "there is nothing to undo: start the server the way you stopped it",
  });

/** Whether everything that a new server needs was packed or sent, and the old one has not run since. */
async function wasComplete(folder: string, journal: Journal | undefined, files: Files): Promise<boolean> {
  if (!journal || (await files.lstat(join(folder, MANIFEST)))) return true;
  return journal.facts[HANDED_OVER] !== undefined || journal.facts[ALL_SENT] !== undefined;
}

/** Returns whether it could be recorded. */
async function noteComplete(journal: Journal, unwritten: BestEffort, { machine }: System): Promise<boolean> {
  const noted = await unwritten.attempt(async () => {
    await journal.setFact(ALL_SENT, journal.facts[ALL_SENT] ?? new Date(machine.now()).toISOString());
    return true;
  });
  return noted === true;
}

/** The old server's configuration; without it, changes to the host itself can still be undone. */
async function readOldConfig(
  { source, subject }: FenceRecord,
  given: readonly string[],
  { files, signal }: System,
): Promise<{ homeserver: Homeserver | undefined; findings: Finding[] }> {
  const configPaths = given.length > 0 ? given : source.configPaths;
  try {
    return { homeserver: await readHomeserver({ ...source, configPaths, signal }, files), findings: [] };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { homeserver: undefined, findings: [configUnreadable(subject, error)] };
  }
}

/** Seconds from the stop to now; undefined when unknown. */
async function endOutage(
  journal: Journal | undefined,
  unwritten: BestEffort,
  { machine }: System,
): Promise<number | undefined> {
  const seconds = journal && outageSeconds(journal, machine);
  await unwritten.attempt(async () => journal?.removeFact(OUTAGE_SINCE));
  await unwritten.attempt(async () => journal?.removeFact(OUTAGE_BOOT));
  return seconds;
}
