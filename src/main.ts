import { resolve } from "node:path";
import type { ChosenCommand } from "./commands/menu.ts";
import { exitCodeFor, Interrupted, MigrationError } from "./errors.ts";
import { errorJson, jsonLine, resultJson } from "./report/json.ts";
import { progressBars } from "./report/progress-bars.ts";
import { progressJson } from "./report/progress-json.ts";
import { progressLines } from "./report/progress-lines.ts";
import type { ProgressView } from "./report/progress-view.ts";
import { errorText, findingsText } from "./report/text.ts";
import { type Machine, realMachine } from "./system/machine.ts";
import { readLicences } from "./system/single-executable.ts";
import type { System } from "./system/system.ts";
import { realTerminal, type Terminal } from "./system/terminal.ts";
import type { TraceFile } from "./system/trace/trace-file.ts";
import { PROGRAM, VERSION } from "./system/version.ts";
import { limitHeapGrowth } from "./system/heap-growth.ts";

/** Builds the real system, runs a command, and turns the result or the error into text and an exit code. */
async function main(): Promise<number> {
  // Files that synlift or its child processes create are private, unless another mode is set explicitly.
  process.umask(0o077);
  const { stdin, stdout, stderr, env } = process;
  const terminal = realTerminal({ stdin, stdout, stderr, environment: env });
  const args = process.argv.slice(2);
  // What follows is loaded when it is needed: a machine asks for the version more often than anybody moves a homeserver.
  if (args.length === 1 && (args[0] === "--version" || args[0] === "-V")) {
    terminal.out(`${VERSION}\n`);
    return 0;
  }
  if (args.length === 1 && args[0] === "--licenses") {
    terminal.out(readLicences());
    return 0;
  }
  const [{ CommanderError }, { COMMANDS }, { commandLine }] = await Promise.all([
    import("commander"),
    import("./commands/index.ts"),
    import("./commands/menu.ts"),
  ]);
  let chosen: ChosenCommand | undefined;
  const json = args.includes("--json");
  try {
    const line = commandLine(
      COMMANDS,
      (choice) => (chosen = choice),
      json ? { out: terminal.out, err: () => undefined } : terminal,
    );
    // Alone at a terminal it says where one stands; a script that forgot its command is told so.
    await line.parseAsync(args.length === 0 && terminal.interactive ? ["standing"] : args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    const wrong = new MigrationError("bad-usage", error.message.replace(/^error: /, ""), {
      hint: "--help shows an example",
    });
    if (json) terminal.err(jsonLine(errorJson(wrong, Date.now())));
    return exitCodeFor(wrong);
  }
  return chosen ? run(chosen, terminal) : 0;
}

async function run({ entry, given }: ChosenCommand, terminal: Terminal): Promise<number> {
  limitHeapGrowth();
  const json = given["json"] === true;
  let folder: string;
  try {
    folder = process.cwd();
  } catch (cause) {
    const error = folderGone(cause);
    printError(error, json, terminal, Date.now());
    return exitCodeFor(error);
  }
  const machine = realMachine(process.pid, folder);
  const signal = stopSignal();
  const { realSystem } = await import("./system/real-system.ts");
  const { system, close } = realSystem({ machine, terminal, signal, environment: process.env });
  const shown = viewFor(json, terminal, machine);
  let trace: TraceFile | undefined;
  let view = shown;
  let ended: number | undefined;
  try {
    if (typeof given["trace"] === "string") {
      trace = await beginTrace(resolve(machine.folder, given["trace"]), entry.name, system);
      const { tracedView } = await import("./report/traced-view.ts");
      view = tracedView(shown);
    }
    const { opening, instead, brief, findings, details, lines, failure } = await entry.run(
      given,
      system,
      view,
    );
    view.stop();
    const exitCode = (ended = failure ? exitCodeFor(failure) : 0);
    if (json) terminal.out(jsonLine(resultJson({ command: entry.name, exitCode, findings, details })));
    else if (instead !== undefined) terminal.out(instead);
    else {
      const before = opening === undefined ? "" : `${opening}\n`;
      terminal.out(
        `${before}${findingsText(findings, terminal.results, brief)}${lines.map((line) => `${line}\n`).join("")}`,
      );
    }
    if (failure) printError(failure, json, terminal, machine.now());
    await terminal.flushed();
    if (!failure && terminal.outputClosed) throw outputClosed();
    return exitCode;
  } catch (error) {
    view.stop();
    printError(error, json, terminal, machine.now());
    return (ended = exitCodeFor(error));
  } finally {
    close();
    const lost = await trace?.close({ exitCode: ended ?? null });
    if (lost) view.note(`the trace could not be written: ${(lost.error as Error).message}`);
  }
}

/** Throws when the file cannot be made: it was asked for. What fails later only costs the trace. */
async function beginTrace(path: string, command: string, { files, machine }: System): Promise<TraceFile> {
  const { TraceFile } = await import("./system/trace/trace-file.ts");
  return TraceFile.begin(path, {
    files,
    pid: machine.pid,
    command,
    program: `${PROGRAM}, Node ${process.version}`,
    usage() {
      const { user, system } = process.cpuUsage();
      return { processor: (user + system) / 1000, memory: process.memoryUsage.rss() };
    },
  });
}

function viewFor(json: boolean, terminal: Terminal, machine: Machine): ProgressView {
  const every = (milliseconds: number, act: () => void) => {
    const timer = setInterval(act, milliseconds).unref();
    return () => {
      clearInterval(timer);
    };
  };
  const outlet = { write: terminal.err, clock: machine, repeat: every };
  if (json) return progressJson(outlet);
  if (!terminal.drawable) return progressLines(outlet);
  return progressBars({
    ...outlet,
    columns: () => terminal.columns,
    rows: () => terminal.rows,
    colour: terminal.colour,
  });
}

/** Milliseconds that a run has to clean up and end after it was asked to stop. */
const SHUTDOWN_TIMEOUT = 20_000;

/** The first signal asks the run to stop and clean up; a second one ends the process at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(name, () => {
      const reason = new Interrupted(name);
      controller.abort(reason);
      // Work that ignores the signal must not keep the process alive: a user pressed Ctrl-C, or the host shuts down.
      setTimeout(() => process.exit(exitCodeFor(reason)), SHUTDOWN_TIMEOUT).unref();
    });
  }
  return controller.signal;
}

function printError(error: unknown, json: boolean, terminal: Terminal, now: number): void {
  terminal.err(json ? jsonLine(errorJson(error, now)) : errorText(error, terminal));
  if (error instanceof MigrationError || error instanceof Interrupted || json) return;
  // An unexpected error is treated as a bug, and the stack trace is needed to find it.
  terminal.err(
    `this is a bug in ${PROGRAM}; please report it together with these lines:\n${error instanceof Error ? (error.stack ?? "") : ""}\n`,
  );
}

/** getcwd(3): ENOENT. */
const folderGone = (cause: unknown) =>
  new MigrationError("file-missing", "the folder in which this command was started no longer exists", {
    hint: "change to another folder, such as with cd /, then run the same command again",
    cause,
  });

const outputClosed = () =>
  new MigrationError(
    "output-closed",
    "the command succeeded, but standard output was closed before the result was written",
    {
      hint: "run synlift status or synlift verify to see the result again",
    },
  );

// What is built is a script, and a script has no top-level await. Until there is an answer, an end is no success.
process.exitCode = 1;
process.once("exit", endedTooSoon);
void main().then((exitCode) => {
  process.exitCode = exitCode;
  process.removeListener("exit", endedTooSoon);
});

/** Nothing was left to wait for, yet the run had not come to its end. */
function endedTooSoon(): void {
  process.stderr.write(`error: the run ended before it was complete; this is a bug in ${PROGRAM}\n`);
}
