// Completions for bash, zsh and fish. They are scripts with all in them: a Tab starts no program of ours.
import {
  type DescribedCommand,
  describedCommands,
  type DescribedOption,
  type ValueKind,
} from "./described.ts";

/** File name, as each shell wants it → script. */
export function completions(): ReadonlyMap<string, string> {
  return new Map([
    ["synlift.bash", bash()],
    ["_synlift", zsh()],
    ["synlift.fish", fish()],
  ]);
}

const optionsOf = ({ groups }: DescribedCommand) => groups.flatMap(({ options }) => options);
const namesOf = ({ long, short }: DescribedOption) => (short === undefined ? [long] : [short, long]);
const firstSentence = (sentence: string) => sentence.split(/(?<=\.) /)[0]!.replace(/\.$/, "");

/** What may follow each prefix of a command: "" → plan, media, …; "media" → check, export. */
function wordsAfter() {
  const { commands, groups } = describedCommands();
  const first = new Map<string, string>();
  for (const { name, summary } of commands) {
    const [word = "", second] = name.split(" ");
    first.set(
      word,
      second === undefined ? firstSentence(summary) : groups.find((group) => group.name === word)!.about,
    );
  }
  const inGroups = groups.map(({ name }) => ({
    name,
    words: commands
      .filter((command) => command.name.startsWith(`${name} `))
      .map((command) => [command.name.slice(name.length + 1), firstSentence(command.summary)] as const),
  }));
  return { first: [...first], inGroups };
}

function bash(): string {
  const { commands, general } = describedCommands();
  const { first, inGroups } = wordsAfter();
  const isCommand = (name: string) => commands.some((command) => command.name === name);
  const list = (words: readonly string[]) => words.join(" ");
  const valued = (kind: ValueKind) =>
    commands.flatMap((command) =>
      optionsOf(command)
        .filter(({ value }) => value === kind)
        .flatMap((option) => namesOf(option).map((name) => `'${command.name} ${name}'`)),
    );
  const cases = (kind: ValueKind, act: string) => {
    const found = valued(kind);
    return found.length === 0 ? [] : [`    ${found.join(" | \\\n      ")})`, `      ${act}; return ;;`];
  };
  return `# bash completion for synlift. Written by scripts/packaging from the commands' own descriptions.
_synlift() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command= argument= at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case \${COMP_WORDS[at]} in
      -*) break ;;
      *)
        case $command in
          '' | ${inGroups.map(({ name }) => name).join(" | ")}) command=\${command:+$command }\${COMP_WORDS[at]} ;;
          *) break ;;
        esac ;;
    esac
  done
  COMPREPLY=()
  case "$command $before" in
${[
  ...cases("file", 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$word")'),
  ...cases("folder", 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$word")'),
  ...cases("text", ":"),
].join("\n")}
  esac
  local words= folders=
  case $command in
    '') words='${list([...first.map(([word]) => word), ...general.flatMap(namesOf)])}' ;;
${inGroups
  .filter(({ name }) => !isCommand(name))
  .map(({ name, words }) => `    '${name}') words='${list(words.map(([word]) => word))}' ;;`)
  .join("\n")}
${commands
  .map((command) => {
    const folders = command.argument?.value === "folder" ? " folders=yes" : "";
    const below = inGroups.find(({ name }) => name === command.name)?.words.map(([word]) => word) ?? [];
    return `    '${command.name}') words='${list([...below, ...optionsOf(command).flatMap(namesOf)])}'${folders} ;;`;
  })
  .join("\n")}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ $folders && $word != -* ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$word")
  fi
}
complete -F _synlift synlift
`;
}

const ZSH_ACTIONS = {
  none: "",
  file: ":file:_files",
  folder: ":folder:_files -/",
  text: ":value: ",
} as const;

function zsh(): string {
  const { commands, groups, general } = describedCommands();
  const { first, inGroups } = wordsAfter();
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const inBrackets = (text: string) => text.replaceAll(/[[\]\\:]/g, "\\$&");
  const option = ({ long, short, about, value }: DescribedOption) =>
    namesOf({ long, short } as DescribedOption).map((name) =>
      quoted(`*${name}[${inBrackets(about)}]${ZSH_ACTIONS[value]}`),
    );
  const described = (words: readonly (readonly [string, string])[]) =>
    words.map(([word, about]) => quoted(`${word}:${about}`)).join(" ");
  const functionOf = (name: string) => `_synlift_${name.replaceAll(/[ -]/g, "_")}`;
  const specs = (command: DescribedCommand) => [
    ...optionsOf(command).flatMap(option),
    ...(command.argument ? [quoted(`1${ZSH_ACTIONS[command.argument.value]}`)] : []),
  ];
  const choice = (
    name: string,
    words: readonly (readonly [string, string])[],
    options: readonly string[],
  ) => `
${functionOf(name)}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${[...options, "'1: :->command'", "'*:: :->rest'"].join(" \\\n    ")}
  case $state in
    command) local -a words_here=(${described(words)}); _describe command words_here ;;
    rest)
      case $line[1] in
${words.map(([word]) => `        ${word}) ${functionOf(name === "" ? word : `${name} ${word}`)} ;;`).join("\n")}
      esac ;;
  esac
}`;
  const own = commands
    .filter(({ name }) => !groups.some((group) => group.name === name))
    .map(
      (command) => `\n${functionOf(command.name)}() {\n  _arguments ${specs(command).join(" \\\n    ")}\n}`,
    )
    .join("\n");
  return `#compdef synlift
# zsh completion for synlift. Written by scripts/packaging from the commands' own descriptions.
${own}
${groups
  .map(({ name }) =>
    choice(
      name,
      inGroups.find((group) => group.name === name)!.words,
      // A command that has others below it, too.
      commands
        .filter((command) => command.name === name)
        .flatMap(optionsOf)
        .flatMap(option),
    ),
  )
  .join("\n")}
${choice("", first, general.flatMap(option)).replace("_synlift_()", "_synlift()")}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _synlift "$@"; else compdef _synlift synlift; fi
`;
}

function fish(): string {
  const { commands, general } = describedCommands();
  const { first, inGroups } = wordsAfter();
  const quoted = (text: string) => `'${text.replaceAll(/[\\']/g, "\\$&")}'`;
  const VALUES = {
    none: "",
    file: " -r -F",
    folder: " -x -a '(__fish_complete_directories)'",
    text: " -x",
  } as const;
  const line = (command: string, rest: string) =>
    `complete -c synlift -n "__synlift_at ${command === "" ? "''" : `'${command}'`}" ${rest}`;
  const options = (command: string, all: readonly DescribedOption[]) =>
    all.map(({ long, short, about, value }) =>
      line(
        command,
        `-l ${long.slice(2)}${short === undefined ? "" : ` -s ${short.slice(1)}`}${VALUES[value]} -d ${quoted(about)}`,
      ),
    );
  const words = (command: string, all: readonly (readonly [string, string])[]) =>
    all.map(([word, about]) => line(command, `-a ${word} -d ${quoted(about)}`));
  return `# fish completion for synlift. Written by scripts/packaging from the commands' own descriptions.
function __synlift_at
    set -l words (commandline -opc)[2..]
    set -l at ''
    for word in $words
        string match -q -- '-*' $word; and break
        if test -z "$at"
            set at $word
        else if contains -- $at ${inGroups.map(({ name }) => name).join(" ")}
            set at "$at $word"
        else
            break
        end
    end
    test "$at" = "$argv[1]"
end
complete -c synlift -f
${[
  ...words("", first),
  ...options("", general),
  ...inGroups.flatMap((group) => words(group.name, group.words)),
  ...commands.flatMap((command) => [
    ...options(command.name, optionsOf(command)),
    ...(command.argument?.value === "folder"
      ? [line(command.name, "-a '(__fish_complete_directories)'")]
      : []),
  ]),
].join("\n")}
`;
}
