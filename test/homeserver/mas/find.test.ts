import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { Mas } from "../../../src/homeserver/homeserver.ts";
import { findMasConfig, unitsOfMas } from "../../../src/homeserver/mas/find.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import type { Machine, ProcessInfo } from "../../../src/system/machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

function hostWith(contents: Readonly<Record<string, string>>): string {
  const root = temporaryFolder("host");
  for (const [name, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return root;
}

const found = (root: string, ...processes: Partial<ProcessInfo>[]) =>
  findMasConfig({ files: realFiles, machine: { processes: () => processes } as unknown as Machine }, root);

const UNIT = "etc/systemd/system/mas.service";
const unit = (command: string) => `[Service]\nWorkingDirectory=/opt/mas\nExecStart=${command}\n`;

test("the configuration is the one that the service runs with, or else its unit's, or else where it usually is", async () => {
  const usual = "etc/matrix-authentication-service/config.yaml";
  const root = hostWith({
    [usual]: "",
    [UNIT]: unit("/usr/local/bin/mas-cli server --config=/etc/a.yaml -c b.yaml"),
  });
  const running = { args: ["/opt/mas/mas-cli", "worker"], folder: "/srv/mas" };
  assert.deepEqual(await found(root, running), ["/srv/mas/config.yaml"]);
  assert.deepEqual(await found(root), ["/etc/a.yaml", "/opt/mas/b.yaml"]);
  assert.deepEqual(await found(hostWith({ [usual]: "" })).then((paths) => paths?.length), 1);
  assert.equal(await found(hostWith({})), undefined);
});

test("of two services none is taken: a person has to say which", async () => {
  const two = ["/etc/one.yaml", "/etc/two.yaml"].map((path) => ({
    args: ["mas-cli", "-c", path],
    folder: "/",
  }));
  assert.equal(await found(hostWith({}), ...two), undefined);
  const same = { args: ["mas-cli", "--config", "/etc/one.yaml", "server"], folder: "/" };
  assert.deepEqual(await found(hostWith({}), same, two[0]!), ["/etc/one.yaml"]);
});

test("the units to be stopped are those that start the service with this configuration", async () => {
  const root = hostWith({
    [UNIT]: unit("/usr/bin/mas-cli server --config /etc/mas.yaml"),
    "etc/systemd/system/mas-worker.service": unit("/usr/bin/mas-cli worker --config /etc/mas.yaml"),
    "etc/systemd/system/other.service": unit("/usr/bin/mas-cli server --config /etc/other.yaml"),
  });
  const mas = { configPaths: ["/etc/mas.yaml"] } as unknown as Mas;
  assert.deepEqual((await unitsOfMas(mas, realFiles, root)).sort(), ["mas-worker.service", "mas.service"]);
});
