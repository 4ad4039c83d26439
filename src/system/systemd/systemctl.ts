import type { Files } from "../files/files.ts";
import type { Programs } from "../programs/programs.ts";

/** Milliseconds: systemd itself gives a unit 90 seconds to stop, and some are given more. */
const PATIENCE = 330_000;

/** systemctl(1). Throws `program-failed` with its own words, `program-missing`. */
export function systemctl(args: readonly string[], programs: Programs): Promise<string> {
  return programs.run({ name: "systemctl", args: ["--no-ask-password", ...args], limit: PATIENCE });
}

export interface UnitState {
  /** Whether there is a unit of that name. */
  readonly known: boolean;
  /** Whether it runs, or is about to: "activating" is a unit that systemd starts again and again. */
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
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(said)?.[1]?.trim() ?? "";
  return {
    known: value("LoadState") !== "not-found",
    isActive: !["", "inactive", "failed"].includes(value("ActiveState")),
    file: value("UnitFileState"),
    fragment: value("FragmentPath"),
  };
}

/**
 * Where a unit has to be kept from starting by a drop-in: its own file lies where a mask would have to be put
 * (systemctl(1), "mask"). Undefined where it can be masked.
 */
export function dropInFor(unit: string, { fragment }: UnitState): string | undefined {
  return fragment === `/etc/systemd/system/${unit}` ? `${fragment}.d/${DROP_IN}` : undefined;
}

const DROP_IN = "synlift-fence.conf";

/** Whether it may be one that `dropInFor` names: nothing else is ever to be taken away. */
export const isDropIn = (path: string) => path.startsWith("/") && path.endsWith(`.d/${DROP_IN}`);

/** systemd.unit(5): a condition that is not met keeps a unit from starting, whoever starts it. */
export async function holdUnit(path: string, programs: Programs, files: Files): Promise<void> {
  await files.makeFolder(path.slice(0, path.lastIndexOf("/")), 0o755);
  await files.writeWhole(path, HELD, 0o644);
  await systemctl(["daemon-reload"], programs);
}

export async function releaseUnit(path: string, programs: Programs, files: Files): Promise<void> {
  await files.remove(path);
  await systemctl(["daemon-reload"], programs);
}

const HELD = `# Made by synlift: this server is being moved. "synlift rollback" takes this file away.
[Unit]
ConditionPathExists=/nonexistent/synlift-fence
`;
