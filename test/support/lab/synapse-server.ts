import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { ServerProcess } from "./server-process.ts";

export interface SynapseOptions {
  /** What each `-c` names, in order. */
  readonly configFiles: readonly string[];
  /** The working directory: relative paths in the configuration start here. */
  readonly folder: string;
  /** Which of the lab's Synapses; the newest when left out. */
  readonly version?: string | undefined;
  /** What it finds in its environment besides ours. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A real Synapse in the foreground, on any configuration that has a plain HTTP listener. */
export class SynapseServer {
  readonly baseUrl: string;
  readonly serverName: string;
  readonly #configFiles: readonly string[];
  readonly #folder: string;
  readonly #version: string | undefined;
  readonly #environment: Readonly<Record<string, string>>;
  #process: ServerProcess | undefined;

  constructor({ configFiles, folder, version, environment = {} }: SynapseOptions) {
    this.#version = version;
    this.#environment = environment;
    this.#configFiles = configFiles;
    this.#folder = folder;
    const settings = mergedSettings(configFiles);
    this.serverName = settings.server_name;
    this.baseUrl = httpAddress(settings);
  }

  /** Resolves when it answers; throws with its last words when it will not start. */
  async start(): Promise<void> {
    if (this.isRunning) throw new Error("this Synapse runs already");
    const args = ["-m", "synapse.app.homeserver", ...this.#configFiles.flatMap((file) => ["-c", file])];
    const server = new ServerProcess({
      program: synapsePython(this.#version),
      args,
      folder: this.#folder,
      environment: this.#environment,
    });
    this.#process = server;
    try {
      await server.untilReady(() => this.#isHealthy(), 180);
    } catch (error) {
      server.kill();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#process?.stop("SIGTERM", 60);
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    this.#process?.kill();
    await this.#process?.exited;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !this.#process.hasExited;
  }

  get pid(): number | undefined {
    return this.isRunning ? this.#process?.pid : undefined;
  }

  /** The last of what it printed; its log goes where the configuration says. */
  get output(): string {
    return this.#process?.output ?? "";
  }

  async #isHealthy(): Promise<boolean> {
    try {
      return (await fetch(`${this.baseUrl}/health`, { signal: AbortSignal.timeout(5_000) })).ok;
    } catch {
      return false;
    }
  }
}

/** A Synapse of some time ago, for moves to a newer one: scripts/setup/synapse.mjs brings it too. */
export const OLDER_SYNAPSE = "1.150.0";

/** The Python that has Synapse. `-m synapse.…` runs its programs: the main process, `synapse._scripts.synapse_port_db` … */
export function synapsePython(version = "1.163.2"): string {
  const python = fileURLToPath(new URL(`../../../.lab/synapse-${version}/bin/python`, import.meta.url));
  if (!existsSync(python)) throw new Error(`no Synapse ${version} in the lab: run "npm run setup"`);
  return python;
}

interface Settings {
  readonly server_name: string;
  readonly listeners: readonly { type: string; port: number; bind_addresses?: string[]; tls?: boolean }[];
}

/** As Synapse merges its files: later ones replace whole top-level keys. */
function mergedSettings(files: readonly string[]): Settings {
  const all = files.map((file) => parse(readFileSync(file, "utf8"), { version: "1.1" }) as object);
  return Object.assign({}, ...all) as Settings;
}

function httpAddress({ listeners }: Settings): string {
  const listener = listeners.find(({ type, tls }) => type === "http" && tls !== true);
  if (!listener) throw new Error("this Synapse has no plain HTTP listener");
  const [host = "127.0.0.1"] = listener.bind_addresses ?? [];
  return `http://${host.includes(":") ? `[${host}]` : host}:${listener.port}`;
}
