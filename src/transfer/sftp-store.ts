import { posix } from "node:path";
import { MigrationError } from "../errors.ts";
import { Digester } from "../pipeline/digest.ts";
import { urlHost } from "../system/ip-address.ts";
import { RemoteShell } from "../system/programs/remote-shell.ts";
import { type SshAddress, sshCall } from "../system/programs/ssh.ts";
import { STATUS } from "../system/sftp/packet.ts";
import { hasStatus, SftpSession, SftpStatus } from "../system/sftp/session.ts";
import { quoteShellWord } from "../system/shell-quoting.ts";
import type { System } from "../system/system.ts";
import type { FileStore } from "./file-store.ts";
import type { Pace } from "./pace.ts";
import type { Destination } from "./remote.ts";
import { storeRemote } from "./store-remote.ts";
import { whileAlive } from "./while-alive.ts";

type Host = Pick<System, "files" | "programs" | "machine">;

export interface SftpAddress extends SshAddress {
  /** Absolute, or relative to the home of the account there. */
  readonly path: string;
}

/** A folder on a host with OpenSSH, reached as the person's own ssh reaches it. */
export function sftpDestination(
  to: SftpAddress,
  { configFile }: { configFile: string | undefined },
  { files, programs, machine }: Host,
  pace: Pace,
): Destination {
  const address = describeSftp(to);
  return {
    address,
    async open(signal, { create }) {
      const call = sshCall(to, "sftp", { configFile, subsystem: true });
      const session = await SftpSession.open(call, to.host, programs, signal);
      try {
        const folder = await enterFolder(session, to.path, { create, address });
        const store = sftpStore(
          { session, folder, address, to, configFile },
          { files, programs, machine },
          pace,
        );
        return storeRemote(store, files);
      } catch (error) {
        await session.close();
        throw asExpected(error, address);
      }
    },
  };
}

const describeSftp = ({ user, host, port, path }: SftpAddress): string =>
  `sftp://${user === undefined ? "" : `${user}@`}${urlHost(host)}${port === undefined ? "" : `:${port}`}/${path.startsWith("/") ? path.slice(1) : `~/${path}`}`;

/** The absolute path of the folder, which is made with its parents where it may be. */
async function enterFolder(
  session: SftpSession,
  path: string,
  { create, address }: { create: boolean; address: string },
): Promise<string> {
  // The server resolves only what exists, so a new path is joined here.
  const folder = posix.resolve(await session.realpath("."), path);
  const found = await session.stat(folder);
  if (found === undefined && !create)
    throw new MigrationError("file-missing", `there is no folder ${address}`, {
      hint: "check the path; a path behind ~/ begins in the account's home",
    });
  if (found?.mode !== undefined && (found.mode & 0o170000) !== 0o040000)
    throw new MigrationError("bad-usage", `${address} is not a folder`, {
      hint: "give the path of a folder",
    });
  if (found === undefined) {
    const steps = folder.split("/").filter((step) => step !== "");
    for (let depth = 1; depth <= steps.length; depth += 1) {
      const parent = `/${steps.slice(0, depth).join("/")}`;
      if ((await session.stat(parent)) === undefined) await session.makeFolder(parent);
    }
  }
  return folder;
}

interface Reached {
  readonly session: SftpSession;
  readonly folder: string;
  readonly address: string;
  readonly to: SftpAddress;
  readonly configFile: string | undefined;
}

function sftpStore(reached: Reached, { files, programs, machine }: Host, pace: Pace): FileStore {
  const { session, folder, address, to, configFile } = reached;
  const at = (name: string) => `${folder === "/" ? "" : folder}/${name}`;
  /** Ends the connection when the signal is aborted: a request that the server does not answer cannot be taken back. */
  const during = async <T>(signal: AbortSignal, name: string, act: () => Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    const stop = () => void session.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      return await act();
    } catch (error) {
      signal.throwIfAborted();
      throw await explained(error, reached, name);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  };
  /** Undefined before it is needed, and null where commands cannot be run. */
  let shell: RemoteShell | null | undefined;
  /** The hash that a program on that host computes. */
  const hashedThere = async (name: string, signal: AbortSignal): Promise<string | undefined> => {
    if (shell === null) return undefined;
    shell ??= await RemoteShell.open(sshCall(to, "sh", { configFile }), { programs, machine }, signal);
    const line = await shell?.ask(hashCommand(at(name)), signal);
    const hash = /^([0-9a-f]{64})\b/.exec(line ?? "")?.[1];
    if (hash === undefined) {
      await shell?.close();
      shell = null;
    }
    return hash;
  };

  return {
    address,
    appends: true,
    list: (signal) => during(signal, "", () => session.list(folder)),

    write: (name, { path, from, size }, { signal, moved }) =>
      during(signal, name, () => {
        const paced = async function* () {
          for await (const chunk of files.read(path, { from, to: size, reuse: true })) {
            await pace(chunk.length, signal);
            yield chunk;
          }
        };
        return session.write(at(name), from, paced(), moved);
      }),

    async *read(name, from, signal) {
      const stop = () => void session.close();
      signal.addEventListener("abort", stop, { once: true });
      try {
        for await (const chunk of session.read(at(name), from)) {
          await pace(chunk.length, signal);
          yield chunk;
        }
      } catch (error) {
        signal.throwIfAborted();
        throw await explained(error, reached, name);
      } finally {
        signal.removeEventListener("abort", stop);
      }
    },

    digest: (name, { size, sha256 }, attempt) =>
      during(attempt.signal, name, async () => {
        const { signal, checked } = attempt;
        const said = await whileAlive(attempt, machine, () => hashedThere(name, signal));
        const there = (await session.stat(at(name)))?.size;
        // A shell may see another file under that path than the SFTP server: only a hash that matches needs no second look.
        if (said === sha256 && there === size) {
          checked(size);
          return { size, sha256, proof: "hashed-there" };
        }
        const tally = new Digester();
        for await (const chunk of session.read(at(name), 0)) {
          tally.add(chunk);
          checked(chunk.length);
        }
        return { ...tally.result(), proof: "read-back" };
      }),

    rename: (from, to, signal) =>
      during(signal, to, async () => {
        // Without OpenSSH's extension a rename never replaces a file.
        if (!session.supports("posix-rename@openssh.com")) await session.remove(at(to));
        try {
          await session.rename(at(from), at(to));
        } catch (error) {
          if (!hasStatus(error, STATUS.noSuchFile)) throw error;
          throw new MigrationError("transfer-failed", `${from} is no longer at ${address}`, {
            hint: "a connection that broke before may have removed it; run the same command again, which sends that file anew",
          });
        }
      }),

    remove: (name, signal) => during(signal, name, () => session.remove(at(name))),
    async close() {
      await shell?.close();
      await session.close();
    },
  };
}

/**
 * Reads past the cache where dd can. openssl comes first, because it uses the processor's instructions for SHA-256, which take a sixth of
 * the time; the other names are those of Linux, macOS and the BSDs.
 */
const hashCommand = (path: string) => {
  const file = quoteShellWord(path);
  const hashes = ["openssl dgst -sha256 -r", "sha256sum", "shasum -a 256", "sha256 -q"];
  return `dd if=${file} iflag=nocache count=0 status=none; ${hashes.map((hash) => `${hash} < ${file}`).join(" || ")}`;
};

/** Free bytes below which a disk counts as full. */
const NEARLY_FULL = 1024 * 1024;

/** SFTP has one code for every failure but two, so the cause of a failed write is looked for. */
async function explained(
  error: unknown,
  { session, folder, address }: Reached,
  name: string,
): Promise<unknown> {
  if (!hasStatus(error, STATUS.failure)) return asExpected(error, `${address}/${name}`);
  const free = await session.free(folder).catch(() => undefined);
  if (free !== undefined && free < NEARLY_FULL)
    return new MigrationError("disk-full", `${address} has no space left for ${name}`, {
      hint: "free some space there, then run the same command again: it continues where it stopped",
      cause: error,
    });
  return asExpected(error, `${address}/${name}`);
}

function asExpected(error: unknown, what: string): unknown {
  if (!(error instanceof SftpStatus)) return error;
  const more = { cause: error };
  if (error.status === STATUS.noSuchFile)
    return new MigrationError("file-missing", `there is no ${what}`, more);
  if (error.status === STATUS.permissionDenied)
    return new MigrationError("permission-denied", `the other host denies access to ${what}`, {
      hint: "give a folder that the account there may write to, or another account: sftp://USER@HOST/PATH",
      ...more,
    });
  return new MigrationError("transfer-failed", `the other host could not do what was asked for ${what}`, {
    hint: "check the folder there: its disk, quota and the kernel log; then run the same command again",
    ...more,
  });
}
