import { MigrationError } from "../errors.ts";

/** Lines as a bullet list below a question. */
export const bulletList = (lines: readonly string[]) => lines.map((line) => `\n  - ${line}`).join("");

export const CONSENT_HINT =
  "answer with --yes, or run this in a terminal; --dry-run only shows what would be done";

export const consentRequired = (whatFor: string, hint: string) =>
  new MigrationError("bad-usage", `this needs confirmation, and no terminal is attached: ${whatFor}`, {
    hint,
  });
