import { MigrationError } from "../errors.ts";
import type { Terminal } from "../system/terminal.ts";

/** Lines as a bullet list below a question. */
export const bulletList = (lines: readonly string[]) => lines.map((line) => `\n  - ${line}`).join("");

const CONSENT_HINT = "answer with --yes, or run this in a terminal; --dry-run only shows what would be done";

/** `bad-usage`: consent is required to `consequence`, and there is nobody to ask. */
export const consentRequired = (consequence: string, hint: string = CONSENT_HINT) =>
  new MigrationError("bad-usage", `this needs confirmation, and no terminal is attached: ${consequence}`, {
    hint,
  });

export interface Confirmation {
  /** The question as it is shown, with its consequences. */
  readonly question: string;
  /** The consequences in one sentence, for the error when no terminal is attached. */
  readonly consequence: string;
  /** How to consent without a terminal. */
  readonly hint?: string;
  /** The error when the answer is no: what was not done, and what to do now. */
  readonly otherwise: MigrationError;
}

/** Asks a person for consent. Throws `bad-usage` when no terminal is attached, and `otherwise` when the answer is no. */
export async function confirm(
  { question, consequence, hint, otherwise }: Confirmation,
  { terminal }: { readonly terminal: Pick<Terminal, "interactive" | "confirm"> },
): Promise<void> {
  if (!terminal.interactive) throw consentRequired(consequence, hint);
  if (!(await terminal.confirm(question))) throw otherwise;
}
