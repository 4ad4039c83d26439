import type { Progress } from "../system/progress.ts";
import type { Done, Journal } from "./journal.ts";
import type { Step } from "./step.ts";

export interface StepsRun {
  readonly journal: Journal;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** Runs what is not done yet, in order, and remembers it. What is done again says why. */
export async function runSteps(steps: readonly Step[], run: StepsRun): Promise<void> {
  for (const step of steps) if (await isDue(step, run)) await runStep(step, run);
}

/**
 * As `runSteps`, but all at the same time: for steps that read the same. When one fails the others are told by `failed`,
 * and waited for; then its error is thrown. `skipped` is called for each that is done already.
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
    progress.remark(step, "done already");
    return false;
  }
  progress.remark(step, `done again: ${why}`);
  // Forgotten first: a run that dies in the middle must not find an entry for what it was about to replace.
  await journal.forget(step.id);
  return true;
}

async function runStep(step: Step, { journal, now }: StepsRun): Promise<void> {
  const outcome = await step.run();
  await journal.record(step.id, step.inputs, outcome, now());
}

/** Why a step with such an entry is another one; undefined when it is not. */
export function changedInput(step: Pick<Step, "inputs">, done: Done): string | undefined {
  const names = new Set([...Object.keys(step.inputs), ...Object.keys(done.inputs)]);
  const changed = [...names].filter((name) => step.inputs[name] !== done.inputs[name]);
  return changed.length === 0 ? undefined : `${changed.join(" and ")} changed since it was made`;
}
