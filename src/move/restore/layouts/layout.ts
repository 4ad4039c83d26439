import type { PathPair } from "../../../homeserver/path-map.ts";

export const LAYOUTS = ["debian", "pip", "compose"] as const;
export type LayoutName = (typeof LAYOUTS)[number];

/** A file that a layout wants beside the configuration. */
export interface LayoutFile {
  /** Absolute. */
  readonly path: string;
  readonly content: string;
  readonly mode: number;
  /** Of its folder, where that is not private. */
  readonly folderMode?: number;
  /** Whether it stays as it is when it is there already: a secret that was made before. */
  readonly keep?: boolean;
}

/** Whom files belong to; an account of this host, or only its number where a container knows it. */
export interface LayoutOwner {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** How Synapse is laid out on the new host, and who starts it. */
export interface Layout {
  /** "own" where a person has their own way. */
  readonly name: LayoutName | "own";
  readonly configDir: string;
  readonly mediaDir: string;
  readonly owner: LayoutOwner | undefined;
  /** Which folders Synapse sees under other names; none outside of containers. */
  readonly map: readonly PathPair[];
  /** Units that must not start before the server is proven. */
  readonly units: readonly string[];
  /** Where the process writes its number; as Synapse sees it. */
  readonly pidFile: string | undefined;
  /** Something keeps it running, so it stays in the foreground. */
  readonly supervised: boolean;
  /** There is the main process only. */
  readonly withoutWorkers: boolean;
  /** As the configuration is to have it, where the layout decides. */
  readonly listen: { readonly address: string; readonly port: number } | undefined;
  /** Where this host reaches it, where the listeners do not say. */
  readonly url: string | undefined;
  readonly start: string | undefined;
  readonly stop: string | undefined;
}

/** What the files of a layout name: known once the configuration is planned. */
export interface Started {
  readonly serverName: string;
  /** What Synapse is given with `-c`, as it sees it. */
  readonly configPaths: readonly string[];
  /** Which file says that the server is open; as whoever starts it sees it. */
  readonly opened: string;
}
