import { createHash } from "node:crypto";
import { basename, dirname } from "node:path";
import { z } from "zod";
import { MigrationError, reasonOf } from "../errors.ts";
import { Digester } from "../pipeline/digest.ts";
import type { Bytes } from "../system/bytes.ts";
import type { JsonBody } from "../system/http/http.ts";
import type { ProgramCall } from "../system/programs/programs.ts";
import type { System } from "../system/system.ts";
import type { FileStore } from "./file-store.ts";
import { RcloneDaemon, RcloneRefusal } from "./rclone-daemon.ts";
import type { Attempt, Destination, WantedFile } from "./remote.ts";
import { storeRemote } from "./store-remote.ts";
import { whileAlive } from "./while-alive.ts";

type Host = Pick<System, "files" | "programs" | "machine" | "http">;

export interface RcloneOptions {
  /** A configuration file to use instead of the user's. */
  readonly configFile: string | undefined;
  /** Bytes a second for each transfer. */
  readonly bandwidth: number | undefined;
}

/** A folder of a remote that the user has configured for rclone: "backup:moves/example.org". */
export function rcloneDestination(remote: string, options: RcloneOptions, host: Host): Destination {
  const address = `rclone:${remote}`;
  return {
    address,
    async open(signal, { create }) {
      const daemon = await RcloneDaemon.start(callOf([], options), host, signal);
      const rclone = new Rclone(remote, options, daemon, host);
      try {
        const hash = await rclone.hashThere(signal);
        if ((await rclone.list(signal)) === undefined) {
          if (!create)
            throw new MigrationError("file-missing", `there is no folder ${address}`, {
              hint: `list what is there: rclone lsf ${remote}`,
            });
          await rclone.ask("operations/mkdir", { remote: "" }, signal);
        }
        return storeRemote(rcloneStore(rclone, hash, host), host.files);
      } catch (error) {
        await rclone.close();
        throw rclone.cannotReach(error, signal);
      }
    },
  };
}

function callOf(args: readonly string[], { configFile, bandwidth }: RcloneOptions): ProgramCall {
  return {
    name: "rclone",
    args: [
      ...args,
      ...(configFile === undefined ? [] : ["--config", configFile]),
      ...(bandwidth === undefined ? [] : ["--bwlimit", `${Math.max(1, Math.floor(bandwidth))}B`]),
      ...ALWAYS,
    ],
    passEnvironment: PASSED,
  };
}

const listed = z.object({
  list: z.array(z.object({ Name: z.string(), Size: z.number(), IsDir: z.boolean() })).nullable(),
});
const about = z.object({ free: z.number().optional() });
const info = z.object({
  Hashes: z.array(z.string()).nullable(),
  Features: z.record(z.string(), z.unknown()),
});
const configured = z.object({ type: z.string().optional() });
const statistics = z.object({ bytes: z.number() });
const hashed = z.object({
  item: z.object({ Size: z.number(), Hashes: z.record(z.string(), z.string()).optional() }).nullable(),
});

/** A hash that is computed where the files are, each time it is asked for. */
type HashThere = "sha256" | "sha1";

/** One folder of a remote, in a running rclone. */
class Rclone {
  readonly address: string;
  readonly #remote: string;
  readonly #options: RcloneOptions;
  readonly #daemon: RcloneDaemon;
  readonly #host: Host;

  constructor(remote: string, options: RcloneOptions, daemon: RcloneDaemon, host: Host) {
    this.#remote = remote;
    this.#options = options;
    this.#daemon = daemon;
    this.#host = host;
    this.address = `rclone:${remote}`;
  }

  /** Calls a function of rclone for this folder. */
  ask(path: string, body: JsonBody, signal: AbortSignal): Promise<unknown> {
    return this.#daemon.call(path, { fs: this.#remote, ...body }, signal);
  }

  close(): Promise<void> {
    return this.#daemon.close();
  }

  /** Runs a rclone of its own, for what has no limited answer or needs an input. */
  program(args: readonly string[], name: string, signal: AbortSignal): ProgramCall {
    const at = `${this.#remote}${/[:/]$/.test(this.#remote) ? "" : "/"}${name}`;
    return { ...callOf([...args, at], this.#options), signal };
  }

  /**
   * Local files have every hash. For SFTP rclone runs a program at the other host. What other storages answer is what they were told at the
   * upload, or a cache's.
   */
  async hashThere(signal: AbortSignal): Promise<HashThere | undefined> {
    const { Hashes, Features } = info.parse(await this.ask("operations/fsinfo", {}, signal));
    if (Features["IsLocal"] === true && Hashes?.includes("sha256") === true) return "sha256";
    if (Hashes?.includes("sha1") !== true) return undefined;
    const name = this.#remote.slice(0, this.#remote.indexOf(":"));
    const { type } = configured.parse(await this.#daemon.call("config/get", { name }, signal));
    return type === "sftp" ? "sha1" : undefined;
  }

  /** Undefined when there is no such folder, which object storages do not tell from an empty one. */
  async list(signal: AbortSignal): Promise<ReadonlyMap<string, number> | undefined> {
    try {
      const opt = { noModTime: true, noMimeType: true, filesOnly: true };
      const { list } = listed.parse(await this.ask("operations/list", { remote: "", opt }, signal));
      return new Map((list ?? []).flatMap(({ Name, Size, IsDir }) => (IsDir ? [] : [[Name, Size]])));
    } catch (error) {
      if (error instanceof RcloneRefusal && error.isMissing) return undefined;
      throw error;
    }
  }

  /** Lets rclone send a file, and tells how far it is. */
  async copy(path: string, name: string, size: number, { signal, moved }: Attempt): Promise<void> {
    const { machine } = this.#host;
    const bytes = async () => statistics.parse(await this.#daemon.call("core/stats", {}, signal)).bytes;
    const before = await bytes();
    let sent = 0;
    const tell = (all: number) => {
      const now = Math.min(size, all - before);
      if (now > sent) moved(now - sent);
      sent = Math.max(sent, now);
    };
    const ended = new AbortController();
    const follow = async () => {
      for (;;) {
        await machine.wait(STATISTICS_MS, ended.signal);
        tell(await bytes());
      }
    };
    follow().catch(() => undefined);
    try {
      await this.#daemon.call(
        "operations/copyfile",
        {
          srcFs: dirname(path),
          srcRemote: basename(path),
          dstFs: this.#remote,
          dstRemote: name,
          // What arrived is compared afterwards, and not by what rclone remembers.
          _config: { IgnoreTimes: true, IgnoreChecksum: true },
        },
        signal,
      );
    } finally {
      ended.abort();
    }
    tell(before + size);
  }

  async move(from: string, to: string, signal: AbortSignal): Promise<void> {
    const [srcFs, dstFs] = [this.#remote, this.#remote];
    const body = { srcFs, srcRemote: from, dstFs, dstRemote: to, _config: { IgnoreTimes: true } };
    try {
      await this.#daemon.call("operations/movefile", body, signal);
    } catch (error) {
      if (!(error instanceof RcloneRefusal) || !error.isMissing) throw error;
      throw new MigrationError("transfer-failed", `${from} is no longer at ${this.address}`, {
        hint: "an upload that broke before may have removed it; run the same command again, which sends that file anew",
      });
    }
  }

  /** The hash of a file there, which is read for it. */
  async hashOf(name: string, hash: HashThere, signal: AbortSignal) {
    const opt = { showHash: true, hashTypes: [hash], noModTime: true, noMimeType: true };
    const { item } = hashed.parse(await this.ask("operations/stat", { remote: name, opt }, signal));
    return { size: item?.Size ?? -1, hash: item?.Hashes?.[hash] };
  }

  /** The expected error for a call that failed, whose cause is looked for with further calls. */
  async explain(error: unknown, name: string, signal: AbortSignal, needed = 0): Promise<unknown> {
    signal.throwIfAborted();
    const isFailure = error instanceof MigrationError && error.code === "program-failed";
    if (!isFailure && !(error instanceof RcloneRefusal)) return error;
    if (error instanceof RcloneRefusal ? error.isMissing : isMissing(error))
      return new MigrationError("file-missing", `${this.address} has no ${name}`, { cause: error });
    const passing = new MigrationError(
      "transfer-failed",
      `rclone could not finish ${name} at ${this.address}: ${error.message}`,
      { hint: "run the same command again; rclone's own message tells more", cause: error },
    );
    const free = await this.#free(signal).catch(() => undefined);
    if (free !== undefined && free < Math.max(NEARLY_FULL, needed))
      return new MigrationError("disk-full", `${this.address} has no space left for ${name}`, {
        hint: "free some space there, then run the same command again",
        cause: error,
      });
    const reachable = await this.list(signal).then(
      () => true,
      () => false,
    );
    signal.throwIfAborted();
    if (!reachable) return passing;
    if (await this.#takes(1, signal)) {
      if (free !== undefined || (await this.#takes(PROBE_SIZE, signal))) return passing;
      return new MigrationError(
        "disk-full",
        `${this.address} takes a small file, but not ${name}, so its disk or quota is probably full: ${error.message}`,
        { hint: "free some space there, then run the same command again", cause: error },
      );
    }
    return new MigrationError(
      "permission-denied",
      `${this.address} can be listed, but not written to: ${error.message}`,
      { hint: "give the account of this remote the right to write there", cause: error },
    );
  }

  async #free(signal: AbortSignal): Promise<number | undefined> {
    return about.parse(await this.ask("operations/about", {}, signal)).free;
  }

  /** Whether a file of that size can be written. What may pass counts as yes. */
  async #takes(bytes: number, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#host.programs.run(this.program(["rcat"], PROBE, signal), "0".repeat(bytes));
      return true;
    } catch (error) {
      signal.throwIfAborted();
      return reasonOf(error, "exit-status")?.status === EXIT.temporary;
    } finally {
      await this.ask("operations/deletefile", { remote: PROBE }, signal).catch(() => undefined);
    }
  }

  cannotReach(error: unknown, signal: AbortSignal): unknown {
    signal.throwIfAborted();
    if (!(error instanceof RcloneRefusal)) return error;
    return new MigrationError("connection-failed", `${this.address} cannot be reached: ${error.message}`, {
      hint: `correct it until this command works, as this account: rclone lsf ${this.#remote}`,
      cause: error,
    });
  }
}

/** rclone's exit status (rclone.org/docs, "List of exit codes"). */
const EXIT = { noFolder: 3, noFile: 4, temporary: 5 } as const;

const isMissing = (error: unknown) => {
  const status = reasonOf(error, "exit-status")?.status;
  return status === EXIT.noFolder || status === EXIT.noFile;
};

/** Milliseconds between two looks at how much was sent. */
const STATISTICS_MS = 500;

/** Free bytes below which a remote counts as full. */
const NEARLY_FULL = 1024 * 1024;

const PROBE = ".synlift-may-write";

/** Bytes of a file that tells a full storage from one that fails for another reason, where it does not tell its free space. */
const PROBE_SIZE = 2 * 1024 * 1024;

/** Options of every call: no question is asked, no dead connection is waited for, and repeating is left to synlift. */
const ALWAYS = [
  ...["--copy-links", "--ask-password=false", "--retries", "1", "--low-level-retries", "2"],
  ...["--contimeout", "20s", "--timeout", "60s"],
];

/** Variables that a configuration of rclone may depend on: its own, and those of the libraries of its backends. */
const PASSED = [
  ...["RCLONE_*", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "AWS_*", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_*"],
  ...["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"],
  ...["SSL_CERT_FILE", "SSL_CERT_DIR"],
];

function rcloneStore(
  rclone: Rclone,
  hash: HashThere | undefined,
  { files, programs, machine }: Host,
): FileStore {
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
      yield* programs.pipe(rclone.program(["cat", "--offset", `${from}`], name, signal));
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

    digest: (name, wanted, attempt) =>
      during(attempt.signal, name, async () => {
        const { signal, checked } = attempt;
        const expected = hash === "sha1" ? await sha1Of(wanted, files, attempt) : wanted.sha256;
        if (hash !== undefined && expected !== undefined) {
          const there = await whileAlive(attempt, machine, () => rclone.hashOf(name, hash, signal));
          if (there.hash === expected && there.size === wanted.size) {
            checked(wanted.size);
            return { size: wanted.size, sha256: wanted.sha256, proof: "hashed-there" };
          }
        }
        const tally = new Digester();
        for await (const chunk of read(name, 0, signal)) {
          tally.add(chunk);
          checked(chunk.length);
        }
        return { ...tally.result(), proof: "read-back" };
      }),

    rename: (from, to, signal) => during(signal, to, () => rclone.move(from, to, signal)),

    async remove(name, signal) {
      try {
        await rclone.ask("operations/deletefile", { remote: name }, signal);
      } catch (error) {
        if (error instanceof RcloneRefusal && error.isMissing) return;
        throw await rclone.explain(error, name, signal);
      }
    },

    close: () => rclone.close(),
  };
}

/** SHA-1 of the file here, if it still has the wanted SHA-256; undefined when it has not, or is not here. */
async function sha1Of(
  { path, sha256 }: WantedFile & { readonly path?: string },
  files: Host["files"],
  { signal, checked }: Attempt,
): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const [wanted, told] = [createHash("sha256"), createHash("sha1")];
  for await (const chunk of files.read(path, { reuse: true })) {
    signal.throwIfAborted();
    checked(0);
    wanted.update(chunk);
    told.update(chunk);
  }
  return wanted.digest("hex") === sha256 ? told.digest("hex") : undefined;
}
