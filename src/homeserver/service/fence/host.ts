import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import { containerState, engine } from "../../../system/containers.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import { dropInFor, holdUnit, systemctl, unitState } from "../../../system/systemd/systemctl.ts";
import type { FenceRecord } from "./record.ts";

export interface Fencing {
  readonly record: FenceRecord;
  /** Ids of fence steps that a person goes on without. */
  readonly accepted: readonly string[];
  readonly programs: Programs;
  readonly files: Files;
}

/**
 * What keeps the server from coming back by itself and hurts nobody while it runs: so it is done before the stop, and
 * what is not allowed is found out while people still have their server. Units are disabled, restart policies taken off.
 * Answers what was so before, and what a person accepted. Throws `fence-failed`.
 */
export async function fenceQuietly(fencing: Fencing): Promise<Finding[]> {
  const { record, programs } = fencing;
  const { keeper } = record;
  const findings: Finding[] = [];
  if (keeper.kind === "units") {
    for (const unit of keeper.units) {
      findings.push(
        ...(await fenceStep("fence-disable", `the unit ${unit} cannot be disabled`, fencing, async () => {
          const { known, file } = await unitState(unit, programs);
          if (!known) throw new MigrationError("fence-failed", `systemd knows no unit ${unit}`);
          const standing = record.find("unit-enabled", unit);
          if (!standing && file !== "enabled" && file !== "enabled-runtime") return;
          await record.make({ kind: "unit-enabled", name: unit, before: file }, () =>
            systemctl(["disable", ...(file === "enabled-runtime" ? ["--runtime"] : []), unit], programs),
          );
        })),
      );
    }
  }
  if (keeper.kind === "containers") {
    for (const container of keeper.containers) {
      findings.push(
        ...(await fenceStep(
          "fence-policy",
          `the restart policy of ${container} cannot be taken off`,
          fencing,
          async () => {
            const { policy } = await containerState(keeper.engine, container, programs);
            if (policy === "no") return;
            await record.make({ kind: "restart-policy", name: container, before: policy }, () =>
              engine(keeper.engine, ["update", "--restart=no", container], programs),
            );
          },
        )),
      );
    }
  }
  return findings;
}

/** What keeps a stopped unit from being started, by whomever: a mask, or where none can be put, a drop-in. Throws `fence-failed`. */
export async function fenceStopped(fencing: Fencing): Promise<Finding[]> {
  const { record, programs, files } = fencing;
  const findings: Finding[] = [];
  for (const unit of record.keeper.kind === "units" ? record.keeper.units : []) {
    findings.push(
      ...(await fenceStep("fence-mask", `the unit ${unit} cannot be masked`, fencing, async () => {
        const state = await unitState(unit, programs);
        const held = record.find("unit-held", unit);
        if (!held && state.file.startsWith("masked") && !record.find("unit-masked", unit)) return;
        const path = held?.before ?? dropInFor(unit, state);
        if (path === undefined) {
          await record.make({ kind: "unit-masked", name: unit, before: null }, () =>
            systemctl(["mask", unit], programs),
          );
        } else if (held || !(await files.look(path))) {
          await record.make({ kind: "unit-held", name: unit, before: path }, () =>
            holdUnit(path, programs, files),
          );
        }
      })),
    );
  }
  return findings;
}

/** Does one step of the fence. What fails ends the run, as a server that comes back makes the bundle worthless; unless a person accepted it. */
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
    const hint = `clear that, or keep the server from coming back by hand and go on without this: --accept ${id}`;
    if (accepted.includes(id)) return [{ id, level: "warning", sentence: `${sentence} (accepted)`, hint }];
    throw new MigrationError("fence-failed", sentence, { hint, cause: error });
  }
}
