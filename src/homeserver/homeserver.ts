import type { PostgresAddress } from "../system/postgres/call.ts";
import type { PathPair } from "./path-map.ts";

/** A Synapse on this host as its configuration describes it. Only `read.ts` creates it, after validation; nothing validates it again. */
export interface Homeserver {
  readonly serverName: string;
  /** What `-c` was given, absolute, in order: files and folders. */
  readonly configPaths: readonly string[];
  /** The files that were read, in the order in which Synapse merges them. */
  readonly configFiles: readonly ConfigFile[];
  /** The merged top-level settings as Synapse sees them: later files replace whole top-level keys. */
  readonly settings: Settings;
  /** Synapse's `config_dir_path`: the folder of the last `-c`, or that itself when it is a folder. */
  readonly configFolder: string;
  /** Where Synapse's process runs: relative paths in the configuration start here. */
  readonly workingFolder: string;
  /** Paths that differ between Synapse's container and this host. All paths in this object are paths on this host. */
  readonly map: readonly PathPair[];
  readonly signingKey:
    { readonly kind: "file"; readonly path: string } | { readonly kind: "inline"; readonly text: string };
  readonly database: DatabaseSetting;
  /** The command prefix that runs PostgreSQL's programs where they can reach the database, if they cannot from here. */
  readonly databaseCommand?: readonly string[];
  /** Connection parameters of the database server itself, where the configuration names a connection pooler in front of it. */
  readonly databaseServer?: Readonly<Record<string, string>>;
  /** The Matrix Authentication Service, where its configuration was given or found. */
  readonly mas?: Mas;
  /** Absolute path of the media store. */
  readonly mediaStore: string;
  readonly listeners: readonly Listener[];
  /** Secrets that must be the same on both hosts, where the configuration has them. Never printed. */
  readonly secrets: readonly Secret[];
  /** Files and folders that the settings name and that must travel. */
  readonly referenced: readonly Referenced[];
}

/** Converts a path in the settings to its path on this host; relative paths start at the working folder. */
export type ToHostPath = (path: string) => string;

export type Settings = Readonly<Record<string, unknown>>;

export interface ConfigFile {
  readonly path: string;
  readonly text: string;
  /** The top-level keys that it sets. */
  readonly keys: readonly string[];
}

export type DatabaseSetting =
  | {
      readonly kind: "postgres";
      readonly args: ConnectionArgs;
      /** Of the database with the state groups, where `databases` gives them one of their own. */
      readonly state?: ConnectionArgs;
    }
  | { readonly kind: "sqlite"; readonly path: string }
  /** A `databases:` map, with its labels, that is split over other things than two PostgreSQL databases. */
  | { readonly kind: "several"; readonly labels: readonly string[] };

export type ConnectionArgs = Readonly<Record<string, string | number | boolean>>;

export interface Listener {
  readonly port?: number;
  readonly addresses: readonly string[];
  /** A unix socket. */
  readonly path?: string;
  readonly tls: boolean;
  /** "client", "federation", "media", … as far as it is an HTTP listener. */
  readonly resources: readonly string[];
}

export interface Secret {
  /** The setting: "password_config.pepper". */
  readonly setting: string;
  readonly value: string;
}

export interface Referenced {
  /** The setting that names it: "app_service_config_files[0]". */
  readonly setting: string;
  /** Absolute. */
  readonly path: string;
  readonly role: "signing-key" | "secret" | "appservice" | "tls" | "log-config" | "templates" | "other";
  /** Whether the new server would be a different one, or not start, without it. For others a warning is enough. */
  readonly required: boolean;
}

/**
 * A Matrix Authentication Service as its configuration describes it. Only `read.ts` creates it. What it has in common with
 * a homeserver is packed, restored and verified in the same way.
 */
export interface Mas extends Pick<Homeserver, "serverName" | "configPaths" | "referenced" | "secrets"> {
  readonly configFiles: readonly ConfigFile[];
  /** Merged as the service merges them: mappings key by key, anything else by the later file. */
  readonly settings: Settings;
  readonly address: PostgresAddress;
}
