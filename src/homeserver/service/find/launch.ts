import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import { onThisHost, type PathPair } from "../../path-map.ts";

/** One way in which Synapse, or one of its workers, is or was started on this host. */
export interface Launch {
  readonly kind: "unit" | "container" | "process" | "default";
  /** Where this was learnt, for people: "the unit matrix-synapse.service". */
  readonly from: string;
  /** The unit's or container's own name. */
  readonly name: string;
  /** Of a container: its whole id. */
  readonly container?: string;
  /** Of a container: the program that runs it, "docker" or "podman". */
  readonly engine?: string;
  /** Of a process: whether it was told to leave its terminal, as synctl tells it. */
  readonly isDaemon?: boolean;
  /** Of a process: the name of the unit or container that it was started by, where that is known. */
  readonly startedBy?: string;
  readonly isRunning: boolean;
  /** Whether it comes back by itself: an enabled unit, a container with a restart policy. */
  readonly comesBack: boolean;
  /** Of the running process, where it is known. */
  readonly pid?: number;
  /** "synapse.app.homeserver"; another one is a worker. */
  readonly app: string;
  /** What `-c` names, in order, absolute, as Synapse sees them. */
  readonly configPaths: readonly string[];
  /** Where Synapse runs, as it sees it; undefined where nobody may know. */
  readonly workingFolder: string | undefined;
  /** Of a container: where its folders lie on this host. */
  readonly map: readonly PathPair[];
  readonly keysFolder?: string;
  /** Whom it runs as: a name, or a number. */
  readonly account: string | undefined;
  /** The program that runs Synapse, as Synapse sees it. */
  readonly program: string | undefined;
  /** Synapse's version, where a container's image says so. */
  readonly version?: string;
  /** Options with which it is started and that change what the configuration says. */
  readonly overrides: readonly string[];
}

export interface FoundLaunches {
  /** Of main processes. The same server may be there twice: as a unit, and as the process that it started. */
  readonly main: readonly Launch[];
  readonly workers: readonly Launch[];
  /** What could not be looked at. */
  readonly findings: readonly Finding[];
}

export interface LaunchSystem {
  readonly files: Files;
  readonly programs: Programs;
  readonly machine: Machine;
}

/** The configuration of a launch, by its places on this host. */
export function placesOf({ configPaths, map }: Launch): string[] {
  return configPaths.map((path) => onThisHost(path, map));
}
