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
}

/** The command that sends a homeserver, when it is found in the PATH of the old host. */
export const SENDER_COMMAND = "synlift pull-sender";

export interface SshTransferOptions {
  /** ssh://[user@]host[:port] */
  readonly address: string;
  /** The command that starts the sender there, without its folder: `SENDER_COMMAND`, or with options. */
  readonly senderCommand: string;
  /** The folder there for journal and fence record. */
  readonly folder: string;
  readonly sshConfig: string | undefined;
  /** The option of this command that holds `senderCommand`. */
  readonly option: "--export-command" | "--source-command";
}

/** Throws `bad-usage`. */
export function callBySsh(options: SshTransferOptions): SenderCall {
  const address = parseSshAddress(options.address);
  if (!address)
    throw new MigrationError("bad-usage", `${options.address} is not the address of a host`, {
      hint: "write it as ssh://old.example.org, or ssh://root@old.example.org:2222",
    });
  const command = `${options.senderCommand} --out ${quoteShellWord(options.folder)}`;
  return {
    call: sshCall(address, command, { configFile: options.sshConfig }),
    start: `synlift on ${address.host}`,
    optionsIn: `${options.option} ${quoteShellWord(`${options.senderCommand} …`)}`,
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

/**
 * Starts it, and exchanges messages with it while `act` runs. Throws `connection-failed` or `program-missing`, with the
 * started program's own message when it ended before synlift there answered.
 */
export async function withChannel<T>(
  { call, start, optionsIn }: SenderCall,
  act: (channel: Channel) => Promise<T>,
  { programs, machine, signal }: System,
): Promise<T> {
  const peer = await startPeer(call, programs);
  const channel = await Channel.open(peer, { peerLocation: PEER });
  try {
    const result = await act(channel);
    await waitForEnd(peer, machine);
    return result;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof MigrationError) || error.code !== "connection-failed") {
      peer.kill();
      // The run may go on and connect again: what was prepared for its end is taken back once the program has ended.
      void peer.close();
      throw error instanceof MigrationError ? sayingWhereOptionsGo(error, optionsIn) : error;
    }
    const ending = await waitForEnd(peer, machine);
    if (!channel.hasReceivedData) throw connectionFailure(ending, start);
    const said = describeStderr(ending);
    if (said === "") throw error;
    throw new MigrationError(error.code, `${error.message}: ${said}`, { hint: error.hint, cause: error });
  } finally {
    channel.close();
    peer.kill();
  }
}

async function waitForEnd(peer: StartedPeer, machine: System["machine"]) {
  const late = new AbortController();
  const closing = peer.close();
  void machine.wait(EXIT_TIMEOUT_MS, late.signal).then(
    () => {
      peer.kill();
    },
    () => undefined,
  );
  return closing.finally(() => {
    late.abort();
  });
}
