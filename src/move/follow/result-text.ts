import { quoteShellWord } from "../../system/shell-quoting.ts";
import { formatBytes, formatCountOf } from "../../report/units.ts";
import { describeCopy } from "./logical/choose.ts";
import { followedDetails, liveState, mediaDetails } from "./live-text.ts";
import type { MediaRecord } from "./media/record.ts";
import type { FollowResult } from "./run.ts";
import type { FollowState } from "./state.ts";
import type { FollowStatus } from "./status.ts";
import type { StopResult } from "./stop.ts";
import { logCommand } from "./unit.ts";

const STAGES: Readonly<Record<FollowState["stage"], string>> = {
  preparing: "being prepared",
  copying: "being made",
  following: "following",
  fenced: "following; the old server is fenced for the cut-over",
  detached: "promoted; the cut-over is not complete",
  done: "cut over",
  lost: "lost",
};

/** After `follow`, a line each. */
export function followLines(result: FollowResult, configDir: string): string[] {
  const at = `--config-dir ${quoteShellWord(configDir)}`;
  switch (result.kind) {
    case "dry-run":
      return [...result.lines, "nothing was changed on either host"];
    case "unit":
      return [
        `${result.unit.name} makes the copy and keeps it up to date, also after a restart of this host: ${result.unit.path}`,
        `how it is:  synlift follow status ${at}`,
        `its log:    ${logCommand()}`,
        `the end:    synlift follow stop ${at}`,
      ];
    case "followed":
      return [
        ...(result.last ? [liveState(result.last, result.media).sentence] : []),
        result.ended === "caught-up"
          ? "the copy has everything that the old server has written so far"
          : "the copy stays, and is not kept up to date now: the old server keeps its log for it, up to its limit",
        `to go on:   synlift follow ${at}`,
        `cut-over:   synlift pull --followed ${result.state.old.address} …`,
        `the end:    synlift follow stop ${at}`,
      ];
  }
}

/** For scripts. */
export function followDetails(result: FollowResult) {
  if (result.kind === "dry-run")
    return {
      kind: result.kind,
      serverName: null,
      stage: null,
      unit: null,
      ended: null,
      copy: null,
      media: null,
    };
  return {
    kind: result.kind,
    serverName: result.state.serverName,
    stage: result.state.stage,
    unit: result.kind === "unit" ? result.unit.path : null,
    ended: result.kind === "followed" ? result.ended : null,
    copy: result.kind === "followed" && result.last ? followedDetails(result.last) : null,
    media: result.kind === "followed" && result.media ? mediaDetails(result.media) : null,
  };
}

/** Of `follow status`. */
export function statusLines(status: FollowStatus | undefined, configDir: string): string[] {
  if (!status) return [`nothing follows here: ${configDir} has no state of synlift follow`];
  const { state, by, followed, media } = status;
  const who = { unit: "the systemd unit synlift-follow", process: "a running synlift", nobody: "nobody" }[by];
  return [
    `${state.serverName}: a copy of the database on ${state.old.address}, ${state.endedThere ? "ended there" : STAGES[state.stage]}; begun ${state.begun}`,
    `kept up to date by ${who}`,
    ...(followed ? [liveState(followed).sentence] : []),
    ...placeLines(state),
    ...mediaLines(media, by !== "nobody"),
    ...(state.compared ? [`compared in full on ${state.compared.at}`] : []),
  ];
}

function mediaLines(media: MediaRecord | undefined, isFollowed: boolean): string[] {
  if (!media) return ["media are not copied beside it"];
  const { dir, last, running, paused } = media;
  return [
    last
      ? `media in ${dir}: ${formatCountOf(last.here.files, "file")}, ${formatBytes(last.here.bytes)}, as of ${last.at}; that pass brought ${formatCountOf(last.came.files, "file")}, ${formatBytes(last.came.bytes)}`
      : `media are copied to ${dir}: no pass is complete yet`,
    ...(running && isFollowed
      ? [
          `a pass over the media runs since ${running.since}${running.toCome ? `: ${formatBytes(running.came.bytes)} of ${formatBytes(running.toCome.bytes)} have come` : ""}`,
        ]
      : []),
    ...(paused ? ["media are left out at the moment (--without-media)"] : []),
  ];
}

function placeLines({ here }: FollowState): string[] {
  if (here.kind !== "standby")
    return [`on this host: ${describeCopy(here)}, subscription ${here.subscription}`];
  const name = here.cluster ? `cluster ${here.cluster.major}/${here.cluster.name}, ` : "";
  return [`on this host: PostgreSQL ${name}data in ${here.data}, port ${here.port}`];
}

/** For scripts. */
export const statusDetails = (status: FollowStatus | undefined) => ({
  follows: status !== undefined,
  serverName: status?.state.serverName ?? null,
  address: status?.state.old.address ?? null,
  road: status?.state.road ?? null,
  stage: status?.state.stage ?? null,
  begun: status?.state.begun ?? null,
  by: status?.by ?? null,
  copy: status?.followed ? followedDetails(status.followed) : null,
  media: status?.media ? mediaDetails(status.media) : null,
});

/** Of `follow stop`. */
export function stopLines({ kind, lines, leftToDo }: StopResult): string[] {
  if (kind === "nothing") return ["nothing follows here: there is nothing to end"];
  const todo = leftToDo.map((line) => `left to do on the old host: ${line}`);
  if (kind === "dry-run") return [...lines, "nothing was changed"];
  return [...lines.map((line) => `done: ${line}`), ...todo];
}

export const stopDetails = ({ kind, leftToDo }: StopResult) => ({ kind, leftToDo: [...leftToDo] });
