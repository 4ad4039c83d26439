import type { PathPair } from "../../../homeserver/path-map.ts";

export const LAYOUTS = ["debian", "pip", "compose"] as const;
export type LayoutName = (typeof LAYOUTS)[number];

/** A file that a layout needs besides the configuration. */
export interface LayoutFile {
  /** Absolute. */
  readonly path: string;
  readonly content: string;
  readonly mode: number;
  /** Of its folder, where that is not private. */
  readonly folderMode?: number;
  /** Whether an existing file is kept: a secret of an earlier run. */
  readonly keep?: boolean;
}

/** The owner of files: an account of this host, or only a user id that a container uses. */
export interface LayoutOwner {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** How Synapse is installed on the new host, and what starts it. */
export interface Layout {
  /** "own" for folders given by options. */
  readonly name: LayoutName | "own";
  readonly configDir: string;
  readonly mediaDir: string;
  readonly owner: LayoutOwner | undefined;
  /** Path mappings of a container; otherwise empty. */
  readonly map: readonly PathPair[];
  /** Units that must not start before `open` has passed. */
  readonly units: readonly string[];
  /** Path of the pid file, as Synapse sees it. */
  readonly pidFile: string | undefined;
  /** Folder of the log files, where that is another one than the configuration's. */
  readonly logFolder?: string | undefined;
  /** Whether a supervisor runs it, so that it must stay in the foreground. */
  readonly supervised: boolean;
  /** Whether there is only the main process. */
  readonly withoutWorkers: boolean;
  /** The listener's address in the configuration, where the layout decides it. */
  readonly listen: { readonly address: string; readonly port: number } | undefined;
  /** Its address from this host, where it differs from the listeners. */
  readonly url: string | undefined;
  readonly start: string | undefined;
  readonly stop: string | undefined;
}

/** What the files of a layout contain: known once the configuration is planned. */
export interface StartFacts {
  readonly serverName: string;
  /** What Synapse is given with `-c`, as it sees it. */
  readonly configPaths: readonly string[];
  /** The file that exists once the server is open, as its start script or unit sees it. */
  readonly opened: string;
}
