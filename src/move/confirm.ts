import { MigrationError } from "../errors.ts";

/** Lines as a bullet list below a question. */
export const asList = (lines: readonly string[]) => lines.map((line) => `\n  - ${line}`).join("");

export const SAY_YES =
  "answer with --yes, or run this in a terminal; --dry-run only shows what would be done";

export const nobodyToAsk = (whatFor: string, hint: string) =>
  new MigrationError("bad-usage", `this needs confirmation, and no terminal is attached: ${whatFor}`, {
    hint,
  });
