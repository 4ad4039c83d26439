import { MigrationError } from "../../errors.ts";
import { waitUntilUp } from "../../homeserver/service/start.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { type ScriptRun, withSettings } from "./script.ts";
import { startSupervised } from "./supervised.ts";
import { synapseCall } from "./synapse.ts";

/** Milliseconds: a large server fills its caches first. */
const START_TIMEOUT_MS = 300_000;

/**
 * Starts a real Synapse on the new database, in isolation, and stops it as soon as it answers: it checks each of its
 * sequences and streams when it starts. Throws `port-failed` when it does not start.
 */
export async function startOnce(run: ScriptRun, system: System, progress: Progress): Promise<void> {
  const { log, synapse, target } = run;
  progress.note("starting a Synapse in isolation on the new database");
  await log.say("-- synapse.app.homeserver");
  const port = await unusedPort(system);
  await withSettings(run, { engine: "postgres", port }, system, async (settings) => {
    const call = synapseCall("synapse.app.homeserver", ["-c", settings], synapse, target);
    const server = await startSupervised(call, "TERM", system.programs);
    let ended = false;
    const reading = (async () => {
      for await (const lines of server.lines) await log.add(lines);
      ended = true;
    })();
    reading.catch(() => undefined);
    const assertRuns = async () => {
      if (!ended) return;
      throw new MigrationError(
        "port-failed",
        `Synapse does not start on the new database: it ended with ${describeStatus(await server.end())}`,
        { hint: `what it said is in ${log.path}` },
      );
    };
    try {
      await waitUntilUp(`http://127.0.0.1:${port}`, START_TIMEOUT_MS, system, assertRuns);
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code !== "start-failed") throw error;
      throw new MigrationError("port-failed", "the Synapse on the new database does not answer", {
        hint: `what it said is in ${log.path}`,
        cause: error,
      });
    } finally {
      await server.end();
      await reading;
    }
  });
}

/** A signal that nothing of ours sent has another cause than the database, such as too little memory. */
const describeStatus = (status: number | null) =>
  status !== null && status > 128 ? `signal ${status - 128}` : `exit status ${status ?? "unknown"}`;

/** Of those that programs get for outgoing connections by default (RFC 6335, dynamic ports). */
async function unusedPort({ http, machine }: Pick<System, "http" | "machine">): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const [high, low] = machine.random(2);
    const port = 49_152 + (((high! << 8) | low!) % 16_384);
    if (!(await http.accepts("127.0.0.1", port, 1000))) return port;
  }
  throw new MigrationError("port-failed", "no free port was found on 127.0.0.1 for the Synapse in isolation");
}
