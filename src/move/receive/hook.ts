import { MigrationError } from "../../errors.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import type { CompleteBundle } from "./inbox.ts";

/**
 * Runs the provider's command for one bundle after the other. Its environment says which: SYNLIFT_CUSTOMER, SYNLIFT_FOLDER,
 * SYNLIFT_BUNDLE, SYNLIFT_SUBJECT. `told` is called when it succeeded; otherwise it is run again at the next start.
 */
export function hookRunner(
  command: string | undefined,
  { programs }: Pick<System, "programs">,
  progress: Progress,
  told: (bundle: CompleteBundle) => Promise<void>,
): { readonly run: (bundle: CompleteBundle) => void; readonly idle: () => Promise<void> } {
  let turn = Promise.resolve();
  const act = async (bundle: CompleteBundle) => {
    const { customer, folder, bundle: id, subject } = bundle;
    progress.note(`${customer}: the bundle of ${subject} is complete in ${folder}`);
    if (command === undefined) {
      await told(bundle);
      return;
    }
    const env = {
      SYNLIFT_CUSTOMER: customer,
      SYNLIFT_FOLDER: folder,
      SYNLIFT_BUNDLE: id,
      SYNLIFT_SUBJECT: subject,
    };
    try {
      await programs.run({ name: "sh", args: ["-c", command], env });
      progress.note(`${customer}: the hook has ended well`);
      await told(bundle);
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      progress.note(`${customer}: the hook failed, and is run again at the next start: ${error.message}`);
    }
  };
  return {
    run: (bundle) => {
      turn = turn.then(() => act(bundle)).catch(() => undefined);
    },
    idle: () => turn,
  };
}
