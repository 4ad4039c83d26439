import { join } from "node:path";
import { keysForExport, removeWorkingPassphrase } from "../../bundle/export-keys.ts";
import { REPORT, SENT } from "../../bundle/layout.ts";
import type { Manifest } from "../../bundle/manifest.ts";
import { seal } from "../../bundle/seal.ts";
import { openWorkspace } from "../../bundle/workspace.ts";
import { FIX_SEQUENCES } from "../../homeserver/database/fixes.ts";
import { removePrivateCopy } from "../../homeserver/database/sqlite/private-copy.ts";
import { quarantinedIn, quarantineFindings } from "../../homeserver/media/archive/quarantined.ts";
import { lossesIn } from "../../homeserver/media/losses.ts";
import { keptFindings } from "../../homeserver/media/remote/origins.ts";
import { runSteps, runStepsInParallel, type StepRunContext } from "../../journal/run-steps.ts";
import type { Step } from "../../journal/step.ts";
import { describeWarnings, type Finding } from "../../report/finding.ts";
import { pageHtml } from "../../report/html.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { PROGRAM } from "../../system/version.ts";
import { SendingParts } from "../../transfer/parts-leaving.ts";
import { Receipts } from "../../transfer/receipts.ts";
import { sendFindings } from "../carry/result-text.ts";
import { sendBundle } from "../carry/send.ts";
import { raiseSourceSequences } from "../old-server/raise-sequences.ts";
import { stopAndFence } from "../old-server/stop-and-fence.ts";
import { sayingWhatIsLeft } from "../interrupted.ts";
import { leftOfOldServer } from "../old-server/left.ts";
import { describePrediction, OUTAGE_SECTION, predictionOf } from "../outage/prediction.ts";
import { expectedStages } from "../outage/rehearsed.ts";
import { ExportClock, outageSince } from "./clock.ts";
import { confirmStop } from "./consent.ts";
import type { ExportContext, ExportStep } from "./context.ts";
import { dryRunFindings, type ExportLook, type ExportOrder, lookBeforeExport } from "./look.ts";
import { openingNotes } from "./opening-notes.ts";
import { keepPrediction, predictionOfJournal, predictOutage } from "./predict.ts";
import { exportPage } from "./report.ts";
import {
  assertStayedDown,
  findSourceActivity,
  readSourceWhenDown,
  sourceFindings,
  type SourceState,
} from "./source.ts";
import { readConfigToPack, stepsAfterStop, stepsBeforeStop } from "./steps.ts";
import { lostServersIn, mediaScopeOf } from "./unreachable-servers.ts";

/** What an export came to: all of it in the bundle's folder, or nothing was written. */
export type ExportResult =
  | {
      readonly kind: "already-sealed" | "sealed";
      readonly folder: string;
      readonly manifest: Manifest;
      readonly findings: readonly Finding[];
      /** Path of the report. */
      readonly report: string;
      /** Where its parts are, if they were sent as they were made. */
      readonly sentTo: string | undefined;
    }
  | {
      readonly kind: "dry-run";
      readonly folder: string;
      readonly findings: readonly Finding[];
      /** What would be done to the old server, a line each. */
      readonly wouldDo: readonly string[];
    };

/**
 * Packs a homeserver: what can be packed while it runs first; then it is stopped and fenced, the rest is packed, and the
 * bundle is sealed. A rehearsal stops nothing, and a dry run changes and writes nothing. What an earlier run into the
 * same folder finished is not repeated.
 *
 * Throws what the checks before the stop throw, while nothing is changed, and what the steps throw: finished steps are
 * kept.
 */
export function exportHomeserver(
  order: ExportOrder,
  system: System,
  view: ProgressView,
): Promise<ExportResult> {
  return sayingWhatIsLeft(
    () => lookAndPack(order, system, view),
    () => leftOfOldServer(order.folder, system),
  );
}

async function lookAndPack(order: ExportOrder, system: System, view: ProgressView): Promise<ExportResult> {
  const { folder } = order;
  const look = await lookBeforeExport(order, system, view);
  const sentTo = order.sendTo?.destination.address;
  if (look.kind === "already-sealed") {
    const { manifest } = look;
    const findings = [...look.findings, ...(await sendSealed(order, system, view))];
    return { kind: "already-sealed", folder, manifest, findings, report: join(folder, REPORT), sentTo };
  }
  const leaving = await openPartsLeaving(order, system, view);
  if (order.dryRun) {
    const findings = await dryRunFindings(look, system);
    return { kind: "dry-run", folder, findings, wouldDo: look.plan?.lines ?? [] };
  }
  return packAndSeal(look, leaving, system, view);
}

/** Connects to where the parts go, while nothing is changed yet. */
async function openPartsLeaving(
  { folder, sendTo, dryRun }: ExportOrder,
  { files, machine, signal }: System,
  progress: ProgressView,
): Promise<SendingParts | undefined> {
  if (!sendTo) return undefined;
  const receipts = await Receipts.open(join(folder, SENT), files);
  const host = { files, machine, signal, progress };
  const parts = new SendingParts(sendTo.destination, sendTo.persistence, receipts, host);
  await parts.assertUsable({ create: !dryRun });
  return parts;
}

/** Sends what is left of a sealed bundle; its manifest last. */
async function sendSealed(
  { folder, sendTo }: ExportOrder,
  system: System,
  view: ProgressView,
): Promise<Finding[]> {
  if (!sendTo) return [];
  return sendFindings(await sendBundle({ folder, ...sendTo, check: false, dryRun: false }, system, view));
}

/** Uploads of one kind that the report names; the result names the first of them. */
const NAMED_IN_REPORT = 1000;

async function packAndSeal(
  look: ExportLook,
  leaving: SendingParts | undefined,
  system: System,
  view: ProgressView,
): Promise<ExportResult> {
  const { files, machine, signal } = system;
  const { order, plan, recipients } = look;
  const { homeserver } = look.found;
  const { folder, rehearsal, accepted, partSize } = order;
  let source = look.source;
  const unknown = look.findings.filter(({ id }) => id === "machine-unknown");
  for (const { sentence, hint } of unknown) view.note(`${sentence}; ${hint ?? ""}`);
  for (const said of describeWarnings(source.remarks)) view.note(said);
  const lock = await keysForExport(folder, { source: order.passphrase, recipients }, system, view);
  const workspace = await openWorkspace({
    folder,
    subject: homeserver.serverName,
    rehearsal,
    partSize,
    keys: lock,
    files,
    machine,
    progress: view,
    leaving,
  });
  const { journal, inventory } = workspace;
  const clock = new ExportClock(journal, machine, view);
  const run = async (steps: Iterable<ExportStep>) => {
    for (const { step, concurrent, stage, prepare } of steps) {
      const steps = { journal, progress: view, signal, now: () => machine.now() };
      const running = async () => {
        await prepare?.();
        await (concurrent ? runConcurrently(step, concurrent, steps) : runSteps([step], steps));
      };
      await (stage === undefined ? running() : clock.time(stage, step.id, running));
    }
  };
  try {
    await removePrivateCopy(folder, files);
    const inputs = workspaceInputs(inventory.id, partSize, recipients, order.sendTo?.destination.address);
    const packing: ExportContext = {
      homeserver,
      workspace,
      folder,
      inputs,
      accepted,
      media: order.media,
      dumpFormat: order.dumpFormat,
      progress: view,
      system,
    };
    const read = await readConfigToPack(packing);
    const findings: Finding[] = [...look.findings, ...read.packed.findings];
    const serving = plan?.alive === true;
    await run(stepsBeforeStop(packing, read, source, serving));
    let predicted = predictionOfJournal(journal);
    if (plan) {
      if (plan.alive) {
        predicted = await predictOutage({ folder, homeserver, source }, journal, system, view);
        await confirmStop(plan, order.stop, predicted && describePrediction(predicted), system, view);
      } else await clock.recordAlreadyDown(source.marker);
      const stop = {
        ...plan,
        homeserver,
        accepted,
        look: () => findSourceActivity(homeserver, look.source, system),
        clock,
      };
      const down = () => stopAndFence(stop, system, view);
      findings.push(...(await (plan.alive ? clock.time("stop", "stop", down) : down())));
      // Before the state of the database is read: it changes the database.
      const raise = order.fixes.includes(FIX_SEQUENCES);
      findings.push(...(await raiseSourceSequences(source.database, raise, system)));
      source = await readSourceWhenDown(source, system);
      await plan.record.setMarker(source.marker);
      if (predicted) inventory.setSection(OUTAGE_SECTION, predicted);
    }
    const keepMedia = (media: SourceState["media"]) => (source = { ...source, media });
    await run(stepsAfterStop(packing, source, serving, keepMedia));
    if (plan) await assertStayedDown(homeserver, source, system);
    // Not a step: it is cheap, and it must read every artifact each time.
    const manifest = await clock.time("seal", "seal", () =>
      seal({
        folder,
        inventory,
        keys: lock,
        encryption: workspace.encryption,
        files,
        now: machine.now(),
        subject: homeserver.serverName,
        program: PROGRAM,
        outageSince: rehearsal ? null : outageSince(journal),
        afterwards: openingNotes(source.database.engine, mediaScopeOf(packing)),
      }),
    );
    const rehearsed = rehearsal ? clock.rehearsed(source, inventory) : undefined;
    if (rehearsed)
      await keepPrediction(predictionOf("rehearsal", machine.now(), expectedStages(rehearsed)), journal);
    findings.push(
      ...keptFindings(lostServersIn(packing)),
      ...sourceFindings(homeserver, source, rehearsal),
      ...clock.findings(source, inventory, predicted),
    );
    const { serverName } = homeserver;
    const aboutMedia = (shown?: number) => [
      ...lossesIn(inventory, shown),
      ...quarantineFindings(quarantinedIn(inventory), serverName, { shown }),
    ];
    const report = join(folder, REPORT);
    const pieces = rehearsal ? [] : clock.pieces(predicted);
    const page = exportPage({
      manifest,
      inventory,
      findings: [...findings, ...aboutMedia(NAMED_IN_REPORT)],
      predicted,
      pieces,
      now: machine.now(),
    });
    await files.writeAtomically(report, pageHtml(page));
    findings.push(...(await sendSealed(order, system, view)));
    await removeWorkingPassphrase(folder, files);
    return {
      kind: "sealed",
      folder,
      manifest,
      findings: [...findings, ...aboutMedia()],
      report,
      sentTo: order.sendTo?.destination.address,
    };
  } catch (error) {
    if (plan && plan.record.activeChanges.length > 0)
      view.note(
        `${plan.record.preventsStart ? "the old server is fenced and cannot start" : "the old server may still be running; it is not fenced yet"}: run the same command again to continue, or undo the changes with synlift rollback --out ${quoteShellWord(folder)}`,
      );
    throw error;
  } finally {
    await leaving?.close();
    await workspace.close();
  }
}

/** Runs two steps that share the reading of the same files; when one has nothing to do, the other reads alone. */
const runConcurrently = (
  step: Step,
  { step: other, shared }: NonNullable<ExportStep["concurrent"]>,
  run: StepRunContext,
) =>
  runStepsInParallel([step, other], run, {
    failed: (error) => {
      shared.fail(error);
    },
    skipped: (skipped) => {
      shared.leave(skipped === step ? "backup" : "archive");
    },
  });

/** Changing the part size or the recipients changes every artifact; changing the remote leaves them elsewhere. */
const workspaceInputs = (
  bundle: string,
  partSize: number | undefined,
  recipients: readonly string[],
  sentTo: string | undefined,
) => ({
  bundle,
  split: partSize === undefined ? "whole" : String(partSize),
  ...(recipients.length === 0 ? {} : { recipients: recipients.join(" ") }),
  ...(sentTo === undefined ? {} : { "sent to": sentTo }),
});
