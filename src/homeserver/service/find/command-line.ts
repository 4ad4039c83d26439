import { resolve } from "node:path";

/** A Synapse command line, parsed. Paths are as written. */
export interface SynapseCommand {
  /** "synapse.app.homeserver" for the main process; a worker's is another. */
  readonly app: string;
  /** What `-c` names, in order. */
  readonly configPaths: readonly string[];
  /** The Python, or the console script of a virtual environment. */
  readonly program: string;
  /** `--keys-directory`: where the signing key is when no setting says so. */
  readonly keysFolder?: string;
  /** Options that override the configuration: `--database-path`, `--enable-registration`. */
  readonly overrides: readonly string[];
}

export const MAIN_APP = "synapse.app.homeserver";

/**
 * Reads the arguments of Synapse's main process, of a worker or of synctl, by the rules of Python's argparse and of
 * synapse/config/_base.py (`load_or_generate_config`). Undefined for any other program, and for a Synapse that only
 * writes a configuration or keys and ends.
 */
export function synapseCommand(args: readonly string[]): SynapseCommand | undefined {
  const [program] = args;
  if (program === undefined) return undefined;
  if (/(?:^|\/)(?:ba|da)?sh$/.test(program)) {
    const script = args.findIndex((arg) => /^-[a-z]*c$/.test(arg)) + 1;
    return script === 0 ? undefined : synapseCommand(withoutExec((args[script] ?? "").match(/\S+/g) ?? []));
  }
  for (const [position, arg] of args.entries()) {
    const rest = args.slice(position + 1);
    if (/(?:^|\/)synctl$/.test(arg)) return controlled(rest, program);
    const app = appOf(arg);
    // Python's `-m synapse.app.homeserver`, a path of the module, or a console script.
    if (app !== undefined) return started(app, rest, program);
  }
  return undefined;
}

function appOf(arg: string): string | undefined {
  const module = /^synapse\.app\.(\w+)$/.exec(arg) ?? /(?:^|\/)synapse\/app\/(\w+)\.py$/.exec(arg);
  if (module) return module[1] === "_base" ? undefined : `synapse.app.${module[1]!}`;
  const script = /(?:^|\/)synapse_(homeserver|worker)$/.exec(arg)?.[1];
  return script && (script === "worker" ? "synapse.app.generic_worker" : MAIN_APP);
}

/** Synapse options with a value, besides the two that are parsed. */
const WITH_VALUE = /^(?:-d|-H|--database-path|--server-name|--report-stats|--data-directory|--manhole)$/;
const ENDS_AT_ONCE = /^--generate-(?:config|keys|missing-configs)$/;
const OVERRIDES = /^(?:-d|--database-path|--enable-registration)(?:=|$)/;

function started(app: string, args: readonly string[], program: string): SynapseCommand | undefined {
  const configPaths: string[] = [];
  const overrides: string[] = [];
  let keysFolder: string | undefined;
  for (let position = 0; position < args.length; position++) {
    const arg = args[position]!;
    if (ENDS_AT_ONCE.test(arg)) return undefined;
    const [name, given] = optionOf(arg);
    if (OVERRIDES.test(arg)) overrides.push(name);
    if (name === "-c") configPaths.push(given ?? args[++position] ?? "");
    else if (name === "--keys-directory") keysFolder = given ?? args[++position];
    else if (given === undefined && WITH_VALUE.test(name)) position++;
  }
  const paths = configPaths.filter((path) => path !== "");
  return {
    app,
    configPaths: paths,
    program,
    overrides,
    ...(keysFolder === undefined ? {} : { keysFolder }),
  };
}

/** An option under its shortest name, and the value that is written together with it. */
function optionOf(arg: string): [name: string, value: string | undefined] {
  if (arg.startsWith("-c") && arg !== "-c") return ["-c", arg.slice(2).replace(/^=/, "")];
  const [name, ...value] = arg.split("=") as [string, ...string[]];
  // argparse accepts any unambiguous prefix of an option.
  const whole =
    name.length >= 10 && "--config-path".startsWith(name)
      ? "-c"
      : name === "--config-directory"
        ? "--keys-directory"
        : name;
  return [whole, value.length > 0 ? value.join("=") : undefined];
}

/** synapse/_scripts/synctl.py: `synctl start [CONFIG]`. */
function controlled(args: readonly string[], program: string): SynapseCommand | undefined {
  const plain: string[] = [];
  for (let position = 0; position < args.length; position++) {
    const arg = args[position]!;
    if (/^(?:-w|-a|--worker|--all-processes)$/.test(arg)) position++;
    else if (!arg.startsWith("-")) plain.push(arg);
  }
  const [action, config = "homeserver.yaml"] = plain;
  if (action !== "start" && action !== "restart") return undefined;
  return { app: MAIN_APP, configPaths: [config], program, overrides: [] };
}

const withoutExec = (words: readonly string[]) =>
  words.slice(words.lastIndexOf("exec") + 1).map((word) => word.replace(/^(["'])(.*)\1$/, "$2"));

/** Makes paths absolute from a process's working directory. Undefined when that is unknown and a path is relative. */
export function resolvePaths(paths: readonly string[], folder: string | undefined): string[] | undefined {
  if (folder === undefined) return paths.every((path) => path.startsWith("/")) ? [...paths] : undefined;
  return paths.map((path) => resolve(folder, path));
}
