import type { Files } from "../files/files.ts";
import type { Programs } from "../programs/programs.ts";

/** Milliseconds: systemd itself gives a unit 90 seconds to stop, and some are given more. */
const TIMEOUT_MS = 330_000;

/** Runs systemctl(1). Throws `program-failed` with its message, `program-missing`. */
export function systemctl(args: readonly string[], programs: Programs): Promise<string> {
  return programs.run({ name: "systemctl", args: ["--no-ask-password", ...args], timeout: TIMEOUT_MS });
}

export interface UnitState {
  /** Whether there is a unit of that name. */
  readonly known: boolean;
  /** Whether it runs or is starting: a unit that keeps failing and restarting is "activating". */
  readonly isActive: boolean;
  /** "enabled", "enabled-runtime", "static", "disabled", "masked", … */
  readonly file: string;
  /** Where its own file is; empty when it has none. */
  readonly fragment: string;
}

export async function unitState(unit: string, programs: Programs): Promise<UnitState> {
  const said = await systemctl(
    ["show", "--property=LoadState,ActiveState,UnitFileState,FragmentPath", unit],
    programs,
  );
  const value = (key: string) => valueIn(said, key);
  return {
    known: value("LoadState") !== "not-found",
    isActive: !["", "inactive", "failed"].includes(value("ActiveState")),
    file: value("UnitFileState"),
    fragment: value("FragmentPath"),
  };
}

/** How the last start of a unit ended. systemctl(1), "show"; org.freedesktop.systemd1(5). */
export interface StartResult {
  /** "active", "activating", "inactive", "failed", … */
  readonly active: string;
  /** "running", "dead", "auto-restart", … */
  readonly sub: string;
  /** "success", "exit-code", "timeout", … */
  readonly result: string;
  /** False when a condition of the unit was not met: then systemd starts nothing, and `systemctl start` exits with 0. */
  readonly conditionsMet: boolean;
  /** Whether a job for the unit is still queued: it was started with `--no-block`. */
  readonly isQueued: boolean;
}

/** Throws `program-failed`, `program-missing`. */
export async function startResult(unit: string, programs: Programs): Promise<StartResult> {
  const properties = "ActiveState,SubState,Result,ConditionResult,AssertResult,Job";
  const said = await systemctl(["show", `--property=${properties}`, unit], programs);
  return {
    active: valueIn(said, "ActiveState"),
    sub: valueIn(said, "SubState"),
    result: valueIn(said, "Result"),
    conditionsMet: valueIn(said, "ConditionResult") !== "no" && valueIn(said, "AssertResult") !== "no",
    isQueued: !["", "0"].includes(valueIn(said, "Job")),
  };
}

/** The last lines of a unit's journal, systemd's own about it included. Throws `program-failed`, `program-missing`. */
export async function journalLines(unit: string, programs: Programs): Promise<string[]> {
  const args = ["-u", unit, "-n", String(JOURNAL_LINES), "--no-pager", "-o", "cat"];
  const said = await programs.run({ name: "journalctl", args, timeout: JOURNAL_TIMEOUT_MS });
  return said.split("\n").filter((line) => line.trim() !== "");
}

const JOURNAL_LINES = 20;
const JOURNAL_TIMEOUT_MS = 20_000;

const valueIn = (said: string, key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(said)?.[1]?.trim() ?? "";

/**
 * Path of the drop-in for a unit that cannot be masked, because its own file is where the mask would be
 * (systemctl(1), "mask"). Undefined where it can be masked.
 */
export function fenceDropIn(unit: string, { fragment }: UnitState): string | undefined {
  return fragment === `/etc/systemd/system/${unit}` ? `${fragment}.d/${DROP_IN}` : undefined;
}

const DROP_IN = "synlift-fence.conf";

/** Whether `fenceDropIn` could have made this path: nothing else may ever be removed. */
export const isDropIn = (path: string) => path.startsWith("/") && path.endsWith(`.d/${DROP_IN}`);

/** Blocks a unit with a condition that is never met, systemd.unit(5). */
export async function blockUnit(path: string, programs: Programs, files: Files): Promise<void> {
  await files.makeFolder(path.slice(0, path.lastIndexOf("/")), 0o755);
  await files.writeAtomically(path, DROP_IN_TEXT, 0o644);
  await systemctl(["daemon-reload"], programs);
}

export async function unblockUnit(path: string, programs: Programs, files: Files): Promise<void> {
  await files.remove(path);
  await systemctl(["daemon-reload"], programs);
}

const DROP_IN_TEXT = `# Made by synlift: this server is being moved. "synlift rollback" removes this file.
[Unit]
ConditionPathExists=/nonexistent/synlift-fence
`;
