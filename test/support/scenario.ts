import { test, type TestContext } from "node:test";

type Defined = (name: string, act: (t: TestContext) => Promise<void> | void) => void;

/**
 * Tests of one scenario. A `step` starts from the state that the previous step left; a `check` changes nothing that
 * later tests need. When a step fails, the later tests are not run and name it, so that the failure shown is the cause.
 * When a check fails, the scenario continues.
 */
export function scenario(): { readonly step: Defined; readonly check: Defined } {
  let failed: string | undefined;
  const define =
    (isStep: boolean): Defined =>
    (name, act) => {
      test(name, async (t) => {
        if (failed !== undefined) {
          t.skip(`not reached, because this step failed: ${failed}`);
          return;
        }
        // Reset when it ends well: a step that the time limit cuts off stays the cause.
        if (isStep) failed = name;
        await act(t);
        if (isStep) failed = undefined;
      });
    };
  return { step: define(true), check: define(false) };
}
