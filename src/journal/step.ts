/**
 * One resumable piece of a migration.
 *
 * A run may be interrupted anywhere, so `run` must be safe to repeat: it completes, or
 * leaves nothing behind that looks complete.
 */
export interface Step {
  /** Stable across versions: it is the key in existing journals. */
  readonly id: string;
  /** For people: "database". */
  readonly label: string;
  /** What the outcome depends on. If it changed since the journal's entry, the step runs again. No secrets. */
  readonly inputs: Inputs;
  run(): Promise<Outcome>;
  /** Verifies that an earlier outcome still exists and is intact; if not, returns one sentence that says why. */
  findFault(outcome: Outcome): Promise<string | undefined>;
}

export type Inputs = Readonly<Record<string, string | number>>;

/** What the journal records of a step's result, as JSON. No secrets. */
export type Outcome = Readonly<Record<string, unknown>>;
