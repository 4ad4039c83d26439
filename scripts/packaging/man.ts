// Man pages, in the macros of man(7): synlift(1), and one for each command.
import { EXIT_CODES } from "../../src/errors.ts";
import { VERSION } from "../../src/system/version.ts";
import { ANY_COMMAND, BY_COMMAND, MEANINGS } from "../exit-code-meanings.ts";
import { type DescribedCommand, describedCommands, type DescribedOption } from "./described.ts";

/** File name → page. */
export function manPages(): ReadonlyMap<string, string> {
  const { commands, groups, general } = describedCommands();
  const pages = commands.map((command): [string, string] => [`${pageOf(command)}.1`, commandPage(command)]);
  const overview = [
    title("SYNLIFT"),
    section("NAME", ["synlift \\- move a self\\-hosted Synapse homeserver to another host"]),
    section("SYNOPSIS", [".B synlift", "[\\fIoptions\\fR] \\fIcommand\\fR"]),
    section("DESCRIPTION", [
      text(
        "The commands are listed in the order of a move. Each has a page of its own, and with --help an example.",
      ),
    ]),
    section(
      "COMMANDS",
      commands.flatMap((command) => item(`.B ${escaped(command.name)}`, command.summary)),
    ),
    section("OPTIONS", general.flatMap(optionItem)),
    section("EXIT STATUS", exitStatus(["bad-usage"])),
    section("SEE ALSO", [commands.map((command) => `.BR ${escaped(pageOf(command))} (1)`).join(",\n")]),
  ];
  if (groups.length === 0) throw new Error("found no group of commands");
  return new Map([["synlift.1", `${overview.join("\n")}\n`], ...pages]);
}

const pageOf = ({ name }: DescribedCommand) => `synlift-${name.replace(" ", "-")}`;

function commandPage(command: DescribedCommand): string {
  const { name, summary, usage, argument, groups, example } = command;
  const codes = BY_COMMAND[name];
  if (!codes) throw new Error(`scripts/exit-code-meanings.ts does not say how ${name} may end`);
  return `${[
    title(pageOf(command).toUpperCase()),
    section("NAME", [`${escaped(pageOf(command))} \\- ${escaped(firstSentence(summary))}`]),
    section("SYNOPSIS", [`.B synlift ${escaped(name)}`, text(usage)]),
    section("DESCRIPTION", [text(summary)]),
    ...(argument ? [section("ARGUMENT", item(`.I ${escaped(argument.name)}`, argument.about))] : []),
    section(
      "OPTIONS",
      groups.flatMap(({ heading, options }) => [`.SS ${escaped(heading)}`, ...options.flatMap(optionItem)]),
    ),
    section("EXAMPLE", [".nf", ".RS 4", text(example.replaceAll(/ (?=--)/g, " \\\n  ")), ".RE", ".fi"]),
    section("EXIT STATUS", exitStatus([...ANY_COMMAND, ...codes])),
    section("SEE ALSO", [".BR synlift (1)"]),
  ].join("\n")}\n`;
}

function exitStatus(names: readonly (keyof typeof EXIT_CODES)[]): string[] {
  const rows = [...new Set(names)].map((name) => item(`.B ${EXIT_CODES[name]}`, MEANINGS[name].means));
  return [
    ...item(".B 0", "Success."),
    ...rows.flat(),
    ".P",
    text("A command that a signal ended has 128 plus the signal's number."),
  ];
}

const firstSentence = (sentence: string) => sentence.split(/(?<=\.) |:/)[0]!.replace(/\.$/, "");
const title = (name: string) => `.TH ${escaped(name)} 1 "" "synlift ${VERSION}" "synlift"`;
const section = (name: string, lines: readonly string[]) => `.SH ${name}\n${lines.join("\n")}`;
const item = (tag: string, about: string) => [".TP", tag, text(about)];
const optionItem = ({ flags, about }: DescribedOption) => item(`.B ${escaped(flags)}`, about);

/** Lines of text; one that begins with a control character would be a macro. */
const text = (words: string) =>
  words
    .split("\n")
    .map((line) => escaped(line).replace(/^[.']/, "\\&$&"))
    .join("\n");

/** groff_char(7): what is to be typed keeps its plain characters. */
function escaped(words: string): string {
  return words
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("`", "\\(ga")
    .replaceAll("'", "\\(aq")
    .replaceAll("^", "\\(ha")
    .replaceAll("~", "\\(ti")
    .replaceAll('"', "\\(dq")
    .replaceAll(
      /[^\x20-\x7e]/gu,
      (letter) => `\\[u${letter.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`,
    );
}
