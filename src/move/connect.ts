import { MigrationError } from "../errors.ts";
import { Channel } from "../pipeline/channel.ts";
import { type StartedPeer, startPeer } from "../system/programs/peer.ts";
import type { ProgramCall } from "../system/programs/programs.ts";
import { connectionFailure, describeStderr, parseSshAddress, sshCall } from "../system/programs/ssh.ts";
import { quoteShellWord } from "../system/shell-quoting.ts";
import type { System } from "../system/system.ts";

/** How the sender is started on the old host. */
export interface SenderCall {
  readonly call: ProgramCall;
  /** What is started, and where, in words. */
  readonly start: string;
  /** Where this command takes options for what is started: a hint of the old host may name one. */
  readonly optionsIn?: string;
  /** How it is reached again later; undefined where that is not kept. */
  readonly oldHost?: OldHost | undefined;
}

/** The command that sends a homeserver, when it is found in the PATH of the old host. */
export const SENDER_COMMAND = "synlift pull-sender";

/** How synlift is started on the old host. */
export interface OldHost {
  /** ssh://[user@]host[:port] */
  readonly address: string;
  readonly sshConfig?: string | undefined;
  /** The command that starts it there, without its folder: `SENDER_COMMAND`, or with options. */
  readonly senderCommand: string;
  /** The folder there for journal and records. */
  readonly folder: string;
}

interface SshCallOptions {
  /** The option of this command that holds `senderCommand`; undefined where it has none. */
  readonly option?: "--export-command" | "--source-command";
  /** In seconds. */
  readonly connectTimeout?: number;
}

/** Throws `bad-usage`. */
export function callBySsh(oldHost: OldHost, { option, connectTimeout }: SshCallOptions): SenderCall {
  const address = parseSshAddress(oldHost.address);
  if (!address)
    throw new MigrationError("bad-usage", `${oldHost.address} is not the address of a host`, {
      hint: "write it as ssh://old.example.org, or ssh://root@old.example.org:2222",
    });
  const command = `${oldHost.senderCommand} --out ${quoteShellWord(oldHost.folder)}`;
  return {
    call: sshCall(address, command, { configFile: oldHost.sshConfig, connectTimeout }),
    start: `synlift on ${address.host}`,
    ...(option === undefined
      ? {}
      : { optionsIn: `${option} ${quoteShellWord(`${oldHost.senderCommand} …`)}` }),
    oldHost,
  };
}

/** Any command whose standard input and output are those of `synlift pull-sender`. */
export const callByCommand = (command: string): SenderCall => ({
  call: { name: "sh", args: ["-c", command], passEnvironment: ["SSH_AUTH_SOCK"] },
  start: "the command that reaches the old host",
});

/** Where the started program runs, as its errors say. */
const PEER = "on the old host";

/** Those of the programs that are started on the old host, which this command does not have, or has for the new one. */
const OPTION_THERE =
  /(?:^|\s)--(?:config|working-directory|map|database-(?:command|server)|mas-config|admin-database|unit|container|(?:stop|start)-command|already-stopped|no-fence|accept)\b/;

/** A hint of the old host speaks of options as if its reader were there. */
function sayingWhereOptionsGo(error: MigrationError, optionsIn: string | undefined): MigrationError {
  const { hint = "" } = error;
  if (optionsIn === undefined || !hint.startsWith(`${PEER}: `) || !OPTION_THERE.test(hint)) return error;
  return new MigrationError(error.code, error.message, {
    hint: `${hint}. From here, options for the old host are part of ${optionsIn}`,
    cause: error,
    reason: error.reason,
  });
}

/** Milliseconds that the started program may take to end. */
const EXIT_TIMEOUT_MS = 5_000;
/** The same where somebody waits for the answer. */
const IMPATIENT_EXIT_MS = 1_000;

/**
 * Starts it, and exchanges messages with it while `act` runs. `patience` is how many milliseconds it may be silent, a minute or two
 * otherwise. Throws `connection-failed` or `program-missing`, with the started program's own message when it ended before synlift there
 * answered.
 */
export async function withChannel<T>(
  { call, start, optionsIn }: SenderCall,
  act: (channel: Channel) => Promise<T>,
  { programs, machine, signal }: Pick<System, "programs" | "machine" | "signal">,
  { patience }: { readonly patience?: number } = {},
): Promise<T> {
  const exitTimeout = patience === undefined ? EXIT_TIMEOUT_MS : IMPATIENT_EXIT_MS;
  const peer = await startPeer(call, programs);
  const channel = await Channel.open(peer, {
    peerLocation: PEER,
    ...(patience === undefined ? {} : { timeout: patience }),
  });
  try {
    const result = await act(channel);
    await waitForEnd(peer, exitTimeout, machine);
    return result;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof MigrationError) || error.code !== "connection-failed") {
      peer.kill();
      // The run may go on and connect again: what was prepared for its end is taken back once the program has ended.
      void peer.close();
      throw error instanceof MigrationError ? sayingWhereOptionsGo(error, optionsIn) : error;
    }
    const ending = await waitForEnd(peer, exitTimeout, machine);
    if (!channel.hasReceivedData) throw connectionFailure(ending, start);
    const said = describeStderr(ending);
    if (said === "") throw error;
    throw new MigrationError(error.code, `${error.message}: ${said}`, { hint: error.hint, cause: error });
  } finally {
    channel.close();
    peer.kill();
  }
}

async function waitForEnd(peer: StartedPeer, milliseconds: number, machine: System["machine"]) {
  const late = new AbortController();
  const closing = peer.close();
  void machine.wait(milliseconds, late.signal).then(
    () => {
      peer.kill();
    },
    () => undefined,
  );
  return closing.finally(() => {
    late.abort();
  });
}
