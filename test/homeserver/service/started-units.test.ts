import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { assertUnitsRun, journalOf, unitsStartedBy } from "../../../src/homeserver/service/started-units.ts";
import { realPrograms } from "../../../src/system/programs/programs.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { StandInSystemctl } from "../../support/stand-in-systemctl.ts";

const folder = temporaryFolder("started-units");
const at = (name: string) => join(folder, name);
const serve = (name: string) => ({
  name,
  start: `sleep 600 & echo $! > ${at(name)}`,
  pidFile: at(name),
});
const systemd = new StandInSystemctl([
  serve("good.service"),
  { ...serve("held.service"), condition: at("server_name.yaml") },
  { name: "broken.service", start: "exit 1", pidFile: at("broken"), says: "password is swordfish\n" },
]);
const programs = realPrograms({ PATH: systemd.path }, new AbortController().signal);

after(() => {
  for (const name of ["good.service", "held.service"])
    if (existsSync(at(name))) process.kill(Number(readFileSync(at(name), "utf8")));
});

test("the units that a start command starts are known from it", () => {
  assert.deepEqual(unitsStartedBy("systemctl start matrix-synapse"), ["matrix-synapse.service"]);
  assert.deepEqual(
    unitsStartedBy("sudo /bin/systemctl restart --quiet a.service matrix.target && echo start done"),
    ["a.service", "matrix.target"],
  );
  assert.deepEqual(unitsStartedBy("systemctl enable --now synapse@1"), ["synapse@1.service"]);
  assert.deepEqual(unitsStartedBy("service matrix-synapse start"), ["matrix-synapse.service"]);
  for (const other of [
    "systemctl --user start a",
    "systemctl enable a",
    "systemctl start $UNIT",
    "docker compose up -d",
    "service a status",
  ])
    assert.deepEqual(unitsStartedBy(other), [], other);
});

test("a unit that runs is fine, and so is one of which systemd says nothing", async () => {
  systemd.run("start", "good.service");
  await assertUnitsRun(["good.service"], programs);
  await assertUnitsRun(["good.service"], realPrograms({ PATH: folder }, new AbortController().signal));
});

test("a unit whose condition is not met is reported, although systemctl start exits with 0", async () => {
  systemd.run("start", "held.service");
  await assert.rejects(assertUnitsRun(["held.service"], programs), {
    code: "start-failed",
    message: "systemd did not start held.service: a condition of the unit is not met",
  });
  const [line] = await journalOf(["held.service"], [], programs);
  assert.match(line!, /^held\.service: .*ConditionPathExists=.*server_name\.yaml/);
  writeFileSync(at("server_name.yaml"), "");
  systemd.run("start", "held.service");
  await assertUnitsRun(["held.service"], programs);
});

test("a unit that failed is reported, and secrets in its journal are hidden", async () => {
  assert.throws(() => systemd.run("start", "broken.service"));
  await assert.rejects(
    assertUnitsRun(["broken.service"], programs),
    /it is failed \(failed\), result exit-code/,
  );
  const lines = await journalOf(["broken.service"], ["swordfish"], programs);
  assert.equal(lines[0], "broken.service: password is <hidden>");
  assert.match(lines[1]!, /Main process exited/);
});
