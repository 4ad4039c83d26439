import assert from "node:assert/strict";
import { test } from "node:test";
import { MAIN_APP, synapseCommand } from "../../../../src/homeserver/service/find/command-line.ts";

const pathsOf = (line: string) => synapseCommand(line.split(" "))?.configPaths;

test("every way to name a configuration file is understood, in its order", () => {
  const files = ["/a.yaml", "/b/", "c.yaml"];
  for (const line of [
    "/venv/bin/python -m synapse.app.homeserver --config-path=/a.yaml --config-path=/b/ --config-path=c.yaml",
    "python3 -m synapse.app.homeserver -c /a.yaml -c/b/ --config-path c.yaml",
    "/venv/bin/synapse_homeserver --daemonize -c=/a.yaml --config-p /b/ -c c.yaml",
    "/usr/bin/env python3 -B -m synapse.app.homeserver --server-name -c -c /a.yaml -c /b/ -c c.yaml",
    "/venv/bin/python /opt/synapse/app/homeserver.py -n -c /a.yaml -c /b/ -c c.yaml",
  ]) {
    assert.deepEqual(pathsOf(line), files, line);
    assert.equal(synapseCommand(line.split(" "))?.app, MAIN_APP);
  }
});

test("a worker is told from the main process", () => {
  const worker = (line: string) => synapseCommand(line.split(" "))?.app;
  assert.equal(worker("python -m synapse.app.generic_worker -c a"), "synapse.app.generic_worker");
  assert.equal(worker("/venv/bin/synapse_worker -c a"), "synapse.app.generic_worker");
  assert.equal(worker("python -m synapse.app.federation_sender -c a"), "synapse.app.federation_sender");
});

test("a program that is no running Synapse is none", () => {
  for (const line of [
    "python -m synapse.app.homeserver -c a --generate-keys",
    "python -m synapse.app.homeserver -H x --generate-config --report-stats=no -c a",
    "python -m synapse._scripts.synapse_port_db --sqlite-database a",
    "/usr/bin/docker run matrixdotorg/synapse:latest",
    "vim /etc/synapse/homeserver.yaml",
    "grep synapse_homeserver_name x",
    "/bin/sh",
    "/venv/bin/synctl stop",
  ])
    assert.equal(synapseCommand(line.split(" ")), undefined, line);
  assert.equal(synapseCommand([]), undefined);
});

test("a shell in between and synctl are seen through", () => {
  assert.deepEqual(
    synapseCommand([
      "/bin/sh",
      "-c",
      "cd /srv && exec /venv/bin/python -m synapse.app.homeserver -c '/a.yaml'",
    ])?.configPaths,
    ["/a.yaml"],
  );
  assert.deepEqual(pathsOf("/venv/bin/synctl start"), ["homeserver.yaml"]);
  assert.deepEqual(pathsOf("/venv/bin/python /venv/bin/synctl -a workers start /srv/hs.yaml"), [
    "/srv/hs.yaml",
  ]);
});

test("options that change what the configuration says are noticed", () => {
  const line =
    "python -m synapse.app.homeserver -d /x.db --enable-registration --keys-directory /keys --no-secrets-in-config -c a.yaml";
  const command = synapseCommand(line.split(" "));
  assert.deepEqual(command?.overrides, ["-d", "--enable-registration"]);
  assert.equal(command.keysFolder, "/keys");
  assert.deepEqual(command.configPaths, ["a.yaml"]);
});
