import { Command as Commander, Option as CommanderOption } from "commander";
import { EXIT_CODES } from "../errors.ts";
import type { Terminal } from "../system/terminal.ts";
import { VERSION } from "../system/version.ts";
import { describeOption, type Entry, type Given } from "./command.ts";

export interface ChosenCommand {
  readonly entry: Entry;
  readonly given: Given;
}

/**
 * The command line of all commands, as commander understands it. `choose` is called with what was typed. Commander
 * throws a `CommanderError` for help, for the version, and for what it does not understand.
 */
export function commandLine(
  entries: readonly Entry[],
  choose: (chosen: ChosenCommand) => void,
  write: Pick<Terminal, "out" | "err">,
): Commander {
  const program = new Commander("synlift")
    .description("Moves a self-hosted Synapse homeserver to another host.")
    .version(VERSION)
    .enablePositionalOptions()
    .exitOverride()
    // Beside a long option 38 of 80 columns are left; with Commander's limit of 40, nothing would be wrapped.
    .configureHelp({ minWidthToWrap: 20 })
    .configureOutput({
      writeOut: write.out,
      writeErr: write.err,
      outputError: (text, put) => {
        put(text);
      },
    })
    .showHelpAfterError("(--help shows an example)")
    .addHelpText(
      "after",
      `\nExit codes: 0 for success, ${EXIT_CODES["bad-usage"]} for wrong usage; the others are in docs/exit-codes.md.`,
    );
  for (const entry of entries) {
    const [first = "", second] = entry.name.split(" ");
    const parent = second === undefined ? program : groupIn(program, first);
    parent.addCommand(lineOf(entry, choose), { hidden: entry.hidden === true });
  }
  inheritSettings(program);
  return program;
}

/** The group of commands with the same first word: "media" of "media check". */
function groupIn(program: Commander, name: string): Commander {
  const found = program.commands.find((command) => command.name() === name);
  if (found) return found;
  const group = new Commander(name)
    .description(GROUPS[name] ?? "")
    .showHelpAfterError("(--help shows what there is)");
  program.addCommand(group);
  return group;
}

const GROUPS: Readonly<Record<string, string>> = {
  media: "Check and fetch media.",
  delegation: "Show, write and check how clients and other servers find the homeserver.",
  "sign-out": "Sign every client out of the old address.",
};

/** Gives each command the exit, output and help settings of the program. */
function inheritSettings(program: Commander): void {
  for (const command of program.commands) {
    command.exitOverride().configureOutput(program.configureOutput()).configureHelp(program.configureHelp());
    inheritSettings(command);
  }
}

function lineOf(entry: Entry, choose: (chosen: ChosenCommand) => void): Commander {
  const command = new Commander(entry.name.split(" ").at(-1))
    .description(entry.summary)
    .showHelpAfterError("(--help shows an example)")
    // What follows the name of a command below is its own, also where both have an option of that name.
    .enablePositionalOptions();
  if (entry.argument) {
    const { name, about, optional = false } = entry.argument;
    command.argument(optional ? `[${name}]` : `<${name}>`, about);
  }
  if (entry.secondArgument) command.argument(`<${entry.secondArgument.name}>`, entry.secondArgument.about);
  for (const { heading, options } of entry.options)
    for (const described of options) {
      const option = new CommanderOption(described.flags, describeOption(described)).helpGroup(`${heading}:`);
      if (described.many)
        option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
      command.addOption(option);
    }
  command.optionsGroup("General:");
  command.option("--json", "events and result as JSON, a line each (docs/json.md)");
  command.helpOption("-h, --help", "display help for command");
  command.addHelpText("after", `\nExample:\n  ${entry.example}`);
  command.action(() => {
    const [argument, secondArgument] = command.args;
    choose({
      entry,
      given: {
        ...command.opts(),
        ...(argument === undefined ? {} : { argument }),
        ...(secondArgument === undefined ? {} : { secondArgument }),
      },
    });
  });
  return command;
}
