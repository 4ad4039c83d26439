import { join } from "node:path";
import { REPORT } from "../../bundle/layout.ts";
import { dropWorkingPassphrase, lockToMake } from "../../bundle/making-lock.ts";
import type { Manifest } from "../../bundle/manifest.ts";
import { seal } from "../../bundle/seal.ts";
import { enterWorkplace } from "../../bundle/workplace.ts";
import { keptFindings } from "../../homeserver/media/remote/origins.ts";
import { runSteps, runTogether, type StepsRun } from "../../journal/run-steps.ts";
import type { Step } from "../../journal/step.ts";
import type { Finding } from "../../report/finding.ts";
import { pageHtml } from "../../report/html.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { shellWord } from "../../system/shell-word.ts";
import type { System } from "../../system/system.ts";
import { PROGRAM } from "../../system/version.ts";
import { takeDown } from "../old-server/stop-and-fence.ts";
import { OUTAGE_SECTION, predictionOf, predictionWords } from "../outage/prediction.ts";
import { expectedStages } from "../outage/rehearsed.ts";
import { ExportClock, outageSince } from "./clock.ts";
import type { Packing, TimedStep } from "./context.ts";
import type { ExportLook } from "./look.ts";
import { keptIn, lostIn } from "./lost-servers.ts";
import { afterOpeningByHand } from "./opening-notes.ts";
import { keepPrediction, predictionOfJournal, predictOutage } from "./predict.ts";
import { exportPage } from "./report.ts";
import { downNow, mustHaveStayedDown, signsOf, sourceFindings } from "./source.ts";
import { readForPacking, stepsBeforeStop, stepsOnceDown } from "./steps.ts";
import { mustAgree } from "./stop-plan.ts";

export interface Sealed {
  readonly manifest: Manifest;
  readonly findings: readonly Finding[];
  /** Path of the report. */
  readonly report: string;
}

/**
 * Packs what can be packed while the server runs, stops and fences it, packs the rest, and seals the bundle.
 * What an earlier run finished is not repeated. Throws what its steps throw; finished steps are kept.
 */
export async function packHomeserver(look: ExportLook, system: System, view: ProgressView): Promise<Sealed> {
  const { files, machine, signal } = system;
  const { order, plan, recipients } = look;
  const { homeserver } = look.found;
  const { folder, rehearsal, accepted, partSize } = order;
  let source = look.source;
  const lock = await lockToMake(folder, { source: order.passphrase, recipients }, system, view);
  const place = await enterWorkplace({
    ...{ folder, subject: homeserver.serverName, rehearsal, partSize },
    ...{ lock, files, machine, progress: view },
  });
  const { journal, inventory } = place;
  const clock = new ExportClock(journal, machine, view);
  const run = async (steps: Iterable<TimedStep>) => {
    for (const { step, beside, piece } of steps) {
      const steps = { journal, progress: view, signal, now: () => machine.now() };
      const running = () => (beside ? runBeside(step, beside, steps) : runSteps([step], steps));
      await (piece === undefined ? running() : clock.time(piece, step.id, running));
    }
  };
  try {
    const inputs = placeInputs(inventory.id, partSize, recipients);
    const packing: Packing = {
      ...{ homeserver, place, folder, inputs, accepted, system },
      ...{ media: order.media, dumpFormat: order.dumpFormat, progress: view },
    };
    const read = await readForPacking(packing);
    const findings: Finding[] = [...look.findings, ...read.packed.findings];
    const serving = plan?.alive === true;
    await run(stepsBeforeStop(packing, read, source, serving));
    let predicted = predictionOfJournal(journal);
    if (plan) {
      if (plan.alive) {
        predicted = await predictOutage({ folder, homeserver, source }, journal, system, view);
        await mustAgree(plan, order.stop, predicted && predictionWords(predicted), system, view);
      } else await clock.foundDown(source.marker);
      const taken = {
        ...{ ...plan, homeserver, accepted },
        look: () => signsOf(homeserver, look.source, system),
        clock,
      };
      const down = () => takeDown(taken, system, view);
      findings.push(...(await (plan.alive ? clock.time("stop", "stop", down) : down())));
      source = await downNow(homeserver, source, keptIn(packing), system);
      await plan.record.setMarker(source.marker);
      if (predicted) inventory.setSection(OUTAGE_SECTION, predicted);
    }
    await run(stepsOnceDown(packing, source, serving));
    if (plan) await mustHaveStayedDown(homeserver, source, system);
    // Not a step: it is cheap, and it must read every artifact each time.
    const manifest = await clock.time("seal", "seal", () =>
      seal({
        ...{ folder, inventory, lock, files, now: machine.now() },
        subject: homeserver.serverName,
        program: PROGRAM,
        outageSince: rehearsal ? null : outageSince(journal),
        afterwards: afterOpeningByHand(source.database.engine, keptIn(packing)),
      }),
    );
    const rehearsed = rehearsal ? clock.rehearsed(source, inventory) : undefined;
    if (rehearsed)
      await keepPrediction(predictionOf("rehearsal", machine.now(), expectedStages(rehearsed)), journal);
    findings.push(
      ...keptFindings(lostIn(packing)),
      ...sourceFindings(homeserver, source, rehearsal),
      ...clock.findings(source, inventory, predicted),
    );
    const report = join(folder, REPORT);
    const pieces = rehearsal ? [] : clock.pieces(predicted);
    const page = exportPage({ manifest, inventory, findings, predicted, pieces, now: machine.now() });
    await files.writeWhole(report, pageHtml(page));
    await dropWorkingPassphrase(folder, files);
    return { manifest, findings, report };
  } catch (error) {
    if (plan && plan.record.standing.length > 0)
      view.note(
        `${plan.record.holds ? "the old server is fenced and cannot start" : "the old server may still be running; it is not fenced yet"}: run the same command again to continue, or undo the changes with synlift rollback --out ${shellWord(folder)}`,
      );
    throw error;
  } finally {
    await place.leave();
  }
}

/** Runs two steps that share the reading of the same files; when one has nothing to do, the other reads alone. */
const runBeside = (step: Step, { step: other, shared }: NonNullable<TimedStep["beside"]>, run: StepsRun) =>
  runTogether([step, other], run, {
    failed: (error) => {
      shared.fail(error);
    },
    skipped: (skipped) => {
      shared.leave(skipped === step ? "backup" : "archive");
    },
  });

/** Changing the part size or the recipients changes every artifact. */
const placeInputs = (bundle: string, partSize: number | undefined, recipients: readonly string[]) => ({
  bundle,
  split: partSize === undefined ? "whole" : String(partSize),
  ...(recipients.length === 0 ? {} : { recipients: recipients.join(" ") }),
});
