import { MigrationError } from "../../errors.ts";
import type { Http } from "../../system/http/http.ts";
import type { Machine } from "../../system/machine.ts";
import type { DetachedOptions } from "../../system/programs/call.ts";
import type { Programs } from "../../system/programs/programs.ts";

/** Runs the given start command. It must return once the server is started, like `systemctl start`. */
export async function start(command: string, programs: Programs): Promise<void> {
  await runCommand(command, "start", programs, { evenIfStopped: false });
}

/** Runs the given stop command, after a failed check; also when this run was interrupted. */
export async function stop(command: string, programs: Programs): Promise<void> {
  await runCommand(command, "stop", programs, { evenIfStopped: true });
}

async function runCommand(
  command: string,
  verb: string,
  programs: Programs,
  options: DetachedOptions,
): Promise<void> {
  try {
    await programs.startDetached({ name: "sh", args: ["-c", command], folder: "/" }, options);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError(
      "start-failed",
      `the command that should ${verb} the server ${error.message.replace(/^sh /, "")}`,
      {
        hint: "look at the server's own log",
        cause: error,
      },
    );
  }
}

/**
 * Waits until the server's health check passes. Throws `start-failed` after `limit` milliseconds, and what `check` throws,
 * which is called between the requests.
 */
export async function waitUntilUp(
  url: string,
  limit: number,
  { http, machine, signal }: { http: Http; machine: Machine; signal: AbortSignal },
  check: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const until = machine.elapsed() + limit;
  for (;;) {
    const answer = await http.get(`${url}/health`, { timeout: 5000, signal }).catch(() => undefined);
    if (answer?.status === 200) return;
    signal.throwIfAborted();
    await check();
    if (machine.elapsed() > until) {
      throw new MigrationError(
        "start-failed",
        `the new server does not answer at ${url} after ${Math.round(limit / 1000)} seconds`,
        {
          hint: "check the server's log; --url gives another address",
        },
      );
    }
    await machine.wait(250, signal);
  }
}
