import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { removedFromWorker } from "../../../../src/homeserver/config/checks/removed-settings.ts";
import { inspectConfig } from "../../../../src/homeserver/config/inspect.ts";
import { parseYaml } from "../../../../src/homeserver/config/yaml/yaml.ts";
import type { Settings } from "../../../../src/homeserver/homeserver.ts";
import { readHomeserver } from "../../../../src/homeserver/read.ts";
import { parseVersion } from "../../../../src/homeserver/synapse-versions.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { folderWith, MINIMUM } from "../../../support/folder-with.ts";
import { synapsePython } from "../../../support/lab/synapse-server.ts";
import { programsWith } from "../../../support/real-world.ts";

/** What a configuration adds, and the setting that is found to be gone. */
const REFUSED: Readonly<Record<string, string>> = {
  "experimental_features: {msc3861: {enabled: false}}": "experimental_features.msc3861",
  'account_threepid_delegates: {email: "https://vector.im"}': "account_threepid_delegates.email",
  "trust_identity_server_for_password_resets: true": "trust_identity_server_for_password_resets",
  "enable_registration: true": "enable_registration",
  "invite_3pid_guest: true": "invite_3pid_guest",
  "log_file: /tmp/a.log": "log_file",
  "web_client_location: /usr/share/client": "web_client_location",
  "listeners: [{type: webclient, port: 1}]": "listeners[0].type",
  "listeners: [{type: replication, port: 1}]": "listeners[0].type",
  "listeners: [{type: http, port: 1, resources: [{names: [client, webclient]}]}]":
    "listeners[0].resources[0].names[1]",
  "worker_replication_port: 9": "worker_replication_port",
};

const ACCEPTED = [
  "experimental_features: {msc3861: {}}",
  "experimental_features:",
  "trust_identity_server_for_password_resets: false",
  "enable_registration: true\nregistration_requires_token: true",
  "enable_registration: true\nregistrations_require_3pid: [email]",
  "web_client_location: https://client.example.org",
  "account_threepid_delegates: {}",
];

async function found(t: TestContext, more: string, target?: string, files: Record<string, string> = {}) {
  const folder = folderWith(t, { "a.yaml": `${MINIMUM}${more}\n`, ...files });
  const homeserver = await readHomeserver({ configPaths: ["a.yaml"], workingFolder: folder }, realFiles);
  const findings = await inspectConfig(homeserver, realFiles, {
    target: target === undefined ? undefined : parseVersion(target),
  });
  return findings.filter(({ id }) => id.startsWith("config-removed:"));
}

const told = (findings: readonly { id: string; level: string }[]) =>
  findings.map(({ id, level }) => `${id} ${level}`);

test("settings that Synapse refuses are a blocker for a host that has such a Synapse", async (t) => {
  for (const [more, setting] of Object.entries(REFUSED)) {
    assert.deepEqual(told(await found(t, more, "1.163.2")), [`config-removed:${setting} blocker`], more);
    assert.deepEqual(told(await found(t, more)), [`config-removed:${setting} warning`], more);
  }
  for (const more of ACCEPTED) assert.deepEqual(await found(t, more, "1.163.2"), [], more);
});

test("a host whose Synapse still takes a setting has nothing to be told of", async (t) => {
  assert.deepEqual(await found(t, "experimental_features: {msc3861: {enabled: true}}", "1.156.0"), []);
  const [finding] = await found(t, "experimental_features: {msc3861: {enabled: true}}", "1.157.0rc1");
  assert.equal(finding?.level, "blocker");
  assert.match(finding.sentence, /does not start/);
});

test("the file with the log's settings is looked into as well", async (t) => {
  const structured = { "log.yaml": "version: 1\nstructured: true\n" };
  assert.deepEqual(told(await found(t, "log_config: log.yaml", "1.163.2", structured)), [
    "config-removed:log_config.structured blocker",
  ]);
  assert.deepEqual(await found(t, "log_config: log.yaml", "1.53.0", structured), []);
  for (const text of ["version: 1\nstructured: false\n", "a: 'b", "- a"])
    assert.deepEqual(await found(t, "log_config: log.yaml", "1.163.2", { "log.yaml": text }), []);
});

test("a worker's own file is looked into with what is gone for workers", () => {
  const worker = parseYaml(
    "worker_replication_host: a\nworker_replication_port: 1\nworker_listeners: []\n",
  ) as Settings;
  const target = parseVersion("1.163.2");
  assert.deepEqual(told(removedFromWorker(worker, "/w.yaml", { target })), [
    "config-removed:worker_replication_port blocker",
    "config-removed:worker_replication_host blocker",
  ]);
  assert.deepEqual(removedFromWorker(worker, "/w.yaml", { target: parseVersion("1.60.0") }), []);
});

test("what changes its meaning between the two versions is noted, and only then", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `${MINIMUM}app_service_config_files: [as.yaml]\nenable_legacy_metrics: true\n`,
    "as.yaml": "",
  });
  const homeserver = await readHomeserver({ configPaths: ["a.yaml"], workingFolder: folder }, realFiles);
  const changed = async (source?: string, target?: string) =>
    told(
      await inspectConfig(homeserver, realFiles, {
        source: parseVersion(source ?? ""),
        target: parseVersion(target ?? ""),
      }),
    ).filter((line) => line.startsWith("config-changed:"));
  assert.deepEqual(await changed("1.70.0", "1.163.2"), [
    "config-changed:enable_authenticated_media note",
    "config-changed:use_appservice_legacy_authorization note",
    "config-changed:enable_legacy_metrics note",
  ]);
  assert.deepEqual(await changed("1.119.0", "1.120.0"), ["config-changed:enable_authenticated_media note"]);
  for (const [source, target] of [["1.163.0", "1.163.2"], ["1.70.0"], [undefined, "1.163.2"]])
    assert.deepEqual(await changed(source, target), []);
});

/** Says for each of the configurations on standard input, a JSON list, whether Synapse takes it. */
const TRY_EACH = `
import contextlib, io, json, sys
from synapse.config.homeserver import HomeServerConfig
answers = []
for more in json.load(sys.stdin):
    with open("more.yaml", "w") as file:
        file.write(more)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            HomeServerConfig.load_config("", ["-c", "base.yaml", "-c", "more.yaml"])
        answers.append(True)
    except (Exception, SystemExit):
        answers.append(False)
print(json.dumps(answers))
`;

test("the real Synapse refuses what is told to be refused, and takes what is not", async (t) => {
  const folder = folderWith(t, {
    "base.yaml": `${MINIMUM}media_store_path: media\nsigning_key: ed25519 a_1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n`,
  });
  const cases = [...Object.keys(REFUSED), ...ACCEPTED];
  const call = { name: synapsePython(), args: ["-c", TRY_EACH], folder };
  const answers = JSON.parse(await programsWith().run(call, JSON.stringify(cases))) as boolean[];
  assert.deepEqual(
    Object.fromEntries(cases.map((more, at) => [more, answers[at]])),
    Object.fromEntries(cases.map((more) => [more, ACCEPTED.includes(more)])),
  );
});
