import { test, type TestContext } from "node:test";

type Defined = (name: string, act: (t: TestContext) => Promise<void> | void) => void;

/**
 * Tests of one journey. A `station` begins where the station before it has ended; a `look` from there changes nothing that others need.
 * Where a station fails, what comes after it is not tried and says which one it was: the failure that is seen is the cause.
 * Where a look fails, the journey goes on.
 */
export function journey(): { readonly station: Defined; readonly look: Defined } {
  let broken: string | undefined;
  const define =
    (isStation: boolean): Defined =>
    (name, act) => {
      test(name, async (t) => {
        if (broken !== undefined) {
          t.skip(`not reached, as this failed: ${broken}`);
          return;
        }
        // Taken back when it ends well: one that is cut off by the time limit stays the cause.
        if (isStation) broken = name;
        await act(t);
        if (isStation) broken = undefined;
      });
    };
  return { station: define(true), look: define(false) };
}
