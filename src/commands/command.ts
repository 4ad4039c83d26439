import type { z } from "zod";
import type { MigrationError } from "../errors.ts";
import type { Finding } from "../report/finding.ts";
import type { Json } from "../report/json.ts";
import type { ProgressView } from "../report/progress-view.ts";
import type { System } from "../system/system.ts";

/** A command of synlift. */
export interface Command<Options> {
  /** One word, or two for one of a group: "media check". */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** The positional argument: "BUNDLE". */
  readonly argument?: { readonly name: string; readonly about: string; readonly optional?: boolean };
  /** A second one, required. */
  readonly secondArgument?: { readonly name: string; readonly about: string };
  /** In the order of the help: what most people need comes first. */
  readonly options: readonly OptionGroup[];
  /** Started by synlift itself: left out of the list of commands. */
  readonly hidden?: boolean;
  /** One example, as it is typed. */
  readonly example: string;
  /** Throws `bad-usage`. */
  parse(given: Given): Options;
  /** Throws a `MigrationError` when it could not do its work; problems that it found are in the outcome. */
  run(options: Options, system: System, view: ProgressView): Promise<Outcome>;
}

export interface Option {
  /** As in help: "--config <path>", or "--rehearse" for a switch. */
  readonly flags: string;
  readonly about: string;
  /** May be given several times. */
  readonly many?: boolean;
  /** The command refuses to run without it. */
  readonly required?: boolean;
  /** What applies when it is left out, as text for people: "54320", "this host's". */
  readonly default?: string;
}

/** Options under one heading of the help. */
export interface OptionGroup {
  readonly heading: string;
  readonly options: readonly Option[];
}

/** A group that several commands have, with the schema that checks its options and the function that reads them. */
export interface SharedGroup<
  Shape extends z.ZodRawShape,
  Rest extends readonly unknown[],
  Result,
> extends OptionGroup {
  readonly schema: Shape;
  readonly read: (given: z.infer<z.ZodObject<Shape>>, ...rest: Rest) => Result;
}

/** Infers the types of a group. */
export const optionGroup = <Shape extends z.ZodRawShape, Rest extends readonly unknown[], Result>(
  group: SharedGroup<Shape, Rest, Result>,
): SharedGroup<Shape, Rest, Result> => group;

/** The text that the help and the pages show for an option. */
export const describeOption = ({ about, many, required, default: value }: Option): string => {
  const notes = [
    required ? "required" : undefined,
    many ? "repeatable" : undefined,
    value === undefined ? undefined : `default: ${value}`,
  ].filter((note) => note !== undefined);
  return notes.length === 0 ? about : `${about} (${notes.join("; ")})`;
};

/** The parsed command line, by the option's long name in camel case; the arguments as `argument` and `secondArgument`. */
export type Given = Readonly<Record<string, unknown>>;

export interface Outcome {
  readonly findings: readonly Finding[];
  /** For scripts; part of this command's contract. No secrets. */
  readonly details: Readonly<Record<string, Json>>;
  /** Text before the findings, ending with a line break: for what is too long for the end, where people look. */
  readonly opening?: string | undefined;
  /** The whole result in another format, in place of `opening`, findings and lines; ends with a line break. */
  readonly instead?: string | undefined;
  /** Whether to show only the sentence of `ok` findings, because there are many. */
  readonly brief?: boolean;
  /** Text after the findings, a line each. */
  readonly lines: readonly string[];
  /** Why the run is not a success although the command did its work; its code is the exit code. */
  readonly failure?: MigrationError | undefined;
}

/** A command in the menu, with the type of its options hidden. */
export interface Entry extends Pick<
  Command<unknown>,
  "name" | "summary" | "argument" | "secondArgument" | "options" | "example" | "hidden"
> {
  run(given: Given, system: System, view: ProgressView): Promise<Outcome>;
}

export const entry = <Options>(command: Command<Options>): Entry => ({
  ...command,
  run: async (given, system, view) => command.run(command.parse(given), system, view),
});
