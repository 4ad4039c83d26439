import { MigrationError } from "../../errors.ts";
import type { Http } from "../../system/http/http.ts";
import type { Machine } from "../../system/machine.ts";
import type { LaunchOptions } from "../../system/programs/call.ts";
import type { Programs } from "../../system/programs/programs.ts";

/** Runs what a person gave to start the server. It must come back once the server is started, as `systemctl start` does. */
export async function start(command: string, programs: Programs): Promise<void> {
  await runCommand(command, "start", programs, { always: false });
}

/** The way back, when the started server gives a wrong answer; also when this run was asked to stop meanwhile. */
export async function stop(command: string, programs: Programs): Promise<void> {
  await runCommand(command, "stop", programs, { always: true });
}

async function runCommand(
  command: string,
  verb: string,
  programs: Programs,
  options: LaunchOptions,
): Promise<void> {
  try {
    await programs.launch({ name: "sh", args: ["-c", command], folder: "/" }, options);
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

/** Waits until the server says that it is well. Throws `start-failed` when it does not in time (milliseconds). */
export async function waitUntilUp(
  url: string,
  limit: number,
  { http, machine, signal }: { http: Http; machine: Machine; signal: AbortSignal },
): Promise<void> {
  const until = machine.elapsed() + limit;
  for (;;) {
    const answer = await http.get(`${url}/health`, { timeout: 5000, signal }).catch(() => undefined);
    if (answer?.status === 200) return;
    signal.throwIfAborted();
    if (machine.elapsed() > until) {
      throw new MigrationError(
        "start-failed",
        `the new server does not answer at ${url} after ${Math.round(limit / 1000)} seconds`,
        {
          hint: "look at the server's own log; --url says where else to ask",
        },
      );
    }
    await machine.wait(250, signal);
  }
}
