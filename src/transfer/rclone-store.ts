import { z } from "zod";
import { MigrationError, reasonOf } from "../errors.ts";
import { Digester } from "../pipeline/digest.ts";
import type { Bytes } from "../system/bytes.ts";
import type { ProgramCall } from "../system/programs/programs.ts";
import type { System } from "../system/system.ts";
import type { FileStore } from "./file-store.ts";
import { rcloneEvents } from "./rclone-log.ts";
import type { Attempt, Destination } from "./remote.ts";
import { storeRemote } from "./store-remote.ts";
import { whileAlive } from "./while-alive.ts";

type Host = Pick<System, "files" | "programs" | "machine">;

export interface RcloneOptions {
  /** A configuration file to use instead of the user's. */
  readonly configFile: string | undefined;
  /** Bytes a second for each transfer. */
  readonly bandwidth: number | undefined;
}

/** rclone's exit status (rclone.org/docs, "List of exit codes"). */
const EXIT = { noFolder: 3, noFile: 4, temporary: 5 } as const;

/** A folder of a remote that the user has configured for rclone: "backup:moves/example.org". */
export function rcloneDestination(remote: string, options: RcloneOptions, host: Host): Destination {
  const { files } = host;
  const rclone = new Rclone(remote, options, host);
  return {
    address: rclone.address,
    async open(signal, { create }) {
      const isLocal = await rclone.isLocal(signal);
      if (!(await rclone.hasFolder(signal))) {
        if (!create)
          throw new MigrationError("file-missing", `there is no folder ${rclone.address}`, {
            hint: `list what is there: rclone lsf ${remote}`,
          });
        await rclone.makeFolder(signal);
      }
      return storeRemote(rcloneStore(rclone, isLocal, host), files);
    },
  };
}

const listed = z.array(z.object({ Name: z.string(), Size: z.number(), IsDir: z.boolean().optional() }));
const features = z.object({
  Hashes: z.array(z.string()).nullable(),
  Features: z.record(z.string(), z.unknown()),
});
const about = z.object({ free: z.number().optional() });

/** Runs rclone on one folder of a remote. */
class Rclone {
  readonly address: string;
  readonly #remote: string;
  readonly #options: RcloneOptions;
  readonly #host: Host;

  constructor(remote: string, options: RcloneOptions, host: Host) {
    this.#remote = remote;
    this.#options = options;
    this.#host = host;
    this.address = `rclone:${remote}`;
  }

  at(name: string): string {
    return `${this.#remote}${/[:/]$/.test(this.#remote) ? "" : "/"}${name}`;
  }

  call(args: readonly string[], signal: AbortSignal): ProgramCall {
    const { configFile } = this.#options;
    return {
      name: "rclone",
      args: [...args, ...(configFile === undefined ? [] : ["--config", configFile]), ...ALWAYS],
      passEnvironment: PASSED,
      signal,
    };
  }

  run(args: readonly string[], signal: AbortSignal): Promise<string> {
    return this.#host.programs.run(this.call(args, signal), "");
  }

  /** Whether the files are on this host's own file system. Throws `connection-failed` when rclone does not know the remote. */
  async isLocal(signal: AbortSignal): Promise<boolean> {
    try {
      const told = features.parse(JSON.parse(await this.run(["backend", "features", this.#remote], signal)));
      return told.Features["IsLocal"] === true && told.Hashes?.includes("sha256") === true;
    } catch (error) {
      throw this.#cannotReach(error, signal);
    }
  }

  async hasFolder(signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.list(signal)) !== undefined;
    } catch (error) {
      throw this.#cannotReach(error, signal);
    }
  }

  async makeFolder(signal: AbortSignal): Promise<void> {
    try {
      await this.run(["mkdir", this.#remote], signal);
    } catch (error) {
      throw this.#cannotReach(error, signal);
    }
  }

  /** Undefined when there is no such folder, which object storages do not tell from an empty one. */
  async list(signal: AbortSignal): Promise<ReadonlyMap<string, number> | undefined> {
    try {
      const args = ["lsjson", "--files-only", "--no-modtime", "--no-mimetype", this.#remote];
      const all = listed.parse(JSON.parse(await this.run(args, signal)));
      return new Map(all.flatMap(({ Name, Size, IsDir }) => (IsDir === true ? [] : [[Name, Size]])));
    } catch (error) {
      if (statusOf(error) === EXIT.noFolder) return undefined;
      throw error;
    }
  }

  get limits(): readonly string[] {
    const { bandwidth } = this.#options;
    return bandwidth === undefined ? [] : ["--bwlimit", `${Math.max(1, Math.floor(bandwidth))}B`];
  }

  /** Lets rclone send a file, and tells how far it is. */
  async copy(path: string, name: string, size: number, { signal, moved }: Attempt): Promise<void> {
    const {
      name: program,
      args,
      ...call
    } = this.call(
      [
        ...["copyto", "--ignore-times", "--copy-links", path, this.at(name)],
        ...["--use-json-log", "--stats", "1s", "--stats-log-level", "NOTICE"],
        ...this.limits,
      ],
      signal,
    );
    // Its log goes to standard error, of which only the end is kept; here all of it is read.
    const output = this.#host.programs.pipe({
      ...call,
      name: "sh",
      args: ["-c", 'exec "$0" "$@" 2>&1', program, ...args],
    });
    let [sent, complaint] = [0, ""];
    try {
      for await (const event of rcloneEvents(output)) {
        if (event.level === "error") complaint = event.message;
        if (event.bytes === undefined || event.bytes <= sent) continue;
        moved(Math.min(event.bytes, size) - sent);
        sent = Math.min(event.bytes, size);
      }
    } catch (error) {
      throw withWords(error, complaint);
    }
    if (sent < size) moved(size - sent);
  }

  /** The expected error for a call that failed, whose cause is looked for with further calls. */
  async explain(error: unknown, name: string, signal: AbortSignal, needed = 0): Promise<unknown> {
    signal.throwIfAborted();
    const status = statusOf(error);
    if (!(error instanceof MigrationError) || status === undefined) return error;
    const more = { cause: error, reason: error.reason };
    if (status === EXIT.noFolder || status === EXIT.noFile)
      return new MigrationError("file-missing", `${this.address} has no ${name}`, more);
    const passing = new MigrationError(
      "transfer-failed",
      `rclone could not finish ${name} at ${this.address}: ${error.message}`,
      { hint: "run the same command again; rclone's own message tells more", ...more },
    );
    if (status === EXIT.temporary) return passing;
    const free = await this.#free(signal).catch(() => undefined);
    if (free !== undefined && free < Math.max(NEARLY_FULL, needed))
      return new MigrationError("disk-full", `${this.address} has no space left for ${name}`, {
        hint: "free some space there, then run the same command again",
        ...more,
      });
    const reachable = await this.list(signal).then(
      () => true,
      () => false,
    );
    signal.throwIfAborted();
    if (!reachable || (await this.#mayWrite(signal))) return passing;
    return new MigrationError(
      "permission-denied",
      `${this.address} can be listed, but not written to: ${error.message}`,
      { hint: "give the account of this remote the right to write there", ...more },
    );
  }

  async #free(signal: AbortSignal): Promise<number | undefined> {
    return about.parse(JSON.parse(await this.run(["about", "--json", this.#remote], signal))).free;
  }

  async #mayWrite(signal: AbortSignal): Promise<boolean> {
    const { programs } = this.#host;
    try {
      await programs.run(this.call(["rcat", this.at(PROBE)], signal), "synlift");
      await this.run(["deletefile", this.at(PROBE)], signal);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      return statusOf(error) === EXIT.temporary;
    }
  }

  #cannotReach(error: unknown, signal: AbortSignal): unknown {
    signal.throwIfAborted();
    if (!(error instanceof MigrationError) || error.code !== "program-failed") return error;
    return new MigrationError("connection-failed", `${this.address} cannot be reached: ${error.message}`, {
      hint: `correct it until this command works, as this account: rclone lsf ${this.#remote}`,
      cause: error,
      reason: error.reason,
    });
  }
}

/** Free bytes below which a remote counts as full. */
const NEARLY_FULL = 1024 * 1024;

const PROBE = ".synlift-may-write";

/** Options of every call: no question is asked, no dead connection is waited for, and repeating is left to synlift. */
const ALWAYS = [
  ...["--ask-password=false", "--retries", "1", "--low-level-retries", "2"],
  ...["--contimeout", "20s", "--timeout", "60s"],
];

/** Variables that a configuration of rclone may depend on: its own, and those of the libraries of its backends. */
const PASSED = [
  ...["RCLONE_*", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "AWS_*", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_*"],
  ...["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"],
  ...["SSL_CERT_FILE", "SSL_CERT_DIR"],
];

function rcloneStore(rclone: Rclone, isLocal: boolean, { programs, machine }: Host): FileStore {
  const during = async <T>(
    signal: AbortSignal,
    name: string,
    act: () => Promise<T>,
    needed?: number,
  ): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      throw await rclone.explain(error, name, signal, needed);
    }
  };
  async function* read(name: string, from: number, signal: AbortSignal): Bytes {
    try {
      yield* programs.pipe(
        rclone.call(["cat", "--offset", `${from}`, ...rclone.limits, rclone.at(name)], signal),
      );
    } catch (error) {
      throw await rclone.explain(error, name, signal);
    }
  }
  return {
    address: rclone.address,
    appends: false,
    list: (signal) =>
      during(signal, "", async () => (await rclone.list(signal)) ?? new Map<string, number>()),
    write: (name, { path, size }, attempt) =>
      during(attempt.signal, name, () => rclone.copy(path, name, size, attempt), size),
    read,

    // Other hashes than those of local files are what the storage was told at the upload, or cached by rclone.
    digest: (name, { size }, attempt) =>
      during(attempt.signal, name, async () => {
        const { signal, checked } = attempt;
        if (isLocal) {
          const said = await whileAlive(attempt, machine, () =>
            rclone.run(["hashsum", "sha256", rclone.at(name)], signal),
          );
          checked(size);
          const there = (await rclone.list(signal))?.get(name) ?? -1;
          return { size: there, sha256: said.slice(0, 64), proof: "hashed-there" };
        }
        const tally = new Digester();
        for await (const chunk of read(name, 0, signal)) {
          tally.add(chunk);
          checked(chunk.length);
        }
        return { ...tally.result(), proof: "read-back" };
      }),

    rename: (from, to, signal) =>
      during(signal, to, async () => {
        await rclone.run(["moveto", "--ignore-times", rclone.at(from), rclone.at(to)], signal);
      }),

    async remove(name, signal) {
      try {
        await rclone.run(["deletefile", rclone.at(name)], signal);
      } catch (error) {
        const status = statusOf(error);
        if (status !== EXIT.noFile && status !== EXIT.noFolder)
          throw await rclone.explain(error, name, signal);
      }
    },

    close: () => Promise.resolve(),
  };
}

const statusOf = (error: unknown) => reasonOf(error, "exit-status")?.status ?? undefined;

/** Adds rclone's last message to the error of the shell that ran it. */
const withWords = (error: unknown, complaint: string) =>
  error instanceof MigrationError && complaint !== ""
    ? new MigrationError(error.code, complaint, { hint: error.hint, cause: error, reason: error.reason })
    : error;
