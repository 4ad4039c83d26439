import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fenceAfterStop, fenceBeforeStop } from "../../../src/homeserver/service/fence/host.ts";
import { FenceRecord } from "../../../src/homeserver/service/fence/record.ts";
import { stopServer } from "../../../src/homeserver/service/stop.ts";
import { findLifted } from "../../../src/move/old-server/lifted.ts";
import { readMoveStatus } from "../../../src/move/old-server/status.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import type { System } from "../../../src/system/system.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith } from "../../support/real-world.ts";
import { StandInSystemctl } from "../../support/stand-in-systemctl.ts";

const UNIT = "synapse.service";
const machine = machineWith();

/** A unit that was stopped and fenced, with a database file that can only be read. */
async function fenced() {
  const folder = temporaryFolder("lifted");
  const pidFile = join(folder, "pid");
  const systemctl = new StandInSystemctl([{ name: UNIT, pidFile, start: `sleep 60 & echo $! > ${pidFile}` }]);
  systemctl.run("start", UNIT);
  const programs = programsWith({ PATH: systemctl.path });
  const source = { configPaths: ["/gone/homeserver.yaml"], workingFolder: "/", map: [] };
  const supervisor = { kind: "units" as const, units: [UNIT] };
  const record = await FenceRecord.open(
    folder,
    { subject: "old.example", source, supervisor },
    files,
    machine,
  );
  await fenceBeforeStop({ record, accepted: [], programs, files });
  await stopServer({ supervisor, record, programs, machine });
  await fenceAfterStop({ record, accepted: [], programs, files });
  const database = join(folder, "homeserver.db");
  writeFileSync(database, "", { mode: 0o640 });
  await record.apply({ kind: "file-writes", name: database, before: "640" }, () =>
    files.setMode(database, 0o440),
  );
  const system = { files, machine, programs } as unknown as System;
  return { folder, record, database, systemctl, system };
}

test("status looks at the fence itself, and says what a person has undone", async () => {
  const { folder, record, database, systemctl, system } = await fenced();
  const fence = async () => (await readMoveStatus(folder, system)).fenceFindings[0]!;
  assert.deepEqual(await findLifted(record, system), { lifted: [], unknown: [] });
  assert.deepEqual([(await fence()).id, (await fence()).level], ["fence", "ok"]);

  systemctl.run("unmask", UNIT);
  systemctl.run("enable", UNIT);
  chmodSync(database, 0o640);
  systemctl.run("start", UNIT);
  const { id, level, evidence } = await fence();
  assert.deepEqual([id, level], ["fence-lifted", "warning"]);
  assert.deepEqual(evidence, [
    `the unit ${UNIT} is enabled again`,
    `the unit ${UNIT} is running`,
    `the unit ${UNIT} is no longer masked`,
    `${database} is writable again`,
  ]);
  systemctl.run("stop", UNIT);
});

test("a host that cannot be looked at is not called fenced without saying so", async () => {
  const { folder, system } = await fenced();
  const without = { ...system, programs: programsWith({ PATH: "/nowhere" }) };
  const { fenceFindings } = await readMoveStatus(folder, without);
  assert.deepEqual(
    fenceFindings.slice(0, 2).map(({ id }) => id),
    ["fence", "fence-not-checked"],
  );
});
