import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import { onThisHost, type PathPair } from "../../path-map.ts";

/** One way in which Synapse, or one of its workers, is or was started on this host. */
export interface Launch {
  readonly kind: "unit" | "container" | "process" | "default";
  /** Where this is known from, in words: "the unit matrix-synapse.service". */
  readonly from: string;
  /** The unit's or container's own name. */
  readonly name: string;
  /** Of a container: its whole id. */
  readonly container?: string;
  /** Of a container: the program that runs it, "docker" or "podman". */
  readonly engine?: string;
  /** Of a process: whether it was started with --daemonize, as synctl does. */
  readonly isDaemon?: boolean;
  /** Of a process: the name of the unit or container that it was started by, where that is known. */
  readonly startedBy?: string;
  readonly isRunning: boolean;
  /** Whether it starts automatically: an enabled unit, a container with a restart policy. */
  readonly startsAutomatically: boolean;
  /** Of the running process, where it is known. */
  readonly pid?: number;
  /** "synapse.app.homeserver"; another one is a worker. */
  readonly app: string;
  /** What `-c` names, in order, absolute, as Synapse sees them. */
  readonly configPaths: readonly string[];
  /** Synapse's working directory, as it sees it; undefined when unknown. */
  readonly workingFolder: string | undefined;
  /** Of a container: its path mappings. */
  readonly map: readonly PathPair[];
  readonly keysFolder?: string;
  /** The account it runs as: a name, or a user id. */
  readonly account: string | undefined;
  /** The program that runs Synapse, as Synapse sees it. */
  readonly program: string | undefined;
  /** Synapse's version, from the container's image. */
  readonly version?: string;
  /** Command-line options that override the configuration. */
  readonly overrides: readonly string[];
}

export interface FoundLaunches {
  /** Of main processes. The same server may be there twice: as a unit, and as the process that it started. */
  readonly main: readonly Launch[];
  readonly workers: readonly Launch[];
  /** What could not be inspected. */
  readonly findings: readonly Finding[];
}

export interface LaunchSystem {
  readonly files: Files;
  readonly programs: Programs;
  readonly machine: Machine;
}

/** The configuration paths of a launch on this host. */
export function hostPathsOf({ configPaths, map }: Launch): string[] {
  return configPaths.map((path) => onThisHost(path, map));
}
