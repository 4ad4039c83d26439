import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import { containerState, engine } from "../../../system/containers.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import { blockUnit, fenceDropIn, systemctl, unitState } from "../../../system/systemd/systemctl.ts";
import type { FenceRecord } from "./record.ts";

export interface Fencing {
  readonly record: FenceRecord;
  /** Ids of fence steps whose failure was accepted. */
  readonly accepted: readonly string[];
  readonly programs: Programs;
  readonly files: Files;
}

/**
 * The part of the fence that does not affect a running server, so it is done before the stop, and missing permissions are
 * found while the server still runs. Disables units and removes restart policies, so that the server does not restart by
 * itself. Returns what was accepted. Throws `fence-failed`.
 */
export async function fenceBeforeStop(fencing: Fencing): Promise<Finding[]> {
  const { record, programs } = fencing;
  const { supervisor } = record;
  const findings: Finding[] = [];
  if (supervisor.kind === "units") {
    for (const unit of supervisor.units) {
      findings.push(
        ...(await fenceStep("fence-disable", `the unit ${unit} cannot be disabled`, fencing, async () => {
          const { known, file } = await unitState(unit, programs);
          if (!known) throw new MigrationError("fence-failed", `systemd has no unit ${unit}`);
          const standing = record.find("unit-enabled", unit);
          if (!standing && file !== "enabled" && file !== "enabled-runtime") return;
          await record.apply({ kind: "unit-enabled", name: unit, before: file }, () =>
            systemctl(["disable", ...(file === "enabled-runtime" ? ["--runtime"] : []), unit], programs),
          );
        })),
      );
    }
  }
  if (supervisor.kind === "containers") {
    for (const container of supervisor.containers) {
      findings.push(
        ...(await fenceStep(
          "fence-restart-policy",
          `the restart policy of ${container} cannot be removed`,
          fencing,
          async () => {
            const { policy } = await containerState(supervisor.engine, container, programs);
            if (policy === "no") return;
            await record.apply({ kind: "restart-policy", name: container, before: policy }, () =>
              engine(supervisor.engine, ["update", "--restart=no", container], programs),
            );
          },
        )),
      );
    }
  }
  return findings;
}

/** Prevents stopped units from being started: with a mask, or a drop-in where a unit cannot be masked. Throws `fence-failed`. */
export async function fenceAfterStop(fencing: Fencing): Promise<Finding[]> {
  const { record, programs, files } = fencing;
  const findings: Finding[] = [];
  for (const unit of record.supervisor.kind === "units" ? record.supervisor.units : []) {
    findings.push(
      ...(await fenceStep("fence-mask", `the unit ${unit} cannot be masked`, fencing, async () => {
        const state = await unitState(unit, programs);
        const held = record.find("unit-held", unit);
        if (!held && state.file.startsWith("masked") && !record.find("unit-masked", unit)) return;
        const path = held?.before ?? fenceDropIn(unit, state);
        if (path === undefined) {
          await record.apply({ kind: "unit-masked", name: unit, before: null }, () =>
            systemctl(["mask", unit], programs),
          );
        } else if (held || !(await files.lstat(path))) {
          await record.apply({ kind: "unit-held", name: unit, before: path }, () =>
            blockUnit(path, programs, files),
          );
        }
      })),
    );
  }
  return findings;
}

/** Does one step of the fence. Throws `fence-failed`, because a server that starts again makes the bundle worthless; accepted failures become findings. */
export async function fenceStep(
  id: string,
  what: string,
  { accepted }: Pick<Fencing, "accepted">,
  act: () => Promise<void>,
): Promise<Finding[]> {
  try {
    await act();
    return [];
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const sentence = `${what}: ${error.message}`;
    const hint = `fix that, or prevent the server from starting yourself and continue without this step: --accept ${id}`;
    if (accepted.includes(id)) return [{ id, level: "warning", sentence: `${sentence} (accepted)`, hint }];
    throw new MigrationError("fence-failed", sentence, { hint, cause: error });
  }
}
