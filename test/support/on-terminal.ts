import { fileURLToPath } from "node:url";
import { spawn } from "@lydell/node-pty";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** Milliseconds. */
const PATIENCE = 120_000;

export interface OnTerminal {
  readonly columns?: number;
  /** Beside this process's own; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly folder?: string;
  /** Keys that are pressed once words are on the screen, after the terminal was resized to so many columns where they are given. */
  readonly keys?: readonly (readonly [seen: RegExp, keys: string, columns?: number])[];
  /** Program and arguments instead of synlift's own. */
  readonly program?: readonly [string, ...string[]];
}

/** Runs synlift on a terminal of its own, as a person does. `screen` is all that was written to it. */
export async function onTerminal(
  args: readonly string[],
  { columns = 80, env = {}, folder, keys = [], program }: OnTerminal = {},
): Promise<{ code: number; screen: string }> {
  const [command, ...first] = program ?? [process.execPath, MAIN];
  const all = {
    ...process.env,
    ...{ TERM: "xterm-256color", NO_COLOR: undefined, FORCE_COLOR: undefined, NODE_TEST_CONTEXT: undefined },
    ...env,
  };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  const terminal = spawn(command, [...first, ...args], {
    cols: columns,
    rows: 30,
    name: given["TERM"] ?? "dumb",
    env: given,
    ...(folder === undefined ? {} : { cwd: folder }),
  });
  let [screen, looked] = ["", 0];
  const open = [...keys];
  terminal.onData((text) => {
    screen += text;
    for (let [next] = open; next?.[0].test(screen.slice(looked)); [next] = open) {
      open.shift();
      looked = screen.length;
      if (next[2] !== undefined) terminal.resize(next[2], 30);
      terminal.write(next[1]);
    }
  });
  // Whoever waits for keys that are never pressed would wait for ever.
  const patience = setTimeout(() => {
    terminal.kill("SIGKILL");
  }, PATIENCE);
  const code = await new Promise<number>((resolve) => {
    terminal.onExit(({ exitCode, signal }) => {
      resolve(signal === undefined || signal === 0 ? exitCode : 128 + signal);
    });
  });
  clearTimeout(patience);
  if (open.length > 0) throw new Error(`never seen: ${open.map(([seen]) => seen).join()}\n${screen}`);
  return { code, screen };
}
