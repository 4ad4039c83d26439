import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import type { ProcessInfo } from "../../../system/machine.ts";
import { resolvePaths, type SynapseCommand, synapseCommand } from "./command-line.ts";
import type { Launch, LaunchSystem } from "./launch.ts";

interface Processes {
  /** The launches known before, updated with whether they run. */
  readonly known: readonly Launch[];
  /** Processes that belong to none of them, and those that run with another configuration than their unit's. */
  readonly unmatched: readonly Launch[];
  readonly findings: readonly Finding[];
}

/** The running Synapse processes, each with its unit or container according to its control group. */
export async function processLaunches(
  { files, machine }: LaunchSystem,
  root: string,
  before: readonly Launch[],
): Promise<Processes> {
  const known = [...before];
  const alone: Launch[] = [];
  const lost: number[] = [];
  const contained: number[] = [];
  // If synlift itself runs in a container, all processes do, and the control group proves nothing.
  const weAreInside = CONTAINER.test(await textOf(join(root, `/proc/${machine.pid}/cgroup`), files));
  for (const running of machine.processes()) {
    const command = synapseCommand(running.args);
    // synctl exits after starting the server, and a shell around it is not the server.
    if (!command || running.args.some((arg) => arg.endsWith("synctl"))) continue;
    if (/(?:^|\/)(?:ba|da)?sh$/.test(running.args[0]!)) continue;
    const group = await textOf(join(root, `/proc/${running.pid}/cgroup`), files);
    const at = known.findIndex((launch) => isOf(launch, running, group));
    const owner = known[at];
    if (owner?.kind === "container") {
      const inside = insideOf(owner, running, command);
      if (inside?.app === owner.app) known[at] = { ...owner, configPaths: inside.configPaths };
      else if (inside) alone.push(inside);
      continue;
    }
    if (owner === undefined && !weAreInside && CONTAINER.test(group)) {
      contained.push(running.pid);
      continue;
    }
    const launch = await launchOf(running, command, owner, files, root);
    if (!launch) lost.push(running.pid);
    else if (owner && sameFiles(owner, launch)) known[at] = { ...owner, isRunning: true, pid: running.pid };
    else {
      if (owner) known[at] = { ...owner, isRunning: true };
      alone.push(launch);
    }
  }
  return { known, unmatched: alone, findings: [...unknownContainer(contained), ...lostFolder(lost)] };
}

function isOf({ kind, name, container, pid, app }: Launch, running: ProcessInfo, group: string): boolean {
  if (container !== undefined) return pid === running.pid || group.includes(container);
  return kind === "unit" && group.split(/[/\n]/).includes(name) && synapseCommand(running.args)?.app === app;
}

const sameFiles = (one: Launch, other: Launch) =>
  one.configPaths.map(trimmed).join("\n") === other.configPaths.map(trimmed).join("\n");

const trimmed = (path: string) => path.replace(/(?<=.)\/+$/, "");

const CONTAINER = /docker|libpod|kubepods|containerd|lxc|machine\.slice/;

/** A process in a container shows better what is read than the container's definition; a worker may run in it too. */
function insideOf(owner: Launch, { pid }: ProcessInfo, command: SynapseCommand): Launch | undefined {
  const configPaths = resolvePaths(command.configPaths, owner.workingFolder);
  if (configPaths === undefined || configPaths.length === 0) return undefined;
  const { app, program, overrides } = command;
  return {
    ...owner,
    app,
    program,
    overrides,
    configPaths,
    pid,
    from: `process ${pid} in ${owner.from}`,
    name: `process ${pid}`,
    startedBy: owner.name,
  };
}

async function launchOf(
  running: ProcessInfo,
  command: SynapseCommand,
  owner: Launch | undefined,
  files: Files,
  root: string,
): Promise<Launch | undefined> {
  // A daemon goes to "/" when it has read its configuration: relative paths did not start there.
  const daemon = running.folder === "/" && command.configPaths.some((path) => !path.startsWith("/"));
  const folder = daemon ? owner?.workingFolder : (running.folder ?? owner?.workingFolder);
  const configPaths = resolvePaths(command.configPaths, folder);
  if (configPaths === undefined || configPaths.length === 0) return undefined;
  const status = await textOf(join(root, `/proc/${running.pid}/status`), files);
  return {
    kind: "process",
    from: owner
      ? `the process ${running.pid}, which ${owner.name} started`
      : `the running process ${running.pid}`,
    name: `process ${running.pid}`,
    ...(owner ? { startedBy: owner.name } : {}),
    isRunning: true,
    ...(running.args.some((arg) => arg === "-D" || arg === "--daemonize") ? { isDaemon: true } : {}),
    startsAutomatically: owner?.startsAutomatically ?? false,
    pid: running.pid,
    app: command.app,
    configPaths,
    workingFolder: folder === "/" ? (owner?.workingFolder ?? folder) : folder,
    map: [],
    account: /^Uid:\s*(\d+)/m.exec(status)?.[1] ?? owner?.account,
    program: command.program,
    overrides: command.overrides,
    ...(command.keysFolder === undefined ? {} : { keysFolder: command.keysFolder }),
  };
}

function unknownContainer(pids: readonly number[]): Finding[] {
  if (pids.length === 0) return [];
  return [
    {
      id: "launch-container",
      level: "note",
      sentence: `a Synapse runs in a container that neither docker nor podman lists, as process ${pids.join(", ")}`,
      hint: "if it is the one to move: --config FILE for each of its files, and --map INSIDE=OUTSIDE for each of its folders",
    },
  ];
}

function lostFolder(pids: readonly number[]): Finding[] {
  if (pids.length === 0) return [];
  return [
    {
      id: "launch-working-directory",
      level: "note",
      sentence: `a Synapse was started with relative paths, and its working directory is unknown: process ${pids.join(", ")}`,
      hint: "run synlift as root, or give --config and --working-directory",
    },
  ];
}

async function textOf(path: string, files: Files): Promise<string> {
  try {
    return await files.readText(path);
  } catch (error) {
    // It has ended, or we may not look.
    if (error instanceof MigrationError) return "";
    throw error;
  }
}
