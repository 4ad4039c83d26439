import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { unitsToBlock } from "../../../src/move/restore/blocked-units.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { folderWith } from "../../support/folder-with.ts";
import { programsWith } from "../../support/real-world.ts";
import { DEBIAN_UNIT, WORKER_UNIT } from "../../support/unit-files.ts";

const DROP_INS = "/etc/systemd/system";
const dropIn = (unit: string) => `${DROP_INS}/${unit}.d/synlift-restore.conf`;

interface Given {
  readonly files?: Readonly<Record<string, string>>;
  readonly configDir?: string;
  readonly units?: readonly string[];
  readonly blocksReaders?: boolean;
  readonly isRoot?: boolean;
}

function blocked(
  t: TestContext,
  { files = {}, configDir = "/etc/matrix-synapse", units = [], blocksReaders = true, isRoot = true }: Given,
) {
  const root = folderWith(t, { "etc/hostname": "new", ...files });
  const machine = machineWith({ isRoot, account: () => undefined });
  const system = { files: realFiles, programs: programsWith({}), machine };
  return unitsToBlock({ configDir, units, blocksReaders }, undefined, system, root);
}

const LIB = "usr/lib/systemd/system";
const OWN_UNIT = DEBIAN_UNIT.replaceAll("/etc/matrix-synapse", "/srv/synapse/config");

test("a unit that reads the restored folder is blocked without an option, with its workers, and no other unit", async (t) => {
  const { dropIns, findings } = await blocked(t, {
    configDir: "/srv/synapse/config",
    files: {
      "etc/systemd/system/synapse.service": OWN_UNIT,
      [`${LIB}/worker.service`]: WORKER_UNIT.replaceAll("/etc/matrix-synapse", "/srv/synapse/config"),
      [`${LIB}/other.service`]: OWN_UNIT.replaceAll("/srv/synapse/config", "/srv/synapse/config-2"),
      [`${LIB}/matrix-synapse.service`]: DEBIAN_UNIT,
    },
  });
  assert.deepEqual([...dropIns].sort(), ["synapse.service", "worker.service"].map(dropIn));
  assert.deepEqual(
    findings.map(({ id, level }) => [id, level]),
    [["units-blocked", "note"]],
  );
});

test("the unit of Debian's packages is blocked before its package is installed", async (t) => {
  const { dropIns } = await blocked(t, {});
  assert.deepEqual(dropIns, [dropIn("matrix-synapse.service")]);
  const elsewhere = await blocked(t, { configDir: "/srv/synapse/config" });
  assert.deepEqual(elsewhere, { dropIns: [], findings: [] });
});

test("with --prepare-only nothing is blocked, and a unit of the layout is blocked once", async (t) => {
  assert.deepEqual((await blocked(t, { blocksReaders: false })).dropIns, []);
  const { dropIns, findings } = await blocked(t, { units: ["matrix-synapse.service"] });
  assert.deepEqual(dropIns, [dropIn("matrix-synapse.service")]);
  assert.deepEqual(findings, []);
});

test("without the permission to block a unit, that is said", async (t) => {
  const { dropIns, findings } = await blocked(t, { isRoot: false });
  assert.deepEqual(dropIns, []);
  assert.equal(findings[0]?.id, "units-not-blocked");
  assert.deepEqual(findings[0].evidence, ["matrix-synapse.service"]);
});
