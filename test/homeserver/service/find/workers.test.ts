import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { readHomeserver } from "../../../../src/homeserver/read.ts";
import type { Launch } from "../../../../src/homeserver/service/find/launch.ts";
import { findWorkers } from "../../../../src/homeserver/service/find/workers.ts";
import { inspectWorkers } from "../../../../src/homeserver/service/inspect-workers.ts";
import { parseVersion } from "../../../../src/homeserver/synapse-versions.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { folderWith, MINIMUM } from "../../../support/folder-with.ts";

const SHARED = `redis: {enabled: true}
worker_replication_secret: geheim
instance_map: {main: {host: a, port: 1}, one: {host: a, port: 2}}
stream_writers: {events: [one], typing: one}
`;

const worker = (name: string, more = "") =>
  `worker_app: synapse.app.generic_worker\nworker_name: ${name}\n${more}`;

interface Given {
  readonly shared?: string;
  readonly files?: Record<string, string>;
  /** The last file that a worker is started with, by the name of its unit. */
  readonly units?: Record<string, string>;
  readonly target?: string;
}

async function found(t: TestContext, { shared = SHARED, files = {}, units = {}, target }: Given) {
  const root = folderWith(t, { "hs/homeserver.yaml": MINIMUM + shared, ...files });
  const configPath = join(root, "hs/homeserver.yaml");
  const homeserver = await readHomeserver({ configPaths: [configPath], workingFolder: "/" }, realFiles);
  const workers = Object.entries(units).map(([name, path]): Launch => ({
    kind: "unit",
    from: `the unit ${name}`,
    name,
    isRunning: name.includes("running"),
    startsAutomatically: true,
    app: "synapse.app.generic_worker",
    configPaths: [configPath, join(root, path)],
    workingFolder: "/",
    map: [],
    account: undefined,
    program: undefined,
    overrides: [],
  }));
  const all = await findWorkers(homeserver, { main: [], workers, findings: [] }, realFiles, root);
  const findings = inspectWorkers(
    homeserver,
    all,
    target === undefined ? {} : { target: parseVersion(target) },
  );
  assert.doesNotMatch(JSON.stringify(findings), /geheim/);
  const short = (path: string | undefined) => path?.slice(root.length + 1);
  return {
    workers: all.workers.map(({ name, configPath: path, isRunning }) => [name, short(path), isRunning]),
    unknown: all.unknown,
    findings,
    told: findings.map(({ id, level }) => `${id} ${level}`),
  };
}

test("a server without workers is told to be one process", async (t) => {
  assert.deepEqual((await found(t, { shared: "" })).told, ["workers ok"]);
});

test("a worker is found by its unit, by its file, and by both as one", async (t) => {
  const { workers, unknown, told, findings } = await found(t, {
    files: {
      "etc/matrix-synapse/workers/one.yaml": worker("one"),
      "etc/matrix-synapse/workers/two.yaml": worker("two"),
      "etc/matrix-synapse/workers/log.yaml": "version: 1\n",
      "hs/workers/three.yaml": worker("three"),
      "srv/four.yaml": worker("four"),
    },
    units: {
      "matrix-synapse-worker@one.service": "etc/matrix-synapse/workers/one.yaml",
      "running-four.service": "srv/four.yaml",
    },
  });
  assert.deepEqual(workers, [
    ["one", "etc/matrix-synapse/workers/one.yaml", false],
    ["four", "srv/four.yaml", true],
    ["two", "etc/matrix-synapse/workers/two.yaml", false],
    ["three", "hs/workers/three.yaml", false],
  ]);
  assert.deepEqual(unknown, []);
  assert.deepEqual(told, ["workers warning"]);
  assert.match(findings[0]!.evidence![1]!, /^four \(generic_worker\): .*srv\/four\.yaml, running$/);
});

test("workers that only the settings know are told by their names", async (t) => {
  const shared = `${SHARED}federation_sender_instances: [sender1]
pusher_instances: [one, pusher]
run_background_tasks_on: background
media_instance_running_background_jobs: media1
notify_appservices_from_worker: master
`;
  const { unknown, told } = await found(t, { shared });
  assert.deepEqual(unknown, ["one", "sender1", "pusher", "media1", "background"]);
  assert.deepEqual(told, ["worker-missing warning"]);
});

test("what workers need of the shared configuration is looked for", async (t) => {
  const files = { "etc/matrix-synapse/workers/one.yaml": worker("one") };
  const told = async (more: object) => (await found(t, { shared: "", files, ...more })).told.slice(1);
  assert.deepEqual(await told({}), [
    "worker-secret warning",
    "worker-redis warning",
    "worker-instance-map warning",
  ]);
  assert.deepEqual(await told({ target: "1.163.2" }), [
    "worker-secret warning",
    "worker-redis warning",
    "worker-instance-map warning",
  ]);
  assert.deepEqual(await told({ target: "1.80.0" }), ["worker-secret warning", "worker-redis warning"]);
});

test("a worker's file that is gone, broken, or no longer understood is told", async (t) => {
  const units = {
    "a@one.service": "w/gone.yaml",
    "a@two.service": "w/broken.yaml",
    "a@three.service": "w/old.yaml",
  };
  const files = {
    "w/broken.yaml": "a: 'geheim",
    "w/old.yaml": worker("three", "worker_replication_host: localhost\n"),
  };
  const { told, findings } = await found(t, { files, units, target: "1.163.2" });
  assert.deepEqual(told, [
    "workers warning",
    "worker-file:one warning",
    "worker-file:two warning",
    "config-removed:worker_replication_host blocker",
  ]);
  assert.match(findings[3]!.sentence, /worker_replication_host in .*w\/old\.yaml is set/);
});

test("the worker of another server on this host is not ours", async (t) => {
  const root = folderWith(t, { "hs.yaml": MINIMUM });
  const homeserver = await readHomeserver({ configPaths: ["hs.yaml"], workingFolder: root }, realFiles);
  const launch = (path: string, app: string): Launch => ({
    ...{
      kind: "process",
      from: "a process",
      name: path,
      isRunning: true,
      startsAutomatically: false,
      app,
      workingFolder: "/",
    },
    ...{ configPaths: [path], map: [], account: undefined, program: undefined, overrides: [] },
  });
  const main = ["/one.yaml", "/two.yaml"].map((path) => launch(path, "synapse.app.homeserver"));
  const workers = [launch("/two.yaml", "synapse.app.generic_worker")];
  assert.deepEqual(
    (await findWorkers(homeserver, { main, workers, findings: [] }, realFiles, root)).workers,
    [],
  );
});
