import { MigrationError } from "../../../errors.ts";
import type { WholeComparison } from "../../../homeserver/database/follow/compare/comparison.ts";
import type { Finding } from "../../../report/finding.ts";
import type { ProgressView } from "../../../report/progress-view.ts";
import { formatCountOf } from "../../../report/units.ts";
import type { System } from "../../../system/system.ts";
import { copyHere } from "../../follow/copy-here.ts";
import { CopyLost } from "../../follow/ended.ts";
import { type FollowState, oldHostOf, readFollowState } from "../../follow/state.ts";
import { connectToOld, openTunnel } from "../../follow/tunnel.ts";
import { isUnitOf, removeUnit, startUnitAgain, takeOver } from "../../follow/unit.ts";
import type { PullOrder } from "../order.ts";
import { assertLeadsToCopy, copyOf } from "./copy.ts";
import { catchUp, compareBeforehand, type CutOver, cutOver, isComparisonUsable } from "./cut-over.ts";
import type { FollowingCopy } from "./following-copy.ts";
import { hashMediaBeforehand, withNewestMedia } from "./hash-media.ts";
import { mediaBeside, noting } from "./media-beside.ts";
import type { FollowedPull } from "./order.ts";
import { type Compared, savedComparison } from "./saved.ts";

/** The result of a rehearsal: all rows were compared while both servers ran. */
export interface ComparedBeforehand {
  readonly kind: "compared";
  readonly findings: readonly Finding[];
  readonly at: string;
  readonly position: string;
}

/**
 * Prepares the cut-over of a copy that follows, and lets `act` have the old server stopped, with what cuts over then. Compares all rows
 * first, while the old server runs, unless that was done; a rehearsal does only this. Throws `bad-usage`, `comparison-failed`, `follow-lost`,
 * `connection-failed`, `target-unsuitable`, `bundle-in-use`.
 */
export async function withFollowed<T>(
  { target, rehearsal, dryRun }: Pick<PullOrder, "target" | "rehearsal" | "dryRun">,
  act: (followed: FollowedPull) => Promise<T>,
  system: System,
  view: ProgressView,
): Promise<T | ComparedBeforehand> {
  const { configDir, mediaDir, owner } = target.layout;
  const { files } = system;
  const state = await followingState(configDir, system);
  const copy = await copyOf(state, target, system);
  const follows = await copy.follows();
  await assertLeadsToCopy(copy, system);
  const beside = await mediaBeside(target, system);
  const saved = await savedComparison.read(configDir, state, files);
  const lines = describeCut(state, saved?.main);
  const oldHost = oldHostOf(state);
  // Whatever follows goes on: nothing is taken from it.
  if (dryRun) {
    const nothing = () => Promise.reject(new TypeError("a dry run cuts nothing"));
    return act({
      oldHost,
      lines,
      media: beside,
      begins: undefined,
      mediaCame: nothing,
      newestMedia: nothing,
      cut: nothing,
    });
  }
  const wasActive = await isUnitOf(configDir, system);
  const held = await takeOver(configDir, system);
  try {
    const account = await copyHere(state, system, view).account();
    const tunnel = await openTunnel(state, configDir, account, system);
    try {
      // It says best why the old server does not let the copy in.
      await (await connectToOld(state, configDir, system)).close();
      const cut: CutOver = { state, configDir, copy };
      const compared = await comparison(cut, { saved, follows, rehearsal }, system, view);
      if (rehearsal) return comparedBeforehand(compared);
      // It connects again after whatever has followed so far: not while the old server is stopped.
      if (follows) await catchUp(cut, system);
      // A pass may have ended since.
      const media = await mediaBeside(target, system);
      return await noting(media, configDir, system, (begins) =>
        act({
          oldHost,
          media,
          begins,
          lines: describeCut(state, compared.main),
          mediaCame: () => hashMediaBeforehand(cut, { store: mediaDir, owner }, system, view),
          newestMedia: (receive) => withNewestMedia(configDir, mediaDir, receive, system),
          cut: (roles) => cutOver(cut, compared, { roles: [...roles] }, system, view),
        }),
      );
    } finally {
      await tunnel.close();
    }
  } finally {
    await held.release();
    if (wasActive) await letItGoOn(copy, target.systemdDir ?? SYSTEMD_DIR, system, view);
  }
}

/** Where systemd.unit(5) looks for units that an administrator makes. */
const SYSTEMD_DIR = "/etc/systemd/system";

/** The unit has a copy to keep until that is promoted, and nothing to do afterwards. */
async function letItGoOn(
  copy: FollowingCopy,
  systemdDir: string,
  system: System,
  view: ProgressView,
): Promise<void> {
  try {
    if (await copy.follows()) await startUnitAgain(system);
    else await removeUnit(systemdDir, system);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    view.note(`the unit of synlift follow could not be started again or removed: ${error.message}`);
  }
}

async function comparison(
  cut: CutOver,
  { saved, follows, rehearsal }: { saved: Compared | undefined; follows: boolean; rehearsal: boolean },
  system: System,
  view: ProgressView,
): Promise<Compared> {
  // It was promoted by a run before this one, after its comparison.
  if (!follows && saved && !rehearsal) return saved;
  if (!follows)
    throw new MigrationError("target-unsuitable", "the copy was promoted: it does not follow any more", {
      hint: "to go on with the cut-over, run the same command without --rehearse; to begin again: synlift follow stop, then synlift follow",
    });
  // A run that was killed may have left it paused.
  await cut.copy.resume();
  if (saved && !rehearsal && (await isComparisonUsable(cut, saved, system))) return saved;
  if (!rehearsal) view.note("all rows are compared with the old database first, while the old server runs");
  return compareBeforehand(cut, system, view);
}

async function followingState(configDir: string, system: System): Promise<FollowState> {
  const state = await readFollowState(configDir, system);
  if (state?.stage === "lost") throw new CopyLost(state);
  if (state && state.stage !== "preparing" && state.stage !== "copying") return state;
  const [why, hint] = state
    ? ["the copy is not complete yet", "wait until synlift follow status says that it follows"]
    : [
        `nothing follows the old server for ${configDir}`,
        "begin with synlift follow, or leave out --followed",
      ];
  throw new MigrationError("bad-usage", `--followed: ${why}`, { hint });
}

function describeCut({ road, here }: FollowState, compared: WholeComparison | undefined): string[] {
  const copy =
    here.kind === "standby" ? `the standby in ${here.data}` : `the subscription ${here.subscription}`;
  return [
    compared
      ? `on both hosts: all rows were compared on ${compared.at}; those of tables that were written to since are compared while the old server is stopped`
      : "on both hosts: all rows are compared first, while the old server runs; those of tables that are written to meanwhile again while it is stopped",
    `on this host: ${copy} gets what the old server has written last, is compared, and then ${road === "standby" ? "is promoted" : "is detached"}: it does not follow any more after that`,
    "on this host: the fence that has come with the log is lifted, and rows that are not moved are deleted (one-time keys, media of other servers)",
  ];
}

function comparedBeforehand({ main, state }: Compared): ComparedBeforehand {
  return {
    kind: "compared",
    at: main.at,
    position: main.position,
    findings: [
      comparedFinding("database", main),
      ...(state ? [comparedFinding("state database", state)] : []),
    ],
  };
}

function comparedFinding(which: string, { at, position, tables }: WholeComparison): Finding {
  const all = Object.entries(tables);
  const how = (wanted: (typeof all)[number][1]["how"]) => all.filter(([, one]) => one.how === wanted);
  const rows = all.reduce((sum, [, one]) => sum + one.rows, 0);
  return {
    id: "follow-compared",
    level: "ok",
    sentence: `the copy of the ${which} was compared with the old one on ${at}, from position ${position} on: ${formatCountOf(all.length, "table")} with ${formatCountOf(rows, "row")}; ${how("equal").length} are equal in all rows, ${how("settled").length} in all rows but those that came meanwhile, ${how("moved").length} were changed meanwhile, and differ by no more than that`,
    evidence: how("moved").map(([name]) => `${name}: compared again while the old server is stopped`),
  };
}
