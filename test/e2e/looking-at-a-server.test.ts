import assert from "node:assert/strict";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { inspectConfig } from "../../src/homeserver/config/inspect.ts";
import type { Homeserver } from "../../src/homeserver/homeserver.ts";
import { readHomeserver } from "../../src/homeserver/read.ts";
import { chooseSource } from "../../src/homeserver/service/find/choose.ts";
import { findLaunches } from "../../src/homeserver/service/find/find.ts";
import { findWorkers } from "../../src/homeserver/service/find/workers.ts";
import { inspectWorkers } from "../../src/homeserver/service/inspect-workers.ts";
import { inspectSigningKey } from "../../src/homeserver/signing-key/inspect.ts";
import { parseVersion, schemaOf } from "../../src/homeserver/synapse-versions.ts";
import { inspectVersions } from "../../src/homeserver/version/inspect.ts";
import { sourceVersion } from "../../src/homeserver/version/source.ts";
import { readTargetVersion } from "../../src/homeserver/version/target.ts";
import type { Finding } from "../../src/report/finding.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realHttp } from "../../src/system/http/http.ts";
import { machineWith } from "../support/fake-machine.ts";
import { folderWith } from "../support/folder-with.ts";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { synapsePython, SynapseServer } from "../support/lab/synapse-server.ts";
import { programsWith, scriptsIn } from "../support/real-world.ts";

// What the checks before a move find on a real server that runs, and that each planted fault is found under its id.

const signal = new AbortController().signal;
const host = machineWith();
/** No docker, and no other server that may run here at the same time. */
const programs = programsWith({ PATH: scriptsIn({}) });

let hs: HomeserverFolder;
let synapse: SynapseServer;

before(async () => {
  hs = await makeHomeserverFolder();
  const more = join(dirname(hs.configFile), "more.yaml");
  writeFileSync(more, "enable_search: true\n");
  synapse = new SynapseServer({ configFiles: [hs.configFile, more], folder: hs.dataFolder });
  await synapse.start();
});

after(() => synapse.stop());

const system = () => ({
  files: realFiles,
  http: realHttp,
  programs,
  signal,
  machine: machineWith({ processes: () => host.processes().filter(({ pid }) => pid === synapse.pid) }),
});

const above = (findings: readonly Finding[]) =>
  findings.filter(({ level }) => level === "warning" || level === "blocker");

async function seen(): Promise<{ homeserver: Homeserver; findings: readonly Finding[] }> {
  const { files, http, machine } = system();
  const found = await findLaunches(system());
  const { source, launch, findings } = await chooseSource(found, { configPaths: [], folder: "/" }, files);
  const homeserver = await readHomeserver(source, files);
  const version = await sourceVersion(homeserver, launch, system());
  const target = await readTargetVersion(synapse.baseUrl, system());
  return {
    homeserver,
    findings: [
      ...findings,
      ...(await inspectConfig(homeserver, files, { source: version?.version, target: target.version })),
      ...(await inspectSigningKey(homeserver, files, { http, signal, now: machine.now() })),
      ...inspectVersions({ source: version, target, schemaVersion: 94, compatVersion: 84 }),
      ...inspectWorkers(homeserver, await findWorkers(homeserver, found, files)),
    ],
  };
}

test("a healthy server is found by its process alone, and nothing is wrong with it", async () => {
  const { homeserver, findings } = await seen();
  assert.deepEqual(
    homeserver.configFiles.map(({ path }) => path),
    [hs.configFile, join(dirname(hs.configFile), "more.yaml")],
  );
  assert.equal(homeserver.workingFolder, hs.dataFolder);
  assert.deepEqual(above(findings), []);
  for (const id of [
    "launch",
    "signing-key-published",
    "source-version",
    "schema-source",
    "target-version",
    "target-clock",
  ])
    assert.equal(findings.find((finding) => finding.id === id)?.level, "ok", id);
  const all = JSON.stringify(findings);
  for (const { value } of homeserver.secrets) assert.ok(!all.includes(value));
});

test("a signing key that was exchanged under the running server is found", async () => {
  renameSync(hs.signingKeyPath, `${hs.signingKeyPath}.old`);
  try {
    writeFileSync(hs.signingKeyPath, "ed25519 a_new AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", {
      mode: 0o600,
    });
    assert.deepEqual(
      above((await seen()).findings).map(({ id, level }) => `${id} ${level}`),
      ["signing-key-published blocker"],
    );
  } finally {
    renameSync(`${hs.signingKeyPath}.old`, hs.signingKeyPath);
  }
});

test("the table of schemas agrees with this Synapse's own code", async () => {
  const code =
    "from synapse.storage.schema import SCHEMA_VERSION as s, SCHEMA_COMPAT_VERSION as c; print(s, c)";
  const said = await programsWith().run({ name: synapsePython(), args: ["-c", code] });
  const { version, compat } = schemaOf(parseVersion("1.163.2")!)!;
  assert.equal(said.trim(), `${version} ${compat}`);
});

test("what is reported to prevent Synapse from starting does prevent it", async (t) => {
  await synapse.stop();
  const path = hs.database.args["database"] as string;
  const setCompat = (compat: number) => {
    const database = new DatabaseSync(path);
    database.exec(`update schema_compat_version set compat_version = ${compat}`);
    database.close();
  };
  setCompat(95);
  await assert.rejects(synapse.start(), /too new for the server to understand/);
  setCompat(94);
  await synapse.start();
  await synapse.stop();

  const log = join(dirname(hs.configFile), "log.yaml");
  const before = readFileSync(log, "utf8");
  writeFileSync(log, `${before}structured: true\n`);
  await assert.rejects(synapse.start(), /structured/);
  writeFileSync(log, before);

  const registration = {
    id: "a",
    as_token: "same",
    hs_token: "b",
    sender_localpart: "c",
    url: null,
    namespaces: {},
  };
  const folder = folderWith(t, {
    "one.yaml": JSON.stringify(registration),
    "two.yaml": JSON.stringify({ ...registration, id: "b" }),
    "as.yaml": "",
  });
  const config = join(folder, "as.yaml");
  writeFileSync(
    config,
    `app_service_config_files: [${join(folder, "one.yaml")}, ${join(folder, "two.yaml")}]\n`,
  );
  const bridged = new SynapseServer({ configFiles: [hs.configFile, config], folder: hs.dataFolder });
  await assert.rejects(bridged.start(), /Cannot reuse as_token/);
});
