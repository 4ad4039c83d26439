import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import { reasonNotCompared } from "../../homeserver/database/port/tables.ts";
import type { TableRows } from "../../homeserver/database/port/verify.ts";
import { formatDuration } from "../../report/units.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { parseLine, type PortLog } from "./log.ts";
import { portSettings } from "./settings.ts";
import { startSupervised, unlessSilent } from "./supervised.ts";
import { type PortingSynapse, synapseCall } from "./synapse.ts";

/** What all of Synapse's programs are given during a port. */
export interface ScriptRun {
  readonly serverName: string;
  readonly copy: string;
  readonly target: PostgresAddress;
  readonly synapse: PortingSynapse;
  readonly silence: number;
  readonly log: PortLog;
}

/** A file with the settings of one program, readable by the account that runs it; removed afterwards. */
export async function withSettings<T>(
  { serverName, copy, target, synapse }: ScriptRun,
  { engine, port }: { readonly engine: "postgres" | "sqlite"; readonly port: number },
  { files, machine }: System,
  run: (path: string) => Promise<T>,
): Promise<T> {
  const { folder, account } = synapse;
  const path = join(folder, `${engine}.yaml`);
  const database =
    engine === "sqlite" ? ({ engine, path: copy } as const) : ({ engine, address: target } as const);
  const text = portSettings(database, { serverName, folder, key: machine.random(32), port });
  await files.writeAtomically(path, text);
  if (account) await files.setOwner(path, account.uid, account.gid);
  try {
    return await run(path);
  } finally {
    await files.remove(path);
  }
}

/** A port that nobody listens on is needed in the settings, but not used by the scripts. */
const UNUSED_PORT = 8008;

/**
 * Runs synapse_port_db on the copy and waits for its end. Its exit status alone proves nothing: ended by SIGTERM it is 0.
 * Throws `port-failed` when it fails, or says nothing for too long.
 */
export async function runPortScript(
  run: ScriptRun,
  rows: TableRows,
  system: System,
  progress: Progress,
): Promise<void> {
  const total = Object.entries(rows)
    .filter(([table]) => reasonNotCompared(table) === undefined)
    .reduce((sum, [, count]) => sum + count, 0);
  const task = { id: "port/rows", label: "copy to PostgreSQL", unit: "rows", total } as const;
  const done = new Map<string, number>();
  await withSettings(run, { engine: "postgres", port: UNUSED_PORT }, system, async (settings) => {
    const args = ["--sqlite-database", run.copy, "--postgres-config", settings];
    progress.begin(task);
    await runScript("synapse._scripts.synapse_port_db", args, run, system, (line) => {
      const said = parseLine(line);
      if (said.kind === "state") progress.note(`synapse_port_db: ${lowerFirst(said.state)}`);
      if (said.kind !== "progress") return;
      progress.advance(task.id, Math.max(0, said.done - (done.get(said.table) ?? 0)));
      done.set(said.table, said.done);
    });
    progress.end(task.id);
  });
}

const lowerFirst = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);

/** Brings the copy's schema up to date and finishes its background updates, without a server. Throws `port-failed`. */
export async function finishUpdates(run: ScriptRun, system: System, progress: Progress): Promise<void> {
  progress.note("Synapse finishes the pending background updates on the copy");
  await withSettings(run, { engine: "sqlite", port: UNUSED_PORT }, system, (settings) =>
    runScript(
      "synapse._scripts.update_synapse_database",
      ["--database-config", settings, "--run-background-updates"],
      run,
      system,
    ),
  );
}

async function runScript(
  module: string,
  args: readonly string[],
  { synapse, target, silence, log }: ScriptRun,
  system: System,
  hear: (line: string) => void = () => undefined,
): Promise<void> {
  const name = module.split(".").at(-1)!;
  await log.say(`-- ${name}`);
  const program = await startSupervised(synapseCall(module, args, synapse, target), "KILL", system.programs);
  let raised: ReturnType<typeof parseLine> | undefined;
  let status: number | null = null;
  try {
    const late = () =>
      new MigrationError("port-failed", `${name} said nothing for ${formatDuration(silence / 1000)}`, {
        hint: `look at ${log.path} and at the database server (locks, disk, memory); --silence gives it more time`,
      });
    for await (const lines of unlessSilent(program.lines, silence, { machine: system.machine, late })) {
      await log.add(lines);
      for (const line of lines) {
        hear(line);
        const said = parseLine(line);
        if (said.kind === "raised") raised = said;
      }
    }
  } finally {
    status = await program.end();
  }
  system.signal.throwIfAborted();
  if (status === 0) return;
  const cause =
    raised?.kind === "raised"
      ? `: ${[raised.error, ...raised.names].join(", ")}`
      : status !== null && status > 128
        ? `: it was ended by signal ${status - 128}`
        : "";
  throw new MigrationError("port-failed", `${name} failed with exit status ${status ?? "unknown"}${cause}`, {
    hint: `its log is ${log.path}; correct the cause, then run the same command again: it starts over`,
  });
}
