/**
 * One resumable piece of a migration.
 *
 * A run may stop anywhere, so `run` must be safe to call again: it finishes, or
 * leaves nothing behind that could pass for finished work.
 */
export interface Step {
  /** Stable across versions: it is the key in people's journals. */
  readonly id: string;
  /** For people: "database". */
  readonly label: string;
  /** What the outcome depends on. If it changed since the journal's entry, the step runs again. No secrets. */
  readonly inputs: Inputs;
  run(): Promise<Outcome>;
  /** Looks whether an earlier outcome is still there and whole; if not, one sentence that says what is wrong with it. */
  check(outcome: Outcome): Promise<string | undefined>;
}

export type Inputs = Readonly<Record<string, string | number>>;

/** What a step remembers of its result, as JSON. No secrets. */
export type Outcome = Readonly<Record<string, unknown>>;
