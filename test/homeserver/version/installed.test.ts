import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { installedSynapse } from "../../../src/homeserver/version/installed.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import { realMachine } from "../../../src/system/machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith } from "../../support/real-world.ts";

/** What pip leaves of a Synapse, as far as it is looked at. */
function environment(version: string): string {
  const folder = temporaryFolder("environment");
  mkdirSync(join(folder, `lib/python3.11/site-packages/matrix_synapse-${version}.dist-info`), {
    recursive: true,
  });
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin/python"), "");
  return folder;
}

const host = { files, programs: programsWith(), machine: realMachine(process.pid, "/") };
const nowhere = ["/nowhere/homeserver.yaml"];

test("the environment or the Python that somebody names says which Synapse will run", async () => {
  const folder = environment("1.150.0");
  for (const synapse of [folder, join(folder, "bin/python")]) {
    const { version, python } = await installedSynapse({ synapse, configPaths: nowhere }, host);
    assert.equal(version?.version.text, "1.150.0");
    assert.equal(python, join(folder, "bin/python"));
  }
});

test("what has no Synapse is refused, as the gate would be passed by the wrong one", async () => {
  const folder = environment("1.150.0");
  for (const synapse of [join(folder, "lib"), join(folder, "nothing"), process.execPath]) {
    await assert.rejects(installedSynapse({ synapse, configPaths: nowhere }, host), { code: "bad-usage" });
  }
});

test("the Synapse of Debian's own package is found where the system's Python has its packages, wherever the configuration is", async () => {
  const root = temporaryFolder("debian");
  mkdirSync(join(root, "usr/lib/python3/dist-packages/matrix_synapse-1.151.0.egg-info"), { recursive: true });
  mkdirSync(join(root, "usr/bin"));
  writeFileSync(join(root, "usr/bin/python3"), "");
  const { version, python } = await installedSynapse({ configPaths: nowhere }, host, root);
  assert.deepEqual([version?.version.text, python], ["1.151.0", join(root, "usr/bin/python3")]);
});

test("beside a console script of a virtual environment is the Python that runs it", async () => {
  const folder = environment("1.150.0");
  const startCommand = `${folder}/bin/synapse_homeserver -c /nowhere/homeserver.yaml`;
  const { python } = await installedSynapse({ startCommand, configPaths: nowhere }, host);
  assert.equal(python, join(folder, "bin/python"));
});

test("a start command that names the Python says it, too", async () => {
  const folder = environment("1.150.0");
  const startCommand = `cd /srv && ${folder}/bin/python -m synapse.app.homeserver -c /nowhere/homeserver.yaml -D`;
  const { version } = await installedSynapse({ startCommand, configPaths: nowhere }, host);
  assert.equal(version?.version.text, "1.150.0");
});
