import { join, resolve } from "node:path";
import { MigrationError, tryRead } from "../../errors.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { Machine } from "../../system/machine.ts";
import type { System } from "../../system/system.ts";
import { systemctl, unitState } from "../../system/systemd/systemctl.ts";
import { acquireFollowLock } from "./lock.ts";
import type { FollowState } from "./state.ts";

/** A systemd unit that follows. */
export interface Unit {
  readonly name: string;
  readonly path: string;
}

const UNIT = "synlift-follow.service";
const MARK = "# Made by synlift follow.";

interface UnitOrder {
  readonly configDir: string;
  readonly systemdDir: string;
  readonly checkpoint: string;
  readonly maxRate: string | undefined;
}

/** Returns its path. Changes nothing. Throws `program-missing` without systemd, and `file-failed` for another unit of that name. */
export async function assertMayHaveUnit(systemdDir: string, { files, programs }: System): Promise<string> {
  await unitState(UNIT, programs);
  const path = join(systemdDir, UNIT);
  const found = await tryRead(() => files.readText(path));
  if (found === undefined || found.startsWith(MARK)) return path;
  throw new MigrationError("file-failed", `${path} exists, and synlift did not write it`, {
    hint: "move it away, or name another folder with --systemd-dir",
  });
}

/** Writes the unit, and starts it now and at each boot. Throws `file-failed` for a unit of that name that somebody else made. */
export async function startUnit(order: UnitOrder, state: FollowState, system: System): Promise<Unit> {
  const { files, machine, programs } = system;
  const path = await assertMayHaveUnit(order.systemdDir, system);
  const command = [
    ...ownCommand(machine),
    ...["follow", "--config-dir", order.configDir, "--checkpoint", order.checkpoint],
    ...(order.maxRate === undefined ? [] : ["--max-rate", order.maxRate]),
  ];
  await files.writeAtomically(path, unitText(state, command), 0o644);
  await systemctl(["daemon-reload"], programs);
  await systemctl(["enable", UNIT], programs);
  await systemctl(["stop", UNIT], programs);
  await systemctl(["start", UNIT], programs);
  return { name: UNIT, path };
}

/** How this very program is started: its interpreter with its options, and its file. */
function ownCommand({ processes, pid, folder }: Pick<Machine, "processes" | "pid" | "folder">): string[] {
  const args = processes().find((one) => one.pid === pid)?.args ?? [];
  const end = args.indexOf("follow");
  if (end < 1)
    throw new MigrationError("program-failed", "it cannot be found out how synlift was started", {
      hint: "start the command by other means: it runs in the foreground without --service",
    });
  return args.slice(0, end).map((arg, at) => {
    // A relative path holds only in this folder; a word such as an option, or a name in PATH, stays.
    const isPath = arg.includes("/") && !arg.startsWith("-");
    return isPath || (at > 0 && /\.[cm]?[jt]s$/.test(arg)) ? resolve(folder, arg) : arg;
  });
}

/** systemd.service(5). A word with a percent sign or a dollar sign is written so that systemd replaces nothing. */
function unitText({ here, serverName, old }: FollowState, command: readonly string[]): string {
  const words = command.map((word) => quoted(word)).join(" ");
  // A server that pg_ctl has started in this unit is to stay when the unit ends.
  const killMode = here.kind === "standby" && here.cluster === null ? "process" : "mixed";
  return `${MARK} "synlift follow stop" removes it.
[Unit]
Description=Copy of the database of ${serverName.replaceAll("%", "%%")} that follows ${old.address.replaceAll("%", "%%")}
After=network-online.target postgresql.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=${words}
KillMode=${killMode}
Restart=on-failure
RestartSec=10
# Asked to stop, during the first copy.
SuccessExitStatus=143
# Nothing of this is mended by another start: wrong usage, the copy is lost, it was promoted.
RestartPreventExitStatus=2 45 65

[Install]
WantedBy=multi-user.target
`;
}

const quoted = (word: string) =>
  `"${word.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%").replaceAll("$", "$$$$")}"`;

/** Stops the unit and removes it, if synlift wrote it. May be repeated. */
export async function removeUnit(systemdDir: string, { files, programs }: System): Promise<void> {
  const path = join(systemdDir, UNIT);
  const found = await tryRead(() => files.readText(path));
  if (found?.startsWith(MARK) !== true) return;
  await systemctl(["stop", UNIT], programs);
  await systemctl(["disable", UNIT], programs);
  await files.remove(path);
  await systemctl(["daemon-reload"], programs);
}

/** Lets the unit go on after `takeOver`, when the copy still follows. Throws `program-failed`. */
export const startUnitAgain = ({ programs }: Pick<System, "programs">): Promise<void> =>
  systemctl(["start", UNIT], programs).then(() => undefined);

/**
 * Takes over from whatever follows, for the cut-over or the end: stops the unit, if it is what follows, and acquires the lock. The unit
 * stays enabled. Throws `bundle-in-use` where a person has it running in a terminal.
 */
export async function takeOver(configDir: string, system: System): Promise<{ release(): Promise<void> }> {
  // Also while it waits for its next start: it would begin again in the middle of what comes now.
  if (await isUnitOf(configDir, system)) await systemctl(["stop", UNIT], system.programs);
  return acquireFollowLock(configDir, system);
}

/** Whether the unit runs, or will start again, for this copy and not for another one; false where there is no systemd. */
export async function isUnitOf(
  configDir: string,
  { files, programs }: Pick<System, "files" | "programs">,
): Promise<boolean> {
  const state = await tryRead(() => unitState(UNIT, programs));
  if (!state?.isActive || state.fragment === "") return false;
  const text = await tryRead(() => files.readText(state.fragment));
  return text?.startsWith(MARK) === true && text.includes(` ${quoted(configDir)} `);
}

/** For people. */
export const logCommand = () => `journalctl -fu ${quoteShellWord(UNIT)}`;
