import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import { containerState, stopContainers } from "../../system/containers.ts";
import type { Account, Machine } from "../../system/machine.ts";
import type { Programs } from "../../system/programs/programs.ts";
import type { Progress } from "../../system/progress.ts";
import { systemctl, unitState } from "../../system/systemd/systemctl.ts";
import type { FenceRecord } from "./fence/record.ts";
import type { Keeper } from "./keeper.ts";
import { stop } from "./start.ts";

export interface Stopping {
  readonly keeper: Keeper;
  readonly record: FenceRecord;
  readonly programs: Programs;
  readonly machine: Machine;
}

/**
 * Stops what runs, through what runs it, after it was written down how to start it again; all workers at the same time,
 * since each second counts. What does not run stays as it is. Throws `fence-failed`.
 */
export async function stopServer({ keeper, record, programs, machine }: Stopping): Promise<void> {
  try {
    if (keeper.kind === "units") {
      const running: string[] = [];
      for (const unit of keeper.units) if ((await unitState(unit, programs)).isActive) running.push(unit);
      await inOne(record, "unit-running", running, () => systemctl(["stop", ...running], programs));
    } else if (keeper.kind === "containers") {
      const running: string[] = [];
      for (const one of keeper.containers)
        if ((await containerState(keeper.engine, one, programs)).isRunning) running.push(one);
      await inOne(record, "container-running", running, () =>
        stopContainers(keeper.engine, running, programs),
      );
    } else if (keeper.kind === "synctl") {
      await record.make({ kind: "running", name: "synctl", before: null }, () =>
        programs.run({ ...synctlCall("stop", keeper, machine), limit: SYNCTL_PATIENCE }),
      );
    } else if (keeper.kind === "commands" && keeper.stop !== undefined) {
      const command = keeper.stop;
      await record.make({ kind: "running", name: "command", before: null }, () => stop(command, programs));
    } else {
      // Somebody else stops it: all there is to remember is that it ran.
      await record.make({ kind: "running", name: "person", before: null }, () => Promise.resolve());
    }
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError("fence-failed", `the server could not be stopped: ${error.message}`, {
      hint: "look at its log; stop it by hand and run the same command again, or take everything back with synlift rollback",
      cause: error,
    });
  }
}

const SYNCTL_PATIENCE = 120_000;

/** As the account that ran it: else what it writes would belong to us, and a start would be as root. */
export function synctlCall(
  action: "start" | "stop",
  { program, config, folder, account }: Extract<Keeper, { kind: "synctl" }>,
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

/** Writes all of them down first, then does them with one call. */
async function inOne(
  record: FenceRecord,
  kind: "unit-running" | "container-running",
  names: readonly string[],
  act: () => Promise<unknown>,
): Promise<void> {
  const [first, ...others] = names;
  if (first === undefined) return;
  const made = others.reduceRight<() => Promise<unknown>>(
    (rest, name) => () => record.make({ kind, name, before: null }, rest),
    act,
  );
  await record.make({ kind, name: first, before: null }, made);
}

/** Milliseconds that a server may go on after it was told to stop: it finishes what it is doing. */
const GRACE = 60_000;

/**
 * Looks until nothing is up any more. A person who is to stop it is told what is still up, and waited for as long as it
 * takes; else throws `homeserver-running` when it takes too long.
 */
export async function waitUntilDown(
  look: () => Promise<readonly Finding[]>,
  { person, machine, signal, progress }: Waiting,
): Promise<void> {
  const until = machine.elapsed() + GRACE;
  let told = "";
  for (;;) {
    const alive = await look();
    if (alive.length === 0) return;
    signal.throwIfAborted();
    const seen = alive.map(({ sentence, evidence = [] }) => [sentence, ...evidence].join(": ")).join("; ");
    if (person && seen !== told) progress.note(`stop it now; it is not down yet: ${seen}`);
    told = seen;
    if (!person && machine.elapsed() > until) {
      throw new MigrationError("homeserver-running", `the server was stopped, but is not down: ${seen}`, {
        hint: "stop by hand what is still up and run the same command again, or take everything back with synlift rollback",
      });
    }
    await machine.wait(person ? 1000 : 250, signal);
  }
}

export interface Waiting {
  /** Whether somebody at the terminal stops it. */
  readonly person: boolean;
  readonly machine: Machine;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}
