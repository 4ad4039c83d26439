import { dropInPath } from "../../homeserver/service/fence/new-server.ts";
import { unitsReading } from "../../homeserver/service/find/units.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import type { ChosenLayout } from "./layouts/choose.ts";

export interface BlockedUnits {
  /** Absolute paths of the drop-ins. */
  readonly dropIns: readonly string[];
  readonly findings: readonly Finding[];
}

/**
 * The units that must not start before `open`: those of the layout and of `--unit`, and every other unit that reads the
 * configuration folder, also one whose package is installed later. Changes nothing. `root` is where the host's "/" is.
 */
export async function unitsToBlock(
  { units, configDir, blocksReaders }: Pick<ChosenLayout, "units" | "configDir" | "blocksReaders">,
  systemdFolder: string | undefined,
  system: Pick<System, "files" | "machine" | "programs">,
  root = "/",
): Promise<BlockedUnits> {
  const reading = blocksReaders ? await unitsReading(configDir, system, root) : [];
  const others = reading.filter((unit) => !units.includes(unit));
  const paths = (names: readonly string[]) => names.map((unit) => dropInPath(unit, systemdFolder));
  if (others.length === 0) return { dropIns: paths(units), findings: [] };
  const evidence = others;
  if (!system.machine.isRoot && systemdFolder === undefined) {
    const finding: Finding = {
      id: "units-not-blocked",
      level: "warning",
      sentence: `units read ${configDir}, and only root can prevent them from starting before open`,
      evidence,
      hint: "run restore as root, or mask these units until open",
    };
    return { dropIns: paths(units), findings: [finding] };
  }
  const finding: Finding = {
    id: "units-blocked",
    level: "note",
    sentence: `units that read ${configDir} cannot start until open`,
    evidence,
  };
  return { dropIns: paths([...units, ...others]), findings: [finding] };
}
