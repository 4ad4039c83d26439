import { MigrationError } from "../errors.ts";

/** Lines below a question, for people. */
export const asList = (lines: readonly string[]) => lines.map((line) => `\n  - ${line}`).join("");

export const SAY_YES = "say so with --yes, or run this in a terminal; --dry-run only looks";

export const nobodyToAsk = (whatFor: string, hint: string) =>
  new MigrationError("bad-usage", `there is nobody to ask whether this may be done: ${whatFor}`, { hint });
