import { MigrationError, tryRead } from "../../errors.ts";
import { unitsStartedBy } from "../../homeserver/service/started-units.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import { systemctl, unitState } from "../../system/systemd/systemctl.ts";
import type { RestoreRecord } from "../restore/record.ts";

/** The units that start the restored server: those of the start command, or of the layout's. */
export const unitsToEnable = (
  { layout }: Pick<RestoreRecord, "layout">,
  startCommand: string | undefined,
): string[] => unitsStartedBy(startCommand ?? layout?.start ?? "");

/** Throws `bad-usage` when there are none: before anything is opened. */
export function assertUnitsKnown(units: readonly string[]): void {
  if (units.length > 0) return;
  throw new MigrationError("bad-usage", "--enable: no unit of systemd is known that starts this server", {
    hint: "give the start command with it: --start-command 'systemctl start matrix-synapse'",
  });
}

/** Makes the units start at boot. The server is open: what fails is a warning. */
export async function enableUnits(units: readonly string[], { programs }: System): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const unit of units)
    try {
      await systemctl(["enable", unit], programs);
      findings.push({
        id: "starts-at-boot",
        level: "ok",
        sentence: `${unit} is enabled: it starts when this host boots`,
      });
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      findings.push({
        id: "starts-at-boot",
        level: "warning",
        sentence: `the server is open, but ${unit} could not be enabled: ${error.message}`,
        hint: `systemctl enable ${unit}`,
      });
    }
  return findings;
}

/** A note for each unit that would not start at boot; nothing where systemd cannot be asked. */
export async function bootFindings(units: readonly string[], { programs }: System): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const unit of units) {
    const state = await tryRead(() => unitState(unit, programs));
    if (state?.known !== true || state.file !== "disabled") continue;
    findings.push({
      id: "starts-at-boot",
      level: "note",
      sentence: `${unit} is not enabled: it does not start when this host boots`,
      hint: `systemctl enable ${unit}; open does it with --enable`,
    });
  }
  return findings;
}
