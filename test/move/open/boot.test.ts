import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { MigrationError } from "../../../src/errors.ts";
import { assertUnitsKnown, bootFindings, enableUnits, unitsToEnable } from "../../../src/move/open/boot.ts";
import { realPrograms } from "../../../src/system/programs/programs.ts";
import type { System } from "../../../src/system/system.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { StandInSystemctl } from "../../support/stand-in-systemctl.ts";

// Whether the opened server comes back when the host boots.

const UNIT = "matrix-synapse.service";
const layout = {
  ...{ name: "debian", map: [] },
  start: `systemctl start ${UNIT}`,
};

function hostWith(): { systemd: StandInSystemctl; system: System } {
  const systemd = new StandInSystemctl([
    { name: UNIT, start: "exit 0", pidFile: join(temporaryFolder("boot"), "pid") },
  ]);
  const programs = realPrograms({ PATH: systemd.path }, new AbortController().signal);
  return { systemd, system: { programs } as unknown as System };
}

test("--enable enables the unit of the start command, or else that of the layout", async () => {
  const { systemd, system } = hostWith();
  systemd.run("disable", UNIT);
  assert.deepEqual(unitsToEnable({ layout }, undefined), [UNIT]);
  assert.deepEqual(unitsToEnable({ layout: undefined }, "systemctl start matrix-synapse"), [UNIT]);
  const [noted] = await bootFindings([UNIT], system);
  assert.equal(noted?.level, "note");
  assert.match(noted.hint ?? "", /systemctl enable matrix-synapse\.service; .*--enable/);
  const [found] = await enableUnits([UNIT], system);
  assert.equal(found?.level, "ok");
  assert.equal(systemd.is("enabled", UNIT), true);
  assert.deepEqual(await bootFindings([UNIT], system), []);
});

test("a unit that cannot be enabled is a warning, as the server is open already", async () => {
  const { system } = hostWith();
  const [found] = await enableUnits(["nothing.service"], system);
  assert.equal(found?.level, "warning");
  assert.match(found.sentence, /the server is open, but nothing\.service could not be enabled/);
});

test("where no unit is known, --enable is refused before anything is opened", () => {
  assert.deepEqual(unitsToEnable({ layout: undefined }, "synctl start"), []);
  assert.throws(
    () => {
      assertUnitsKnown([]);
    },
    (error: MigrationError) => error.code === "bad-usage" && /--start-command/.test(error.hint ?? ""),
  );
});

test("on a host without systemd nothing is said about it", async () => {
  const programs = realPrograms({ PATH: temporaryFolder("empty") }, new AbortController().signal);
  assert.deepEqual(await bootFindings([UNIT], { programs } as unknown as System), []);
});
