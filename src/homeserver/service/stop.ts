import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import { containerState, stopContainers } from "../../system/containers.ts";
import type { Account, Machine } from "../../system/machine.ts";
import type { Programs } from "../../system/programs/programs.ts";
import type { Progress } from "../../system/progress.ts";
import { systemctl, unitState } from "../../system/systemd/systemctl.ts";
import type { FenceRecord } from "./fence/record.ts";
import { stop } from "./start.ts";
import type { Supervisor } from "./supervisor.ts";

export interface StopRequest {
  readonly supervisor: Supervisor;
  readonly record: FenceRecord;
  readonly programs: Programs;
  readonly machine: Machine;
}

/**
 * Stops the server through its supervisor, after recording how to start it again; all workers at once, because each second
 * is outage. What is not running is left alone. Throws `fence-failed`.
 */
export async function stopServer({ supervisor, record, programs, machine }: StopRequest): Promise<void> {
  try {
    if (supervisor.kind === "units") {
      const running: string[] = [];
      for (const unit of supervisor.units) if ((await unitState(unit, programs)).isActive) running.push(unit);
      await inOne(record, "unit-running", running, () => systemctl(["stop", ...running], programs));
    } else if (supervisor.kind === "containers") {
      const running: string[] = [];
      for (const one of supervisor.containers)
        if ((await containerState(supervisor.engine, one, programs)).isRunning) running.push(one);
      await inOne(record, "container-running", running, () =>
        stopContainers(supervisor.engine, running, programs),
      );
    } else if (supervisor.kind === "synctl") {
      await record.apply({ kind: "running", name: "synctl", before: null }, () =>
        programs.run({ ...synctlCall("stop", supervisor, machine), timeout: SYNCTL_TIMEOUT_MS }),
      );
    } else if (supervisor.kind === "commands" && supervisor.stop !== undefined) {
      const command = supervisor.stop;
      await record.apply({ kind: "running", name: "command", before: null }, () => stop(command, programs));
    } else {
      // A person stops it: only record that it was running.
      await record.apply({ kind: "running", name: "person", before: null }, () => Promise.resolve());
    }
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError("fence-failed", `the server could not be stopped: ${error.message}`, {
      hint: "check its log; stop it yourself and run the same command again, or undo everything with synlift rollback",
      cause: error,
    });
  }
}

const SYNCTL_TIMEOUT_MS = 120_000;

/** Runs as the account that ran it: otherwise new files would belong to root, and a start would run as root. */
export function synctlCall(
  action: "start" | "stop",
  { program, config, folder, account }: Extract<Supervisor, { kind: "synctl" }>,
  machine: Machine,
): { name: string; args: string[]; folder: string; account?: Account } {
  const known = machine.isRoot && account !== null ? machine.account(account) : undefined;
  return {
    name: program,
    args: [action, config],
    folder,
    ...(known && known.uid !== 0 ? { account: known } : {}),
  };
}

/** Records all of them first, then makes them with one call. */
async function inOne(
  record: FenceRecord,
  kind: "unit-running" | "container-running",
  names: readonly string[],
  act: () => Promise<unknown>,
): Promise<void> {
  const [first, ...others] = names;
  if (first === undefined) return;
  const made = others.reduceRight<() => Promise<unknown>>(
    (rest, name) => () => record.apply({ kind, name, before: null }, rest),
    act,
  );
  await record.apply({ kind, name: first, before: null }, made);
}

/** Milliseconds that a server may take to stop: it finishes its requests. */
const STOP_TIMEOUT_MS = 60_000;

/**
 * Waits until nothing is running any more. A person who stops it is shown what is still running, without a time-out;
 * otherwise throws `homeserver-running` after the time-out.
 */
export async function waitUntilDown(
  look: () => Promise<readonly Finding[]>,
  { person, machine, signal, progress }: WaitOptions,
): Promise<void> {
  const until = machine.elapsed() + STOP_TIMEOUT_MS;
  let told = "";
  for (;;) {
    const alive = await look();
    if (alive.length === 0) return;
    signal.throwIfAborted();
    const seen = alive.map(({ sentence, evidence = [] }) => [sentence, ...evidence].join(": ")).join("; ");
    if (person && seen !== told) progress.note(`stop the server now; it is still running: ${seen}`);
    told = seen;
    if (!person && machine.elapsed() > until) {
      throw new MigrationError(
        "homeserver-running",
        `the server was stopped, but is still running: ${seen}`,
        {
          hint: "stop yourself what is still running and run the same command again, or undo everything with synlift rollback",
        },
      );
    }
    await machine.wait(person ? 1000 : 250, signal);
  }
}

export interface WaitOptions {
  /** Whether the person at the terminal stops it. */
  readonly person: boolean;
  readonly machine: Machine;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}
