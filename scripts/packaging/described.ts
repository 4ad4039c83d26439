// What the man pages and the completions are made of: the commands' own descriptions, as the help shows them.
import type { Command as Commander, Option as CommanderOption } from "commander";
import type { Entry } from "../../src/commands/command.ts";
import { COMMANDS } from "../../src/commands/index.ts";
import { commandLine } from "../../src/commands/menu.ts";

export interface DescribedOption {
  /** "--out <folder>", "-h, --help" */
  readonly flags: string;
  readonly about: string;
  /** "--out" */
  readonly long: string;
  /** "-h" */
  readonly short: string | undefined;
  readonly value: ValueKind;
}

/** What is typed behind an option or as an argument; "none" behind a switch. */
export type ValueKind = "none" | "file" | "folder" | "text";

export interface DescribedCommand {
  /** "plan", "media check" */
  readonly name: string;
  readonly summary: string;
  readonly example: string;
  /** "[options] <BUNDLE>" */
  readonly usage: string;
  readonly argument: { readonly name: string; readonly about: string; readonly value: ValueKind } | undefined;
  readonly groups: readonly { readonly heading: string; readonly options: readonly DescribedOption[] }[];
}

/** The commands that people start, and the groups that some of them belong to. */
export function describedCommands(): {
  readonly commands: readonly DescribedCommand[];
  readonly groups: readonly { readonly name: string; readonly about: string }[];
  readonly general: readonly DescribedOption[];
} {
  const quiet = { out: () => undefined, err: () => undefined };
  const menu = commandLine(COMMANDS, () => undefined, quiet);
  const shown = COMMANDS.filter(({ hidden }) => hidden !== true);
  const groups = [
    ...new Set(
      shown
        .map(({ name }) => name.split(" "))
        .flatMap(([first, second]) => (second === undefined ? [] : [first!])),
    ),
  ];
  return {
    commands: shown.map((entry) => described(entry, found(menu, entry.name))),
    groups: groups.map((name) => ({ name, about: found(menu, name).description() })),
    general: menu.createHelp().visibleOptions(menu).map(describedOption),
  };
}

function found(menu: Commander, name: string): Commander {
  let at = menu;
  for (const word of name.split(" ")) {
    const next = at.commands.find((command) => command.name() === word);
    if (!next) throw new Error(`the menu has no ${name}`);
    at = next;
  }
  return at;
}

function described({ name, summary, example, argument }: Entry, line: Commander): DescribedCommand {
  const groups = new Map<string, DescribedOption[]>();
  for (const option of line.createHelp().visibleOptions(line)) {
    const heading = (option.helpGroupHeading ?? "General:").replace(/:$/, "");
    groups.set(heading, [...(groups.get(heading) ?? []), describedOption(option)]);
  }
  return {
    name,
    summary,
    example,
    usage: line.usage(),
    argument: argument && { ...argument, value: kindOf(argument.name) },
    groups: [...groups].map(([heading, options]) => ({ heading, options })),
  };
}

function describedOption({
  flags,
  description,
  long,
  short,
  required,
  optional,
}: CommanderOption): DescribedOption {
  if (long == null) throw new Error(`${flags} has no long name`);
  const value = /[<[]([^>\]]+)/.exec(flags)?.[1] ?? "";
  return {
    flags,
    about: description,
    long,
    short: short ?? undefined,
    value: required || optional ? kindOf(value) : "none",
  };
}

function kindOf(name: string): ValueKind {
  if (/^(folder|bundle)$/i.test(name)) return "folder";
  return /file|path|python/i.test(name) ? "file" : "text";
}
