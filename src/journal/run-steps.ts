import type { Progress } from "../system/progress.ts";
import type { Done, Journal } from "./journal.ts";
import type { Step } from "./step.ts";

export interface StepsRun {
  readonly journal: Journal;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** Runs the steps that are not completed yet, in order, and records them. Reports why a completed step runs again. */
export async function runSteps(steps: readonly Step[], run: StepsRun): Promise<void> {
  for (const step of steps) if (await isDue(step, run)) await runStep(step, run);
}

/**
 * As `runSteps`, but in parallel, for steps that read the same data. When one fails, `failed` is called so that the
 * others can stop; after all have ended, the first error is thrown. `skipped` is called for each completed step.
 */
export async function runTogether(
  steps: readonly Step[],
  run: StepsRun,
  { failed, skipped }: { failed: (error: unknown) => void; skipped: (step: Step) => void },
): Promise<void> {
  const due: Step[] = [];
  for (const step of steps) {
    if (await isDue(step, run)) due.push(step);
    else skipped(step);
  }
  const first: { error: unknown }[] = [];
  await Promise.all(
    due.map((step) =>
      runStep(step, run).catch((error: unknown) => {
        first.push({ error });
        failed(error);
      }),
    ),
  );
  if (first[0]) throw first[0].error;
}

async function isDue(step: Step, { journal, progress, signal }: StepsRun): Promise<boolean> {
  signal.throwIfAborted();
  const done = journal.steps[step.id];
  if (!done) return true;
  const why = changedInput(step, done) ?? (await step.check(done.outcome));
  if (why === undefined) {
    progress.remark(step, "already done");
    return false;
  }
  progress.remark(step, `running again: ${why}`);
  // The entry is removed first: after a crash the journal must not list a result that was being replaced.
  await journal.forget(step.id);
  return true;
}

async function runStep(step: Step, { journal, now }: StepsRun): Promise<void> {
  const outcome = await step.run();
  await journal.record(step.id, step.inputs, outcome, now());
}

/** Which inputs changed since the step was recorded, as text; undefined when none did. */
export function changedInput(step: Pick<Step, "inputs">, done: Done): string | undefined {
  const names = new Set([...Object.keys(step.inputs), ...Object.keys(done.inputs)]);
  const changed = [...names].filter((name) => step.inputs[name] !== done.inputs[name]);
  return changed.length === 0 ? undefined : `${changed.join(" and ")} changed since the last run`;
}
