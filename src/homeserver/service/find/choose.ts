import { resolve } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import { onThisHost, type PathPair } from "../../path-map.ts";
import { type ConfigSource, filesOfFolder } from "../../read.ts";
import { type FoundLaunches, type Launch, placesOf } from "./launch.ts";

/** What a person said, as far as they did. */
export interface GivenSource {
  /** `--config`, in order; none when the host is to be asked. Relative ones start at `workingFolder`, or else at `folder`. */
  readonly configPaths: readonly string[];
  readonly workingFolder?: string | undefined;
  /** None, too, leaves it to what the host says. */
  readonly map?: readonly PathPair[] | undefined;
  /** See `Homeserver`. */
  readonly databaseCommand?: readonly string[] | undefined;
  /** See `ConfigSource`. */
  readonly masConfig?: readonly string[] | undefined;
  /** Its authentication service is none of this move's business. */
  readonly withoutMas?: boolean;
  /** Where the person is. */
  readonly folder: string;
}

export interface ChosenSource {
  readonly source: ConfigSource;
  /** How this server is started, where this host says so. */
  readonly launch: Launch | undefined;
  readonly findings: readonly Finding[];
}

/**
 * Which configuration to read. What a person gave counts, and what this host says of the same server is held against it;
 * without it, the only server that runs here, or else the only one that is set up.
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

/** All launches of one server; those that agree on what `-c` names are told as one. */
interface Server {
  /** What runs now, or would. */
  readonly launch: Launch;
  /** Its configuration by real places on this host, as its `-c` are: for telling. */
  readonly places: readonly string[];
  /** The same, with the files of a folder instead of the folder: for comparing. */
  readonly read: readonly string[];
  /** A unit whose process runs with other files than the unit has. */
  readonly differing: Launch | undefined;
  readonly from: readonly string[];
}

async function serversOf(launches: readonly Launch[], files: Files): Promise<Server[]> {
  const servers: Server[] = [];
  const starters = new Set(launches.map(({ startedBy }) => startedBy));
  for (const launch of launches) {
    // Told together with the process that it started.
    if (launch.kind === "unit" && starters.has(launch.name)) continue;
    const places = await realPlaces(placesOf(launch), files);
    const read = await filesIn(places, files);
    const same = servers.findIndex((one) => equal(one.read, read));
    const before = servers[same];
    const differing = launches.find(({ name }) => name === launch.startedBy);
    const from = [...(before?.from ?? []), launch.from];
    if (!before) servers.push({ launch, places, read, differing, from });
    else
      servers[same] = {
        ...before,
        from,
        launch: rank(launch) > rank(before.launch) ? launch : before.launch,
      };
  }
  return servers;
}

const rank = ({ isRunning, comesBack }: Launch) => (isRunning ? 2 : 0) + (comesBack ? 1 : 0);

function fromHost(servers: readonly Server[], given: GivenSource): ChosenSource {
  const highest = Math.max(...servers.map(({ launch }) => rank(launch)));
  const [server, ...others] = servers.filter(({ launch }) => rank(launch) === highest);
  if (!server) {
    throw new MigrationError("config-unreadable", "there is no Synapse to be found on this host", {
      hint: "say what it is started with: --config FILE for each -c, in the same order",
    });
  }
  if (others.length > 0) {
    const list = [server, ...others].map(
      ({ launch, from }) => `\n- ${commandOf(launch)}: ${from.join("; ")}`,
    );
    throw new MigrationError(
      "config-unreadable",
      `there are several Synapses on this host:${list.join("")}`,
      {
        hint: "say which: --config FILE for each of its -c, in the same order",
      },
    );
  }
  const { launch } = server;
  const source = sourceOf(launch, given, launch.configPaths);
  return { source, launch, findings: [launchFinding(server), ...doubts(server)] };
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
  if (!server) return { source, launch: undefined, findings: [unknown(servers, places)] };
  const findings = equal(server.read, read) ? [launchFinding(server)] : [otherOrder(server, places)];
  return { source, launch: server.launch, findings: [...findings, ...doubts(server)] };
}

/** What a person gave wins, one by one. */
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
    ...(given.masConfig?.length ? { masConfig: given.masConfig } : {}),
  };
}

function launchFinding({ launch, from }: Server): Finding {
  const { account, isRunning, comesBack } = launch;
  return {
    id: "launch",
    level: "ok",
    sentence: `Synapse ${isRunning ? "runs" : "is set up"} with ${commandOf(launch)}`,
    evidence: [
      ...from.map((one) => `known from ${one}`),
      `runs in ${launch.workingFolder ?? "a folder that is not to be seen"}`,
      ...(account === undefined ? [] : [`runs as ${/^\d/.test(account) ? `user id ${account}` : account}`]),
      ...(comesBack ? ["comes back by itself after a reboot"] : []),
      ...launch.map.map(({ inside, outside }) => `${inside} in the container is ${outside} here`),
    ],
  };
}

const commandOf = (launch: Launch) =>
  placesOf(launch)
    .map((path) => `-c ${path}`)
    .join(" ");

function otherOrder(server: Server, places: readonly string[]): Finding {
  return {
    id: "config-order",
    level: "warning",
    sentence: `--config names ${places.join(", ")}, but Synapse is started with ${server.places.join(", ")}`,
    evidence: server.from.map((one) => `known from ${one}`),
    hint: "a later file replaces settings of an earlier one: give the same files and folders in the same order, or no --config at all",
  };
}

function unknown(servers: readonly Server[], places: readonly string[]): Finding {
  return {
    id: "launch",
    level: "note",
    sentence: `nothing on this host says that Synapse is started with ${places.join(", ")}`,
    evidence: servers.map(({ launch, from }) => `${commandOf(launch)}: ${from.join("; ")}`),
    hint: "make sure that these are all its files, in the order of its -c, and that --working-directory is where it runs",
  };
}

function doubts({ launch, differing }: Server): Finding[] {
  const findings: Finding[] = [];
  if (differing) {
    findings.push({
      id: "config-order",
      level: "warning",
      sentence: `Synapse runs with ${commandOf(launch)}, but ${differing.name} would start it with ${commandOf(differing)}`,
      evidence: [launch.from, differing.from],
      hint: "the unit was changed after the last start: restart the server and see that it is well before it is moved",
    });
  }
  if (launch.overrides.length > 0) {
    findings.push({
      id: "launch-override",
      level: "warning",
      sentence: `Synapse is started with ${launch.overrides.join(", ")}, which changes what its configuration says`,
      evidence: [launch.from],
      hint: "put it into the configuration: only what stands there travels",
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

/** Whether somebody names Debian's `conf.d` or the files in it makes no difference to Synapse. */
async function filesIn(places: readonly string[], files: Files): Promise<string[]> {
  const found: string[] = [];
  for (const place of places) {
    try {
      const isFolder = (await files.follow(place))?.kind === "folder";
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
