import type { MigrationError } from "../errors.ts";
import type { Finding } from "../report/finding.ts";
import type { Json } from "../report/json.ts";
import type { ProgressView } from "../report/progress-view.ts";
import type { System } from "../system/system.ts";

/** One thing that synlift can be told to do. */
export interface Command<Options> {
  /** One word, or two for one of a group: "media check". */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** What stands between the name and the options: "BUNDLE". */
  readonly argument?: { readonly name: string; readonly about: string; readonly optional?: boolean };
  readonly options: readonly Option[];
  /** One worked example, as it is typed, with what it does. */
  readonly example: string;
  /** Throws `bad-usage`. */
  parse(given: Given): Options;
  /** Throws a `MigrationError` when it could not do its work; what it found to be wrong is in the outcome. */
  run(options: Options, system: System, view: ProgressView): Promise<Outcome>;
}

export interface Option {
  /** As in help: "--config <path>", or "--rehearse" for a switch. */
  readonly flags: string;
  readonly about: string;
  /** May be given several times. */
  readonly many?: boolean;
}

/** What was typed, by the option's long name in camel case; the argument as `argument`. */
export type Given = Readonly<Record<string, unknown>>;

export interface Outcome {
  readonly findings: readonly Finding[];
  /** For scripts; part of this command's contract. No secrets. */
  readonly details: Readonly<Record<string, Json>>;
  /** For people, before the findings, ending with a line break: what is too long to stand at the end, where eyes are. */
  readonly opening?: string | undefined;
  /** There are so many findings that of good ones the sentence is enough for eyes. */
  readonly brief?: boolean;
  /** For people, after the findings. */
  readonly lines: readonly string[];
  /** Why this is no success although the command did its work: its code is the exit code. */
  readonly failure?: MigrationError | undefined;
}

/** A command as the menu holds it: its options are its own affair. */
export interface Entry extends Pick<
  Command<unknown>,
  "name" | "summary" | "argument" | "options" | "example"
> {
  run(given: Given, system: System, view: ProgressView): Promise<Outcome>;
}

export const entry = <Options>(command: Command<Options>): Entry => ({
  ...command,
  run: async (given, system, view) => command.run(command.parse(given), system, view),
});
