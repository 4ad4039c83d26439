import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { System } from "../../system/system.ts";
import { callBySsh, type OldHost, withChannel } from "../connect.ts";
import { type OldServerState, parseServerState, STATE_VERSION } from "./server-state.ts";

/** The commands that answer. What stands before them starts synlift. */
const ANSWERING = /(?:^|\s)(?:pull-sender|follow-source)(?=\s|$)/;
/** `NAME=value` before a command is an environment variable of it. */
const SETS_VARIABLE = /(?:^|\s)[A-Za-z_]\w*=/;

/**
 * What is kept of a way to the old host so that it can be asked again: without the command's options, which are about the transfer.
 * Undefined for a command that sets variables: one of them may be a secret.
 */
export function toAskAgain(
  { address, sshConfig, senderCommand }: OldHost,
  folder: string,
): OldHost | undefined {
  const found = ANSWERING.exec(senderCommand);
  const start = found ? senderCommand.slice(0, found.index + found[0].length) : senderCommand;
  // A word of a longer one, in quotation marks, is not where that ends.
  const isWhole = (start.split("'").length - 1) % 2 === 0 && (start.split('"').length - 1) % 2 === 0;
  const command = isWhole ? start : senderCommand;
  if (SETS_VARIABLE.test(command)) return undefined;
  return { address, ...(sshConfig === undefined ? {} : { sshConfig }), senderCommand: command, folder };
}

/** Seconds in which the old host has to let us in. */
const CONNECT_TIMEOUT = 5;
/** Milliseconds in which synlift there has to answer: somebody waits for a server that is down meanwhile. */
const PATIENCE_MS = 15_000;

/** What both commands that are started on the old host say first. Their other messages have versions of their own. */
const hello = z.object({ type: z.literal("hello") });

/**
 * Asks the old host how its server is, with whichever command of synlift's is started there. Changes nothing on either host and never
 * prompts. Throws `connection-failed`, `program-missing`, `program-too-old`, and what fails there.
 */
export async function askServerState(
  oldHost: OldHost,
  system: Pick<System, "programs" | "machine" | "signal">,
): Promise<OldServerState> {
  const state = await withChannel(
    callBySsh(oldHost, { connectTimeout: CONNECT_TIMEOUT }),
    async (channel) => {
      assertHello(await channel.receiveMessage());
      await channel.sendMessage({ type: "old-server", version: STATE_VERSION });
      return parseServerState(await channel.receiveMessage());
    },
    system,
    { patience: PATIENCE_MS },
  );
  if (state.version === STATE_VERSION) return state;
  throw new MigrationError(
    "program-too-old",
    `synlift on the old host tells the state of its server in version ${state.version}, and this one knows version ${STATE_VERSION}`,
    { hint: "use the same version of synlift on both hosts" },
  );
}

function assertHello(message: unknown): void {
  if (hello.safeParse(message).success) return;
  throw new MigrationError("connection-failed", "the old host sent an unexpected message", {
    hint: "use the same version of synlift on both hosts",
  });
}
