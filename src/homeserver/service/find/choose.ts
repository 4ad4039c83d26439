import { resolve } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import { onThisHost, type PathPair } from "../../path-map.ts";
import { type ConfigSource, filesOfFolder } from "../../read.ts";
import { type FoundLaunches, hostPathsOf, type Launch } from "./launch.ts";

/** The options that say where the configuration is. */
export interface GivenSource {
  /** `--config`, in order; empty to search this host. Relative paths start at `workingFolder`, or else at `folder`. */
  readonly configPaths: readonly string[];
  readonly workingFolder?: string | undefined;
  /** When empty, taken from what this host shows. */
  readonly map?: readonly PathPair[] | undefined;
  /** See `Homeserver`. */
  readonly databaseCommand?: readonly string[] | undefined;
  /** See `Homeserver`. */
  readonly databaseServer?: Readonly<Record<string, string>> | undefined;
  /** See `ConfigSource`. */
  readonly masConfig?: readonly string[] | undefined;
  /** Leave its authentication service out of the move. */
  readonly withoutMas?: boolean;
  /** The current directory. */
  readonly folder: string;
}

export interface ChosenSource {
  readonly source: ConfigSource;
  /** How this server is started, where known. */
  readonly launch: Launch | undefined;
  readonly findings: readonly Finding[];
}

/**
 * Which configuration to read: the given one, compared with what this host shows about the same server; or else the only
 * server that runs here, or the only one that is set up.
 *
 * Throws `config-unreadable` when there is none or more than one to choose from.
 */
export async function chooseSource(
  found: FoundLaunches,
  given: GivenSource,
  files: Files,
): Promise<ChosenSource> {
  const servers = await serversOf(found.main, files);
  const chosen =
    given.configPaths.length > 0 ? await fromGiven(servers, given, files) : fromHost(servers, given);
  return { ...chosen, findings: [...chosen.findings, ...found.findings] };
}

/** All launches of one server, that is, with the same configuration files. */
interface Server {
  /** What runs now, or would be started. */
  readonly launch: Launch;
  /** Its configuration paths on this host, links resolved, as given with `-c`: for display. */
  readonly places: readonly string[];
  /** The same, with the files of a folder instead of the folder: for comparing. */
  readonly read: readonly string[];
  /** A unit whose process runs with other files than the unit has. */
  readonly unitThatDiffers: Launch | undefined;
  readonly from: readonly string[];
}

async function serversOf(launches: readonly Launch[], files: Files): Promise<Server[]> {
  const servers: Server[] = [];
  const starters = new Set(launches.map(({ startedBy }) => startedBy));
  for (const launch of launches) {
    // Reported together with the process that it started.
    if (launch.kind === "unit" && starters.has(launch.name)) continue;
    const places = await realPlaces(hostPathsOf(launch), files);
    const read = await filesIn(places, files);
    const same = servers.findIndex((one) => equal(one.read, read));
    const before = servers[same];
    const differing = launches.find(({ name }) => name === launch.startedBy);
    const from = [...(before?.from ?? []), launch.from];
    if (!before) servers.push({ launch, places, read, unitThatDiffers: differing, from });
    else
      servers[same] = {
        ...before,
        from,
        launch: rank(launch) > rank(before.launch) ? launch : before.launch,
      };
  }
  return servers;
}

const rank = ({ isRunning, startsAutomatically }: Launch) =>
  (isRunning ? 2 : 0) + (startsAutomatically ? 1 : 0);

function fromHost(servers: readonly Server[], given: GivenSource): ChosenSource {
  const highest = Math.max(...servers.map(({ launch }) => rank(launch)));
  const [server, ...others] = servers.filter(({ launch }) => rank(launch) === highest);
  if (!server) {
    throw new MigrationError("config-unreadable", "no Synapse was found on this host", {
      hint: "give its configuration: --config FILE for each -c that it is started with, in the same order",
    });
  }
  if (others.length > 0) {
    const list = [server, ...others].map(
      ({ launch, from }) => `\n- ${commandOf(launch)}: ${from.join("; ")}`,
    );
    throw new MigrationError(
      "config-unreadable",
      `several Synapse servers were found on this host:${list.join("")}`,
      {
        hint: "choose one: --config FILE for each of its -c, in the same order",
      },
    );
  }
  const { launch } = server;
  const source = sourceOf(launch, given, launch.configPaths);
  return { source, launch, findings: [launchFinding(server), ...launchWarnings(server)] };
}

async function fromGiven(
  servers: readonly Server[],
  given: GivenSource,
  files: Files,
): Promise<ChosenSource> {
  const typed = given.configPaths.map((path) => resolve(given.workingFolder ?? given.folder, path));
  const places = await realPlaces(
    typed.map((path) => onThisHost(path, given.map ?? [])),
    files,
  );
  const read = await filesIn(places, files);
  const shared = (server: Server) => server.read.filter((path) => read.includes(path)).length;
  const server = [...servers]
    .sort((a, b) => shared(b) - shared(a) || rank(b.launch) - rank(a.launch))
    .find((one) => shared(one) > 0);
  const source = sourceOf(server?.launch, given, typed);
  if (!server) return { source, launch: undefined, findings: [unknownLaunch(servers, places)] };
  const findings = equal(server.read, read) ? [launchFinding(server)] : [otherOrder(server, places)];
  return { source, launch: server.launch, findings: [...findings, ...launchWarnings(server)] };
}

/** Each given option overrides what was found. */
function sourceOf(
  launch: Launch | undefined,
  given: GivenSource,
  configPaths: readonly string[],
): ConfigSource {
  return {
    configPaths,
    workingFolder: given.workingFolder ?? launch?.workingFolder ?? given.folder,
    map: given.map?.length ? given.map : (launch?.map ?? []),
    ...(launch?.keysFolder === undefined ? {} : { keysFolder: launch.keysFolder }),
    ...(given.databaseCommand ? { databaseCommand: given.databaseCommand } : {}),
    ...(given.databaseServer ? { databaseServer: given.databaseServer } : {}),
    ...(given.masConfig?.length ? { masConfig: given.masConfig } : {}),
  };
}

function launchFinding({ launch, from }: Server): Finding {
  const { account, isRunning, startsAutomatically } = launch;
  return {
    id: "launch",
    level: "ok",
    sentence: `Synapse ${isRunning ? "runs" : "is set up"} with ${commandOf(launch)}`,
    evidence: [
      ...from.map((one) => `known from ${one}`),
      `runs in ${launch.workingFolder ?? "an unknown folder"}`,
      ...(account === undefined ? [] : [`runs as ${/^\d/.test(account) ? `user id ${account}` : account}`]),
      ...(startsAutomatically ? ["starts automatically after a reboot"] : []),
      ...launch.map.map(({ inside, outside }) => `${inside} in the container is ${outside} here`),
    ],
  };
}

const commandOf = (launch: Launch) =>
  hostPathsOf(launch)
    .map((path) => `-c ${path}`)
    .join(" ");

function otherOrder(server: Server, places: readonly string[]): Finding {
  return {
    id: "config-order",
    level: "warning",
    sentence: `--config names ${places.join(", ")}, but Synapse is started with ${server.places.join(", ")}`,
    evidence: server.from.map((one) => `known from ${one}`),
    hint: "later files override earlier ones: give the same files and folders in the same order, or leave out --config",
  };
}

function unknownLaunch(servers: readonly Server[], places: readonly string[]): Finding {
  return {
    id: "launch",
    level: "note",
    sentence: `no Synapse on this host is known to be started with ${places.join(", ")}`,
    evidence: servers.map(({ launch, from }) => `${commandOf(launch)}: ${from.join("; ")}`),
    hint: "make sure that these are all its files, in the order of its -c, and that --working-directory is its working directory",
  };
}

function launchWarnings({ launch, unitThatDiffers }: Server): Finding[] {
  const findings: Finding[] = [];
  if (unitThatDiffers) {
    findings.push({
      id: "config-order",
      level: "warning",
      sentence: `Synapse runs with ${commandOf(launch)}, but ${unitThatDiffers.name} would start it with ${commandOf(unitThatDiffers)}`,
      evidence: [launch.from, unitThatDiffers.from],
      hint: "the unit was changed after the last start: restart the server and check that it works before moving it",
    });
  }
  if (launch.overrides.length > 0) {
    findings.push({
      id: "launch-override",
      level: "warning",
      sentence: `Synapse is started with ${launch.overrides.join(", ")}, which overrides its configuration`,
      evidence: [launch.from],
      hint: "set it in the configuration instead: command-line options are not moved",
    });
  }
  return findings;
}

async function realPlaces(paths: readonly string[], files: Files): Promise<string[]> {
  const places: string[] = [];
  for (const path of paths) {
    try {
      places.push(await files.real(path));
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      places.push(resolve(path));
    }
  }
  return places;
}

/** Expands folders: naming Debian's `conf.d` or the files in it makes no difference to Synapse. */
async function filesIn(places: readonly string[], files: Files): Promise<string[]> {
  const found: string[] = [];
  for (const place of places) {
    try {
      const isFolder = (await files.stat(place))?.kind === "folder";
      const inside = isFolder ? await filesOfFolder(place, (path) => path, files) : [place];
      found.push(...(await realPlaces(inside, files)));
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      found.push(place);
    }
  }
  return found;
}

const equal = (one: readonly string[], other: readonly string[]) =>
  one.length === other.length && one.every((path, position) => path === other[position]);
