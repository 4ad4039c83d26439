import { engine } from "../../system/containers.ts";
import type { Files } from "../../system/files/files.ts";
import type { Machine } from "../../system/machine.ts";
import type { Programs } from "../../system/programs/programs.ts";
import { shellWord } from "../../system/shell-word.ts";
import { releaseUnit, systemctl } from "../../system/systemd/systemctl.ts";
import type { Change } from "./fence/record.ts";
import type { Keeper } from "./keeper.ts";
import { start } from "./start.ts";
import { synctlCall } from "./stop.ts";

/** How a change is undone, in words. */
export function undoWords({ kind, name, before }: Change, keeper: Keeper, startCommand?: string): string {
  switch (kind) {
    case "unit-enabled":
      return `systemctl enable ${before === "enabled-runtime" ? "--runtime " : ""}${name}`;
    case "unit-running":
      return `systemctl start ${name}`;
    case "unit-masked":
      return `systemctl unmask ${name}`;
    case "unit-held":
      return `remove ${before ?? ""}, so that ${name} may start`;
    case "restart-policy":
      return `${engineOf(keeper)} update --restart=${before ?? "no"} ${name}`;
    case "container-running":
      return `${engineOf(keeper)} start ${name}`;
    case "running":
      if (startCommand !== undefined) return `run ${startCommand}`;
      if (keeper.kind === "synctl") return `synctl start ${shellWord(keeper.config)}`;
      if (keeper.kind === "commands" && keeper.start !== null) return `run ${keeper.start}`;
      return "start the server the way you usually do";
    case "role-writes":
      return `allow the database role ${name} to write again${before === null ? "" : `, as before: read-only ${before}`}`;
    case "file-writes":
      return `restore mode ${before ?? ""} of ${name}`;
  }
}

/** Whether undoing it starts the server: that comes last. */
export const starts = ({ kind }: Change) =>
  kind === "unit-running" || kind === "container-running" || kind === "running";

/**
 * Undoes a change to the host itself. May be repeated. Returns false where only a person can do it. Throws what the
 * program throws.
 */
export async function undoOnHost(
  change: Change,
  keeper: Keeper,
  startCommand: string | undefined,
  { programs, files, machine }: { programs: Programs; files: Files; machine: Machine },
): Promise<boolean> {
  const { kind, name, before } = change;
  if (kind === "unit-enabled")
    await systemctl(["enable", ...(before === "enabled-runtime" ? ["--runtime"] : []), name], programs);
  else if (kind === "unit-running") await systemctl(["start", name], programs);
  else if (kind === "unit-masked") await systemctl(["unmask", name], programs);
  else if (kind === "unit-held") await releaseUnit(before!, programs, files);
  else if (kind === "restart-policy")
    await engine(engineOf(keeper), ["update", `--restart=${before ?? "no"}`, name], programs);
  else if (kind === "container-running") await engine(engineOf(keeper), ["start", name], programs);
  else if (kind === "running") return startAgain(keeper, startCommand, programs, machine);
  return true;
}

async function startAgain(
  keeper: Keeper,
  startCommand: string | undefined,
  programs: Programs,
  machine: Machine,
): Promise<boolean> {
  const command = startCommand ?? (keeper.kind === "commands" ? keeper.start : null);
  if (command !== null) await start(command, programs);
  else if (keeper.kind === "synctl") await programs.launch(synctlCall("start", keeper, machine));
  else return false;
  return true;
}

const engineOf = (keeper: Keeper) => (keeper.kind === "containers" ? keeper.engine : "docker");
