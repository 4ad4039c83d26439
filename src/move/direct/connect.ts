import { MigrationError } from "../../errors.ts";
import { Channel } from "../../pipeline/channel.ts";
import { type StartedPeer, startPeer } from "../../system/programs/peer.ts";
import type { Call } from "../../system/programs/programs.ts";
import { connectionFailure, lastWords, parseSshAddress, sshCall } from "../../system/programs/ssh.ts";
import { shellWord } from "../../system/shell-word.ts";
import type { System } from "../../system/system.ts";

/** How the sending run is started on the old host. */
export interface Road {
  readonly call: Call;
  /** What is started, and where, in words. */
  readonly start: string;
}

export interface GivenRoad {
  readonly from: string;
  /** The command that starts an export there. */
  readonly exportCommand: string;
  /** The folder there for journal and fence record. */
  readonly folder: string;
  readonly sshConfig: string | undefined;
}

/** Throws `bad-usage`. */
export function roadBySsh({ from, exportCommand, folder, sshConfig }: GivenRoad): Road {
  const address = parseSshAddress(from);
  if (!address)
    throw new MigrationError("bad-usage", `--from: ${from} is not the address of a host`, {
      hint: "write it as ssh://old.example.org, or ssh://root@old.example.org:2222",
    });
  const command = `${exportCommand} --to-receiver --out ${shellWord(folder)}`;
  return {
    call: sshCall(address, command, { configFile: sshConfig }),
    start: `synlift on ${address.host}`,
  };
}

/** Any command whose standard input and output are those of a sending export. */
export const roadByCommand = (command: string): Road => ({
  call: { name: "sh", args: ["-c", command], passOn: ["SSH_AUTH_SOCK"] },
  start: "the command that reaches the old host",
});

/** Milliseconds that the started program may take to end. */
const LAST_MOMENTS = 5_000;

/**
 * Starts it, and exchanges messages with it while `act` runs. Throws `connection-failed` or `program-missing`, with the
 * started program's own message when it ended before synlift there answered.
 */
export async function talkOver<T>(
  { call, start }: Road,
  act: (channel: Channel) => Promise<T>,
  { programs, machine, signal }: System,
): Promise<T> {
  const peer = await startPeer(call, programs);
  const channel = await Channel.begin(peer, { there: "on the old host" });
  try {
    const result = await act(channel);
    await endOf(peer, machine);
    return result;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof MigrationError) || error.code !== "connection-failed") throw error;
    const ending = await endOf(peer, machine);
    if (!channel.heard) throw connectionFailure(ending, start);
    const said = lastWords(ending);
    if (said === "") throw error;
    throw new MigrationError(error.code, `${error.message}: ${said}`, { hint: error.hint, cause: error });
  } finally {
    channel.leave();
    peer.kill();
  }
}

async function endOf(peer: StartedPeer, machine: System["machine"]) {
  const late = new AbortController();
  const closing = peer.close();
  void machine.wait(LAST_MOMENTS, late.signal).then(
    () => {
      peer.kill();
    },
    () => undefined,
  );
  return closing.finally(() => {
    late.abort();
  });
}
