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
export async function runSteps(
  steps: readonly Step[],
  { journal, progress, signal, now }: StepsRun,
): Promise<void> {
  for (const step of steps) {
    signal.throwIfAborted();
    const done = journal.steps[step.id];
    if (done) {
      const why = changedInput(step, done) ?? (await step.check(done.outcome));
      if (why === undefined) {
        progress.remark(step.id, "done already");
        continue;
      }
      progress.remark(step.id, `done again: ${why}`);
      // Forgotten first: a run that dies in the middle must not find an entry for what it was about to replace.
      await journal.forget(step.id);
    }
    const outcome = await step.run();
    await journal.record(step.id, step.inputs, outcome, now());
  }
}

function changedInput(step: Step, done: Done): string | undefined {
  const names = new Set([...Object.keys(step.inputs), ...Object.keys(done.inputs)]);
  const changed = [...names].filter((name) => step.inputs[name] !== done.inputs[name]);
  return changed.length === 0 ? undefined : `${changed.join(" and ")} changed since it was made`;
}
