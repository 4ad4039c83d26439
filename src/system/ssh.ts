import { MigrationError } from "../errors.ts";
import type { Call, Ending } from "./call.ts";

/** Another host, as `ssh` knows it. */
export interface SshAddress {
  readonly host: string;
  readonly user?: string;
  readonly port?: number;
}

/** "ssh://root@old.example.org:2222"; undefined for what is no such address. */
export function parseSshAddress(text: string): SshAddress | undefined {
  const found = /^ssh:\/\/(?:([\w.+-]+)@)?(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const [, user, host, port] = found ?? [];
  // A name that begins with a dash would be an option.
  if (host === undefined || host.startsWith("-") || user?.startsWith("-") === true) return undefined;
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined;
  return {
    host: host.replace(/^\[|\]$/g, ""),
    ...(user === undefined ? {} : { user }),
    ...(port === undefined ? {} : { port: Number(port) }),
  };
}

export interface SshOptions {
  /** A configuration file of its own, instead of the person's. */
  readonly configFile?: string | undefined;
}

/**
 * A call of the system's own `ssh` (ssh(1)), with the person's keys, agent and known hosts; it never asks for anything.
 * `command` is for the shell there. It ends when nothing comes from there for a minute.
 */
export function sshCall(
  { host, user, port }: SshAddress,
  command: string,
  { configFile }: SshOptions = {},
): Call {
  const options = {
    BatchMode: "yes",
    ConnectTimeout: "20",
    ServerAliveInterval: "15",
    ServerAliveCountMax: "4",
    // What comes is measured, and mostly cannot be made smaller.
    Compression: "no",
  };
  return {
    name: "ssh",
    args: [
      ...(configFile === undefined ? [] : ["-F", configFile]),
      "-T",
      ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
      ...(port === undefined ? [] : ["-p", String(port)]),
      ...(user === undefined ? [] : ["-l", user]),
      ...["--", host, command],
    ],
    passOn: ["SSH_AUTH_SOCK"],
  };
}

/** ssh(1): 255 is its own failure, anything else is that of the command. */
const OWN_FAILURE = 255;

/** POSIX: a shell's exit codes for a command that is not there, or may not be run. */
const NOT_THERE = [126, 127];

/** The end of what a program complained of, as one line. */
export const lastWords = ({ complaint }: Pick<Ending, "complaint">) =>
  complaint
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(-3)
    .join("; ");

/** What became of a call that ended without a word of what was started: `start` is what ssh or the command was to start. */
export function connectionFailure(
  ending: Pick<Ending, "code" | "signal" | "complaint">,
  start: string,
): MigrationError {
  const { code, signal } = ending;
  const said = lastWords(ending);
  const words = said === "" ? `it ended with ${signal ?? `exit code ${code ?? "unknown"}`}` : said;
  if (code !== null && NOT_THERE.includes(code)) {
    return new MigrationError("program-missing", `${start} cannot be started: ${words}`, {
      hint: "install synlift there, or name what starts it by its path",
    });
  }
  return new MigrationError("connection-failed", `${start} cannot be reached: ${words}`, {
    hint: code === OWN_FAILURE ? NO_CONNECTION : "try that command by hand, and clear what it says",
  });
}

/** ssh has one exit code for all that keeps it from connecting; the words before this hint say which it is. */
const NO_CONNECTION =
  "connect once by hand with ssh, as this account: where the host's key is not known, compare it with what that host shows on its own console, and accept it; where permission is denied, put a key of this account into authorized_keys of that account, or load it into your agent (ssh-add), as nobody is asked for a password here; else check the host's name, its port and what filters on the way";
