import type { Progress } from "../system/progress.ts";
import { traced } from "../system/trace/trace.ts";
import { inputWords } from "./input-words.ts";
import type { CompletedStep, Journal } from "./journal.ts";
import type { Step } from "./step.ts";

export interface StepRunContext {
  readonly journal: Journal;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** Runs the steps that are not completed yet, in order, and records them. Reports why a completed step runs again. */
export async function runSteps(steps: readonly Step[], run: StepRunContext): Promise<void> {
  for (const step of steps) if (await isDue(step, run)) await runStep(step, run);
}

/**
 * As `runSteps`, but in parallel, for steps that read the same data. When one fails, `failed` is called so that the
 * others can stop; after all have ended, the first error is thrown. `skipped` is called for each completed step.
 */
export async function runStepsInParallel(
  steps: readonly Step[],
  run: StepRunContext,
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

async function isDue(step: Step, { journal, progress, signal }: StepRunContext): Promise<boolean> {
  signal.throwIfAborted();
  const done = journal.steps[step.id];
  if (!done) return true;
  const why = describeChangedInput(step, done) ?? (await step.findFault(done.outcome));
  if (why === undefined) {
    progress.remark(step, "already done");
    return false;
  }
  progress.remark(step, `running again: ${why}`);
  // The entry is removed first: after a crash the journal must not list a result that was being replaced.
  await journal.removeStep(step.id);
  return true;
}

async function runStep(step: Step, { journal, now }: StepRunContext): Promise<void> {
  const outcome = await traced("step", step.id, () => step.run());
  await journal.record(step.id, step.inputs, outcome, now());
}

/** Which inputs changed since the step was recorded, as text; undefined when none did. */
export function describeChangedInput(step: Pick<Step, "inputs">, done: CompletedStep): string | undefined {
  const names = new Set([...Object.keys(step.inputs), ...Object.keys(done.inputs)]);
  const changed = [...names].filter((name) => step.inputs[name] !== done.inputs[name]);
  return changed.length === 0 ? undefined : `${inputWords(changed).join(" and ")} changed since the last run`;
}
