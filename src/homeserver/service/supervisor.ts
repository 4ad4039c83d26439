import { dirname, join } from "node:path";
import { z } from "zod";
import type { Files } from "../../system/files/files.ts";
import type { Programs } from "../../system/programs/programs.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { Homeserver } from "../homeserver.ts";
import { unitsOfMas } from "../mas/find.ts";
import { settingAt } from "../settings.ts";
import type { FoundLaunches, Launch } from "./find/launch.ts";
import { belongsToServer } from "./find/workers.ts";

/** What starts and stops a server on its host. Saved in the fence record, so it contains no secret. */
export const supervisorSchema = z.discriminatedUnion("kind", [
  /** systemd, the main unit first. */
  z.object({ kind: z.literal("units"), units: z.array(z.string()) }),
  z.object({ kind: z.literal("containers"), engine: z.string(), containers: z.array(z.string()) }),
  /** Synapse's own synctl, run in that folder and as that account (a name or a number). */
  z.object({
    kind: z.literal("synctl"),
    program: z.string(),
    config: z.string(),
    folder: z.string(),
    account: z.string().nullable(),
  }),
  /** Commands given by options. The stop command is not saved: it is not needed again. */
  z.object({ kind: z.literal("commands"), stop: z.string().optional(), start: z.string().nullable() }),
  z.object({ kind: z.literal("person") }),
]);

export type Supervisor = z.infer<typeof supervisorSchema>;

/** Options that take precedence over what is found. */
export interface SupervisorOptions {
  readonly unit: readonly string[];
  readonly container: readonly string[];
  readonly stopCommand?: string | undefined;
  readonly startCommand?: string | undefined;
}

/** What will stop this server: given by options, or else what it was started by. */
export async function findSupervisor(
  given: SupervisorOptions,
  homeserver: Homeserver,
  { launch, launches }: { launch: Launch | undefined; launches: FoundLaunches },
  { programs, files }: { programs: Programs; files: Files },
): Promise<Supervisor> {
  if (given.stopCommand !== undefined)
    return { kind: "commands", stop: given.stopCommand, start: given.startCommand ?? null };
  if (given.unit.length > 0) return { kind: "units", units: given.unit.map(withEnding) };
  if (given.container.length > 0) {
    const engine = (await programs.find("docker")) === undefined ? "podman" : "docker";
    return { kind: "containers", engine, containers: [...given.container] };
  }
  if (!launch) return { kind: "person" };
  const all = [launch, ...launches.workers.filter((one) => belongsToServer(one, homeserver, launches))];
  const units = all.flatMap(unitOf);
  if (unitOf(launch).length > 0) {
    // It writes to its own database, and to the homeserver.
    const service = homeserver.mas ? await unitsOfMas(homeserver.mas, files) : [];
    return { kind: "units", units: [...new Set([...units, ...service])] };
  }
  if (launch.container !== undefined) {
    const containers = all.flatMap((one) => (one.container === undefined ? [] : [one.startedBy ?? one.name]));
    return { kind: "containers", engine: launch.engine ?? "docker", containers: [...new Set(containers)] };
  }
  return (await synctlOf(launch, homeserver, files)) ?? { kind: "person" };
}

function unitOf({ kind, name, startedBy }: Launch): string[] {
  if (kind === "unit") return [name];
  return startedBy?.endsWith(".service") === true ? [startedBy] : [];
}

/** synctl takes one configuration, finds the process by its pid file, and starts it as a daemon (synapse/_scripts/synctl.py). */
async function synctlOf(
  launch: Launch,
  { settings }: Homeserver,
  files: Files,
): Promise<Supervisor | undefined> {
  const daemon = launch.isDaemon === true || settingAt(settings, "daemonize") === true;
  const [config, ...more] = launch.configPaths;
  if (!daemon || !config || more.length > 0 || launch.workingFolder === undefined) return undefined;
  if (typeof settingAt(settings, "pid_file") !== "string" || !launch.program?.startsWith("/"))
    return undefined;
  const program = join(dirname(launch.program), "synctl");
  if (!(await files.stat(program))) return undefined;
  const { workingFolder: folder, account = null } = launch;
  return { kind: "synctl", program, config, folder, account };
}

const withEnding = (unit: string) => (/\.[a-z]+$/.test(unit) ? unit : `${unit}.service`);

/** How the server will be stopped, in words. */
export function describeStop(supervisor: Supervisor): string {
  switch (supervisor.kind) {
    case "units":
      return `systemctl stop ${supervisor.units.join(" ")}`;
    case "containers":
      return `${supervisor.engine} stop ${supervisor.containers.join(" ")}`;
    case "synctl":
      return `synctl stop ${quoteShellWord(supervisor.config)}`;
    case "commands":
      return "the command given with --stop-command";
    case "person":
      return "you, the way you started it";
  }
}
