import { engine } from "../../system/containers.ts";
import type { Files } from "../../system/files/files.ts";
import type { Machine } from "../../system/machine.ts";
import type { Programs } from "../../system/programs/programs.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import { systemctl, unblockUnit } from "../../system/systemd/systemctl.ts";
import type { Change } from "./fence/record.ts";
import { reloadOf, restoreWebServer } from "./fence/web-server.ts";
import { start } from "./start.ts";
import { synctlCall } from "./stop.ts";
import type { Supervisor } from "./supervisor.ts";

/** How a change is undone, in words. */
export function describeUndo(
  { kind, name, before }: Change,
  supervisor: Supervisor,
  startCommand?: string,
): string {
  switch (kind) {
    case "unit-enabled":
      return `systemctl enable ${before === "enabled-runtime" ? "--runtime " : ""}${name}`;
    case "unit-running":
      return `systemctl start ${name}`;
    case "unit-masked":
      return `systemctl unmask ${name}`;
    case "unit-held":
      return `rm ${quoteShellWord(before ?? "")} && systemctl daemon-reload, so that ${name} can start`;
    case "restart-policy":
      return `${engineOf(supervisor)} update --restart=${before ?? "no"} ${name}`;
    case "container-running":
      return `${engineOf(supervisor)} start ${name}`;
    case "running":
      if (startCommand !== undefined) return `run ${startCommand}`;
      if (supervisor.kind === "synctl") return `synctl start ${quoteShellWord(supervisor.config)}`;
      if (supervisor.kind === "commands" && supervisor.start !== null) return `run ${supervisor.start}`;
      return "start the server the way you usually do";
    case "role-writes":
      return `allow the database role ${name} to write again${before === null ? "" : `, as before: read-only ${before}`}`;
    case "web-server":
      return `put ${quoteShellWord(name)} back as it was, and run ${quoteShellWord(reloadOf({ before }))}: the web server no longer answers for the homeserver`;
    case "file-writes":
      return `restore mode ${before ?? ""} of ${name}`;
  }
}

/** Whether undoing it starts the server: that comes last. */
export const startsServer = ({ kind }: Change) =>
  kind === "unit-running" || kind === "container-running" || kind === "running";

/**
 * Undoes a change to the host itself. May be repeated. Returns false where only a person can do it. Throws what the
 * program throws.
 */
export async function undoOnHost(
  change: Change,
  supervisor: Supervisor,
  startCommand: string | undefined,
  { programs, files, machine }: { programs: Programs; files: Files; machine: Machine },
): Promise<boolean> {
  const { kind, name, before } = change;
  if (kind === "unit-enabled")
    await systemctl(["enable", ...(before === "enabled-runtime" ? ["--runtime"] : []), name], programs);
  else if (kind === "unit-running") await systemctl(["start", name], programs);
  else if (kind === "web-server") await restoreWebServer(change, { files, programs });
  else if (kind === "unit-masked") await systemctl(["unmask", name], programs);
  else if (kind === "unit-held") await unblockUnit(before!, programs, files);
  else if (kind === "restart-policy")
    await engine(engineOf(supervisor), ["update", `--restart=${before ?? "no"}`, name], programs);
  else if (kind === "container-running") await engine(engineOf(supervisor), ["start", name], programs);
  else if (kind === "running") return startAgain(supervisor, startCommand, programs, machine);
  return true;
}

async function startAgain(
  supervisor: Supervisor,
  startCommand: string | undefined,
  programs: Programs,
  machine: Machine,
): Promise<boolean> {
  const command = startCommand ?? (supervisor.kind === "commands" ? supervisor.start : null);
  if (command !== null) await start(command, programs);
  else if (supervisor.kind === "synctl")
    await programs.startDetached(synctlCall("start", supervisor, machine));
  else return false;
  return true;
}

const engineOf = (supervisor: Supervisor) =>
  supervisor.kind === "containers" ? supervisor.engine : "docker";
