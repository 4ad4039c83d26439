import { MigrationError } from "../../errors.ts";
import { readLockHolder } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import { noProgress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { type CopyHere, copyHere } from "./copy-here.ts";
import { CopyLost, lostCopy } from "./ended.ts";
import { acquireFollowLock } from "./lock.ts";
import { type MediaRecord, readMediaRecord } from "./media/record.ts";
import { type FollowState, lockPath, readFollowState } from "./state.ts";
import { connectToOld, openTunnel } from "./tunnel.ts";
import { isUnitOf, logCommand } from "./unit.ts";
import { type Followed, isLost } from "./watch.ts";

export interface FollowStatus {
  readonly state: FollowState;
  /** What keeps it up to date at the moment. */
  readonly by: "unit" | "process" | "nobody";
  /** What both servers say; undefined where they could not be asked. */
  readonly followed: Followed | undefined;
  /** The media beside it; undefined where none are copied. */
  readonly media: MediaRecord | undefined;
  readonly findings: readonly Finding[];
  /** A copy that is lost. */
  readonly failure: MigrationError | undefined;
}

/** How the copy is. Changes nothing; where nobody follows, it opens a way to the old host for a moment. */
export async function followStatus(configDir: string, system: System): Promise<FollowStatus | undefined> {
  const state = await readFollowState(configDir, system);
  if (!state) return undefined;
  const by = await whoFollows(configDir, system);
  const unread: Finding[] = [];
  const media = await readMediaRecord(configDir, system.files).catch((error: unknown) => {
    if (!(error instanceof MigrationError)) throw error;
    unread.push(mediaFailed(error.message, error.hint));
    return undefined;
  });
  if (state.stage === "detached" || state.stage === "done")
    return {
      state,
      by,
      followed: undefined,
      media,
      findings: [cutOver(state), ...unread],
      failure: undefined,
    };
  // Whoever followed has nothing to go on with once the copy is lost.
  const running: Finding[] =
    by !== "nobody" ? [] : [(await isUnitOf(configDir, system)) ? startsAgain(state) : nobody(state)];
  const findings: Finding[] = [...unread];
  let followed: Followed | undefined;
  try {
    followed = await look(state, configDir, by, system);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    if (error instanceof CopyLost)
      return { state: error.lost, by, followed, media, findings, failure: error };
    findings.push(notSeen(error, by, state));
  }
  if (followed) findings.push(...judge(followed, by));
  if (media) findings.push(...judgeMedia(media));
  const failure =
    followed && isLost(followed)
      ? await lostCopy(state, followed, system)
      : state.stage === "lost"
        ? new CopyLost(state)
        : undefined;
  return {
    state: failure?.lost ?? state,
    by,
    followed,
    media,
    findings: [...(failure ? [] : running), ...findings],
    failure,
  };
}

async function whoFollows(configDir: string, system: System): Promise<FollowStatus["by"]> {
  const holder = await readLockHolder(lockPath(configDir), system.files);
  const lives = holder !== undefined && system.machine.processStart(holder.pid) === holder.start;
  if (!lives) return "nobody";
  return (await isUnitOf(configDir, system)) ? "unit" : "process";
}

async function look(
  state: FollowState,
  configDir: string,
  by: FollowStatus["by"],
  system: System,
): Promise<Followed | undefined> {
  if (state.stage === "preparing" || state.stage === "copying") return undefined;
  const copy = copyHere(state, system, noProgress);
  await copy.assertRuns();
  if (by !== "nobody") return lookThroughTunnel(state, configDir, copy, system);
  const lock = await acquireFollowLock(configDir, system);
  try {
    const tunnel = await openTunnel(state, configDir, await copy.account(), system);
    try {
      return await lookThroughTunnel(state, configDir, copy, system);
    } finally {
      await tunnel.close();
    }
  } finally {
    await lock.release();
  }
}

async function lookThroughTunnel(
  state: FollowState,
  configDir: string,
  copy: CopyHere,
  system: System,
): Promise<Followed> {
  const session = await connectToOld(state, configDir, system);
  try {
    const watch = await copy.watch(session);
    try {
      return await watch.look();
    } finally {
      await watch.close();
    }
  } finally {
    await session.close();
  }
}

const cutOver = ({ stage }: FollowState): Finding => ({
  id: "follow-cut-over",
  level: "ok",
  sentence:
    stage === "done"
      ? "the copy was cut over: it is the new server's database"
      : "the copy was promoted, and the cut-over is not complete",
  hint:
    stage === "done"
      ? "go on with synlift open; once that has opened it, synlift follow stop takes away what is left on the old host"
      : "run synlift pull --followed again",
});

const nobody = ({ old }: FollowState): Finding => ({
  id: "follow-not-running",
  level: "warning",
  sentence: `no process keeps the copy up to date; ${old.address} keeps its log for it meanwhile, up to its limit`,
  hint: "go on with synlift follow, or let systemd do it: synlift follow --service",
});

const startsAgain = ({ old }: FollowState): Finding => ({
  id: "follow-not-running",
  level: "warning",
  sentence: `the unit synlift-follow is about to start, again if it has failed: meanwhile ${old.address} keeps its log for the copy, up to its limit`,
  hint: `its log says why it failed: ${logCommand()}`,
});

function notSeen(
  { code, message, hint }: MigrationError,
  by: FollowStatus["by"],
  { old }: FollowState,
): Finding {
  const finding = { id: "follow-not-seen", level: "warning" as const };
  const words = "how far the copy is cannot be seen";
  // Whoever follows has lost the old host, or is on its way there: no setting is wrong, of the database or of ssh.
  if (by !== "nobody" && (code === "database-unreachable" || code === "connection-failed"))
    return {
      ...finding,
      sentence: `${words}: there is no connection to ${old.address} at the moment`,
      hint: `it is made again by itself; ${by === "unit" ? `its log says what fails: ${logCommand()}` : "the process that follows says what fails"}`,
    };
  return { ...finding, sentence: `${words}: ${message}`, ...(hint === undefined ? {} : { hint }) };
}

const mediaFailed = (sentence: string, hint: string | undefined): Finding => ({
  id: "follow-media-failed",
  level: "warning",
  sentence,
  ...(hint === undefined ? {} : { hint }),
});

function judgeMedia({ failed, changed }: MediaRecord): Finding[] {
  const findings: Finding[] = [];
  if (failed)
    findings.push(
      mediaFailed(
        `media could not be copied on ${failed.at}: ${failed.message}`,
        "the database follows on, and media are tried again by themselves; what has come stays",
      ),
    );
  if (changed === null || changed.length > 0)
    findings.push({
      id: "follow-media-changed",
      level: "warning",
      sentence:
        "the old server has uploads that are not the files that were uploaded, by the hashes in their rows",
      ...(changed === null ? {} : { evidence: changed.slice(0, SHOWN) }),
      hint: "restore them there from a backup, under the same names; pull refuses them without consent",
    });
  return findings;
}

const SHOWN = 20;

/** Bytes that the old server may still keep, and that are free here, at which a warning is due. */
const LITTLE_ROOM = 1024 * 1024 * 1024;

function judge({ connected, roomBytes, heldBytes, freeBytes }: Followed, by: FollowStatus["by"]): Finding[] {
  const findings: Finding[] = [];
  // Without anybody there is no way to the old server either, which was said.
  if (!connected && by !== "nobody")
    findings.push({
      id: "follow-not-connected",
      level: "warning",
      sentence: "the copy is not connected to the old server",
      hint: "the log of its PostgreSQL says why",
    });
  if (roomBytes !== null && roomBytes < LITTLE_ROOM && roomBytes < (heldBytes ?? 0))
    findings.push({
      id: "follow-slot-near-limit",
      level: "warning",
      sentence: `the old server gives the copy up after another ${formatBytes(Math.max(0, roomBytes))} of its log`,
      hint: "the limit protects its disk: see why the copy is behind, or make room on the old host and raise max_slot_wal_keep_size",
    });
  if (freeBytes < LITTLE_ROOM)
    findings.push({
      id: "follow-little-space",
      level: "warning",
      sentence: `the disk with the copy has ${formatBytes(freeBytes)} free`,
      hint: "make room: a standby on a full disk ends",
    });
  return findings;
}
