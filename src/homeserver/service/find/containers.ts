import { z } from "zod";
import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import { askProgram } from "../../../system/programs/ask.ts";
import { MAIN_APP, resolvePaths, synapseCommand } from "./command-line.ts";
import type { Launch, LaunchSystem } from "./launch.ts";

/** The fields of `docker inspect` and `podman inspect` that are used here. */
const Container = z.object({
  Id: z.string(),
  Name: z.string(),
  Path: z.string().default(""),
  Args: z.array(z.string()).nullish(),
  State: z.object({ Running: z.boolean().default(false), Pid: z.number().default(0) }).partial(),
  Config: z.object({
    Image: z.string().default(""),
    Env: z.array(z.string()).nullish(),
    WorkingDir: z.string().nullish(),
    User: z.string().nullish(),
    Labels: z.record(z.string(), z.string()).nullish(),
  }),
  HostConfig: z
    .object({ RestartPolicy: z.object({ Name: z.string() }).partial().nullish() })
    .partial()
    .nullish(),
  Mounts: z
    .array(z.object({ Source: z.string().default(""), Destination: z.string().default("") }))
    .nullish(),
});
type Container = z.infer<typeof Container>;

/** The Synapse containers of docker and podman, running or not. An engine that does not answer becomes a finding. */
export async function containerLaunches({
  programs,
}: Pick<LaunchSystem, "programs">): Promise<{ launches: Launch[]; findings: Finding[] }> {
  const launches: Launch[] = [];
  const findings: Finding[] = [];
  for (const engine of ["docker", "podman"]) {
    try {
      const list = await askProgram(engine, ["ps", "--all", "--quiet", "--no-trunc"], programs);
      const ids = (list ?? "").split(/\s+/).filter((id) => /^[0-9a-f]{12,64}$/.test(id));
      if (ids.length === 0) continue;
      const answer = await askProgram(engine, ["inspect", "--type", "container", ...ids], programs);
      launches.push(...containersIn(answer ?? "", engine).flatMap((one) => launchOf(one, engine)));
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code !== "program-failed") throw error;
      findings.push(engineUnreachable(engine, error.message));
    }
  }
  return { launches, findings };
}

/** Parsed one by one, so that an unexpected one does not hide the others. */
function containersIn(answer: string, engine: string): Container[] {
  let value: unknown;
  try {
    value = JSON.parse(answer);
  } catch {
    throw new MigrationError("program-failed", `${engine} inspect does not answer in JSON`);
  }
  return (Array.isArray(value) ? value : []).flatMap((one) => Container.safeParse(one).data ?? []);
}

function launchOf(container: Container, engine: string): Launch[] {
  const { Id, Path, Args, State, Config, HostConfig, Mounts } = container;
  const environment = new Map(
    (Config.Env ?? []).map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  const command = commandIn([Path, ...(Args ?? [])], Config.Image, environment);
  const workingFolder = Config.WorkingDir === "" ? "/" : (Config.WorkingDir ?? "/");
  const configPaths = command && resolvePaths(command.configPaths, workingFolder);
  if (!command || !configPaths || configPaths.length === 0) return [];
  const name = container.Name.replace(/^\//, "");
  const uid = environment.get("UID");
  const account = Config.User !== undefined && Config.User !== "" ? Config.User : (uid ?? "991");
  const policy = HostConfig?.RestartPolicy?.Name ?? "";
  const version = Config.Labels?.["org.opencontainers.image.version"] ?? tagOf(Config.Image);
  return [
    {
      kind: "container",
      from: `the ${engine} container ${name}`,
      name,
      container: Id,
      engine,
      isRunning: State.Running === true,
      startsAutomatically: policy !== "" && policy !== "no",
      ...(State.Running === true && State.Pid ? { pid: State.Pid } : {}),
      app: command.app,
      configPaths,
      workingFolder,
      map: (Mounts ?? [])
        .filter(({ Source, Destination }) => Source.startsWith("/") && Destination.startsWith("/"))
        .map(({ Source, Destination }) => ({ inside: Destination, outside: Source })),
      account: account ?? undefined,
      program: command.program,
      overrides: command.overrides,
      ...(command.keysFolder === undefined ? {} : { keysFolder: command.keysFolder }),
      ...(version === undefined ? {} : { version }),
    },
  ];
}

/** Both images begin with docker/start.py of Synapse's repository, which adds what it was not given. */
function commandIn(args: readonly string[], image: string, environment: ReadonlyMap<string, string>) {
  const direct = synapseCommand(args);
  if (direct && direct.configPaths.length > 0) return direct;
  const start = args.findIndex((arg) => /(?:^|\/)start\.py$/.test(arg));
  if (!direct && start === -1) return undefined;
  if (!direct && !isSynapse(image)) return undefined;
  const [mode = "run", ...rest] = args.slice(start + 1);
  // The other modes write a configuration and exit.
  if (start !== -1 && mode !== "run") return undefined;
  const app = environment.get("SYNAPSE_WORKER") ?? MAIN_APP;
  const given = rest.includes("-m") ? rest : ["-m", app, ...rest];
  const command = direct ?? synapseCommand(["python", ...given]);
  if (!command || command.configPaths.length > 0) return command;
  const folder = environment.get("SYNAPSE_CONFIG_DIR") ?? "/data";
  const path = environment.get("SYNAPSE_CONFIG_PATH") ?? `${folder}/homeserver.yaml`;
  return { ...command, configPaths: [path] };
}

/** "ghcr.io/element-hq/synapse:v1.160.0@sha256:…", a mirror of it, or an image built on it. */
const isSynapse = (image: string) => /(?:^|\/)[\w.-]*synapse(?:[:@]|$)/.test(image);

const tagOf = (image: string) => /:(v?\d+\.\d+[\w.]*)(?:@|$)/.exec(image)?.[1];

const engineUnreachable = (engine: string, why: string): Finding => ({
  id: `launch-${engine}`,
  level: "note",
  sentence: `containers were not inspected: ${why}`,
  hint: `if Synapse runs in a container, start ${engine} and run synlift as root, or give --config and --map INSIDE=OUTSIDE`,
});
