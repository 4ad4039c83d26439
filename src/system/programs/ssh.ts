import { MigrationError } from "../../errors.ts";
import type { ExitStatus, ProgramCall } from "./call.ts";

/** The address of another host for `ssh`. */
export interface SshAddress {
  readonly host: string;
  readonly user?: string;
  readonly port?: number;
}

/** "ssh://root@old.example.org:2222"; undefined when it is not valid. */
export function parseSshAddress(text: string): SshAddress | undefined {
  // Letters of any language: a name in ssh_config may have them.
  const found =
    /^ssh:\/\/(?:([\w.+-]+)@)?(\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\]|[\p{L}\p{M}\p{N}_.-]+)(?::(\d{1,5}))?\/?$/u.exec(
      text,
    );
  const [, user, host, port] = found ?? [];
  // A name that begins with a dash would be parsed as an option.
  if (host === undefined || host.startsWith("-") || user?.startsWith("-") === true) return undefined;
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined;
  return {
    host: host.replace(/^\[|\]$/g, ""),
    ...(user === undefined ? {} : { user }),
    ...(port === undefined ? {} : { port: Number(port) }),
  };
}

export interface SshOptions {
  /** A configuration file to use instead of the user's. */
  readonly configFile?: string | undefined;
  /** `command` is the name of a subsystem of the other host's SSH server (ssh(1), -s). */
  readonly subsystem?: boolean;
  /** Seconds in which the host has to let us in; 20 by default. */
  readonly connectTimeout?: number | undefined;
}

/**
 * A call of the system's `ssh` (ssh(1)), with the user's keys, agent and known hosts, without prompts. `command` is
 * run by the remote shell. The call ends when the host does not respond for a minute.
 */
export function sshCall(
  { host, user, port }: SshAddress,
  command: string,
  { configFile, subsystem = false, connectTimeout = 20 }: SshOptions = {},
): ProgramCall {
  const options = {
    BatchMode: "yes",
    ConnectTimeout: String(connectTimeout),
    ServerAliveInterval: "15",
    ServerAliveCountMax: "4",
    // Most of the data is compressed already, and compression would distort the measured rate.
    Compression: "no",
    // Forwardings of the user's configuration would be set up twice when two connections are open.
    ClearAllForwardings: "yes",
  };
  return {
    name: "ssh",
    args: [
      ...(configFile === undefined ? [] : ["-F", configFile]),
      "-T",
      ...(subsystem ? ["-s"] : []),
      ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
      ...(port === undefined ? [] : ["-p", String(port)]),
      ...(user === undefined ? [] : ["-l", user]),
      ...["--", host, command],
    ],
    passEnvironment: ["SSH_AUTH_SOCK"],
  };
}

/** Where a forwarded connection ends, as the other host reaches it: a name or address with a port, or a socket by its path. */
export type ForwardTarget = { readonly host: string; readonly port: number } | { readonly socket: string };

/**
 * A call of `ssh` that forwards a socket of this host to a place on the other one, and runs nothing there (ssh(1), -L and -N). The
 * socket appears once the other host has let us in; it can be used by its owner and its group. The call ends when the host does not
 * respond for a minute. Forwardings of the user's own configuration for that host are set up as well: ssh cannot leave out only those.
 */
export function sshForwardCall(
  { host, user, port }: SshAddress,
  socket: string,
  target: ForwardTarget,
  { configFile }: Pick<SshOptions, "configFile"> = {},
): ProgramCall {
  const options = {
    BatchMode: "yes",
    ConnectTimeout: "20",
    ServerAliveInterval: "15",
    ServerAliveCountMax: "4",
    Compression: "no",
    ExitOnForwardFailure: "yes",
    // Without it, what a killed ssh has left is in the way.
    StreamLocalBindUnlink: "yes",
    StreamLocalBindMask: "0117",
    // A shared connection would end with the one that began it.
    ControlMaster: "no",
    ControlPath: "none",
  };
  return {
    name: "ssh",
    args: [
      ...(configFile === undefined ? [] : ["-F", configFile]),
      ...["-N", "-T"],
      ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
      ...(port === undefined ? [] : ["-p", String(port)]),
      ...(user === undefined ? [] : ["-l", user]),
      ...["-L", `${socket}:${forwardWords(target)}`],
      ...["--", host],
    ],
    passEnvironment: ["SSH_AUTH_SOCK"],
  };
}

function forwardWords(target: ForwardTarget): string {
  if ("socket" in target) return target.socket;
  return `${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}`;
}

/** ssh(1): 255 is a failure of ssh, anything else the exit code of the command. */
const OWN_FAILURE = 255;

/** POSIX: a shell's exit codes for a command that is not executable or not found. */
const NOT_THERE = [126, 127];

/** OpenSSH says so where StrictHostKeyChecking is accept-new or off (sshconnect.c, `check_host_key`): no cause of anything. */
const NEW_HOST_KEY = /^Warning: Permanently added /;

/** The last lines of standard error, as one line. */
export const describeStderr = ({ stderr }: Pick<ExitStatus, "stderr">) =>
  stderr
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !NEW_HOST_KEY.test(line))
    .slice(-3)
    .join("; ");

/** The error for a call that ended before the remote program sent anything. `start` names that program. */
export function connectionFailure(
  ended: Pick<ExitStatus, "code" | "signal" | "stderr">,
  start: string,
): MigrationError {
  const { code, signal } = ended;
  const said = describeStderr(ended);
  const words = said === "" ? `it ended with ${signal ?? `exit code ${code ?? "unknown"}`}` : said;
  if (code !== null && NOT_THERE.includes(code)) {
    return new MigrationError("program-missing", `${start} cannot be started: ${words}`, {
      hint: "install synlift on that host, or give the path of the command that starts it",
    });
  }
  return new MigrationError("connection-failed", `${start} cannot be reached: ${words}`, {
    hint:
      code === OWN_FAILURE
        ? CONNECTION_HINT
        : "run that command by hand, and correct the error that it shows",
  });
}

/** ssh has one exit code for every failure to connect; the message before this hint shows which one it was. */
const CONNECTION_HINT =
  "connect once by hand with ssh, as this account, and correct the error that it shows. For an unknown host key: compare it with the one shown on the host's console, and accept it. For \"permission denied\": add a key of this account to authorized_keys on the other host, or load it into your agent (ssh-add); password prompts are not supported. Otherwise check the host's name, its port, and firewalls between the hosts";
