import { MigrationError } from "../../errors.ts";
import { endCopies } from "../../homeserver/database/follow/base-backup.ts";
import {
  lookAtData,
  removalCommand,
  removeStandby,
  stopStandby,
} from "../../homeserver/database/follow/standby-server.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes, formatCountOf } from "../../report/units.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { withProgress } from "../../system/throttled-progress.ts";
import { bulletList, confirm } from "../confirm.ts";
import { askSource } from "./ask-source.ts";
import { forgetMedia, type MediaRecord, readMediaRecord } from "./media/record.ts";
import { isInUse } from "./media/settle.ts";
import { removeWritten } from "./media/written.ts";
import { type FollowState, oldHostOf, readFollowState, removeFollowState } from "./state.ts";
import { describeCopy } from "./logical/choose.ts";
import { emptyLogical, releaseLogical } from "./logical/stop.ts";
import { removeTunnelFolder } from "./tunnel.ts";

export interface StopOrder {
  /** Absolute. */
  readonly configDir: string;
  /** Delete the copy without asking. */
  readonly yes: boolean;
  readonly dryRun: boolean;
  /** Leave the old host alone: it cannot be reached any more. */
  readonly isOldHostGone: boolean;
  /** The media stay, for another copy that follows. */
  readonly keepsMedia?: boolean;
}

export interface StopResult {
  /** "nothing": nothing follows here. "kept": the database was promoted, and stays. */
  readonly kind: "nothing" | "dry-run" | "removed" | "kept";
  readonly findings: readonly Finding[];
  /** What was done, or would be, a line each. */
  readonly lines: readonly string[];
  /** What a person still has to do on the old host. */
  readonly leftToDo: readonly string[];
}

/** Asks whether the copy may be ended and deleted, unless that was said. Throws `bad-usage` when the answer is no. */
export async function agreeToStop(order: StopOrder, system: System): Promise<void> {
  if (order.yes || order.dryRun) return;
  const state = await readFollowState(order.configDir, system);
  const isKept = state !== undefined && (await isPromoted(state, system));
  const media = await mediaToEnd(order, isKept, system);
  if (state) await askConsent(state, describeStop(state, isKept, media, order), isKept, system);
  else if (media?.becomes === "deleted") await askConsent(media.record, describeMedia(media), false, system);
}

/**
 * Ends a copy: takes away on the old host what was made for it, then removes the copy. A database that was promoted is never
 * removed. May be repeated after an interruption at any moment. The caller holds the lock. Throws `connection-failed` when the
 * old host cannot be reached, and what fails there; then everything here is still there.
 */
export async function stopFollowing(
  order: StopOrder,
  system: System,
  progress: Progress,
): Promise<StopResult> {
  const { configDir } = order;
  const { files } = system;
  const state = await readFollowState(configDir, system);
  const isKept = state !== undefined && (await isPromoted(state, system));
  const media = await mediaToEnd(order, isKept, system);
  if (!state) return endMediaAlone(media, order, system, progress);
  const lines = describeStop(state, isKept, media, order);
  if (order.dryRun) return { kind: "dry-run", findings: [], lines, leftToDo: [] };
  // Its connection would hold the slot.
  if (state.here.kind === "standby" && !isKept) {
    await endCopies(state.here, system);
    await stopStandby(state.here, system);
  }
  if (state.here.kind === "logical" && !isKept) await releaseLogical(state, configDir, system);
  const undone = order.isOldHostGone
    ? undefined
    : await askSource(oldHostOf(state), { type: "undo" }, system, progress);
  if (state.here.kind === "standby" && !isKept)
    await removeStandby(state.here, state.old.systemIdentifier, system);
  if (state.here.kind === "logical" && !isKept) await emptyLogical(configDir, system);
  await endMedia(media, configDir, system, progress);
  await removeTunnelFolder(state, system);
  await removeFollowState(configDir, state, files);
  return {
    kind: isKept ? "kept" : "removed",
    findings: (undone?.findings ?? []) as Finding[],
    lines,
    leftToDo: undone?.leftToDo ?? [],
  };
}

/** What becomes of the media that were copied. */
interface MediaEnd {
  readonly record: MediaRecord;
  readonly becomes: "deleted" | "the new server's" | "the next copy's";
}

/** Undefined where none were copied. */
async function mediaToEnd(
  { configDir, keepsMedia = false }: StopOrder,
  isKept: boolean,
  { files }: System,
): Promise<MediaEnd | undefined> {
  const record = await readMediaRecord(configDir, files);
  if (!record) return undefined;
  const isServers = isKept || (await isInUse(record, configDir, files));
  return { record, becomes: isServers ? "the new server's" : keepsMedia ? "the next copy's" : "deleted" };
}

async function endMedia(
  media: MediaEnd | undefined,
  configDir: string,
  system: System,
  progress: Progress,
): Promise<void> {
  if (!media || media.becomes === "the next copy's") return;
  if (media.becomes === "the new server's") return forgetMedia(configDir, system.files);
  const work = { id: "follow/media-removed", label: "media", unit: "files" } as const;
  await withProgress(progress, work, (tell) => removeWritten(configDir, media.record, system, tell));
}

/** A run that was killed has left the media, and nothing else. */
async function endMediaAlone(
  media: MediaEnd | undefined,
  { configDir, dryRun }: StopOrder,
  system: System,
  progress: Progress,
): Promise<StopResult> {
  const lines = media ? describeMedia(media) : [];
  if (!media || media.becomes === "the next copy's")
    return { kind: "nothing", findings: [], lines: [], leftToDo: [] };
  if (!dryRun) await endMedia(media, configDir, system, progress);
  const kind = dryRun ? "dry-run" : media.becomes === "deleted" ? "removed" : "kept";
  return { kind, findings: [], lines, leftToDo: [] };
}

function describeMedia({ record: { dir, last, running }, becomes }: MediaEnd): string[] {
  if (becomes === "the new server's")
    return [`keep the media in ${dir} on this host: they are the new server's`];
  if (becomes === "the next copy's") return [`keep the media in ${dir} on this host, for the next copy`];
  const known = last?.here ?? running?.came;
  const count = known ? `: ${formatCountOf(known.files, "file")}, ${formatBytes(known.bytes)}` : "";
  return [`delete the media that were copied to ${dir} on this host${count}; what else lies there stays`];
}

/** Whether it is a server of its own by now: by what the folder is, and by the state; either of them is enough. */
export async function isPromoted(state: FollowState, system: System): Promise<boolean> {
  if (state.stage === "detached" || state.stage === "done") return true;
  if (state.here.kind !== "standby") return false;
  const found = await lookAtData(state.here, system);
  return found.kind === "own" && found.systemIdentifier === state.old.systemIdentifier;
}

function describeStop(
  state: FollowState,
  isKept: boolean,
  media: MediaEnd | undefined,
  { isOldHostGone }: StopOrder,
): string[] {
  const { old, here } = state;
  const place =
    here.kind === "standby"
      ? here.cluster
        ? `the PostgreSQL cluster ${here.cluster.major}/${here.cluster.name} with its data in ${here.data}`
        : `the PostgreSQL in ${here.data}`
      : describeCopy(here);
  return [
    isOldHostGone
      ? `leave ${old.address} as it is: role ${old.role}, replication slot ${old.slot ?? "(none)"} and settings stay there`
      : `take away on ${old.address} what was made for the copy: role ${old.role}, replication slot ${old.slot ?? "(none)"}, settings`,
    isKept
      ? `keep ${place} on this host: it was ${here.kind === "standby" ? "promoted" : "detached"}, and synlift removes no database that was cut over${here.kind === "standby" ? `; if nothing of it is needed, as after a rollback: ${removalCommand(here)}` : ""}`
      : here.kind === "logical"
        ? `end the subscription ${here.subscription} on this host and delete all tables in ${place}; the database itself, its role and its password stay`
        : `delete the copy on this host: ${place}`,
    ...(media ? describeMedia(media) : []),
  ];
}

async function askConsent(
  { serverName }: Pick<FollowState, "serverName">,
  lines: readonly string[],
  isKept: boolean,
  system: System,
): Promise<void> {
  await confirm(
    {
      question: `The copy of the database of ${serverName} ends:${bulletList(lines)}\n${isKept ? "Continue?" : "Delete the copy?"}`,
      consequence: lines.join("; "),
      otherwise: new MigrationError("bad-usage", "nothing was ended: you answered no", {
        hint: "the copy stays, and can be followed further",
      }),
    },
    system,
  );
}
