import { MigrationError } from "../../errors.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { bulletList, confirm } from "../confirm.ts";
import type { GivenStop, StopPlan } from "./stop-plan.ts";

/**
 * Asks for consent to the outage, or only announces what will happen when --yes was given. `expected` is the predicted
 * outage in words. Throws `homeserver-running` when the answer is no: then nothing was changed.
 */
export async function confirmStop(
  { alive, lines }: StopPlan,
  { yes }: Pick<GivenStop, "yes">,
  expected: string | undefined,
  { terminal }: Pick<System, "terminal">,
  progress: Pick<Progress, "note">,
): Promise<void> {
  if (!alive) return;
  const all = [...lines, ...(expected === undefined ? [] : [expected])];
  if (yes) {
    for (const line of all) progress.note(`now: ${line}`);
    return;
  }
  await confirm(
    {
      question: `The outage starts now and lasts until the new server is open:${bulletList(all)}\nUntil then, synlift rollback undoes everything. Continue?`,
      consequence: all.join("; "),
      otherwise: new MigrationError("homeserver-running", "the server was not stopped: you answered no", {
        hint: "it keeps running, and nothing was changed; what is packed is kept: run the same command again later",
      }),
    },
    { terminal },
  );
}
