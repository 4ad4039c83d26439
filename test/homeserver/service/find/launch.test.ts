import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { chooseSource, type GivenSource } from "../../../../src/homeserver/service/find/choose.ts";
import { findLaunches } from "../../../../src/homeserver/service/find/find.ts";
import type { Finding } from "../../../../src/report/finding.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import type { ProcessInfo } from "../../../../src/system/machine.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { folderWith } from "../../../support/folder-with.ts";
import { programsWith, scriptsIn } from "../../../support/real-world.ts";
import { DEBIAN_UNIT, MATRIX_ORG_UNIT, WORKER_UNIT } from "../../../support/unit-files.ts";

interface Host {
  readonly files?: Record<string, string>;
  readonly processes?: readonly ProcessInfo[];
  /** Programs of this host, name → script; there are no others. */
  readonly programs?: Record<string, string>;
}

const LIB = "usr/lib/systemd/system";
const HOMESERVER = "/etc/matrix-synapse/homeserver.yaml";
const CONF = "/etc/matrix-synapse/conf.d/";
const PYTHON = "/opt/venvs/matrix-synapse/bin/python";

function found(t: TestContext, { files = {}, processes = [], programs = {} }: Host) {
  const root = folderWith(t, { "etc/hostname": "old", ...files });
  const system = {
    files: realFiles,
    programs: programsWith({ PATH: scriptsIn(programs) }),
    machine: machineWith({ processes: () => processes, account: () => undefined }),
  };
  return findLaunches(system, root);
}

async function chosen(t: TestContext, host: Host, given: Partial<GivenSource> = {}) {
  return chooseSource(await found(t, host), { configPaths: [], folder: "/home/me", ...given }, realFiles);
}

const main = (pid: number, args: readonly string[], folder?: string): ProcessInfo => ({
  pid,
  args: [PYTHON, "-m", "synapse.app.homeserver", ...args],
  folder,
});
const cgroup = (pid: number, unit: string) => ({ [`proc/${pid}/cgroup`]: `0::/system.slice/${unit}\n` });
const told = (findings: readonly Finding[]) => findings.map(({ id, level }) => `${id} ${level}`);

test("both of Debian's packages are found by their unit alone", async (t) => {
  for (const unit of [MATRIX_ORG_UNIT, DEBIAN_UNIT]) {
    const { source, launch, findings } = await chosen(t, {
      files: { [`${LIB}/matrix-synapse.service`]: unit },
    });
    assert.deepEqual(source, {
      configPaths: [HOMESERVER, "/etc/matrix-synapse/conf.d"],
      workingFolder: "/var/lib/matrix-synapse",
      map: [],
    });
    assert.equal(launch?.account, "matrix-synapse");
    assert.equal(launch.isRunning, false);
    assert.deepEqual(told(findings), ["launch ok"]);
  }
});

test("a unit and the process that it started are one server", async (t) => {
  const host = {
    files: { [`${LIB}/matrix-synapse.service`]: MATRIX_ORG_UNIT, ...cgroup(7, "matrix-synapse.service") },
    processes: [main(7, [`--config-path=${HOMESERVER}`, `--config-path=${CONF}`], "/var/lib/matrix-synapse")],
  };
  const { launch, findings } = await chosen(t, host);
  assert.deepEqual([launch?.kind, launch?.isRunning, launch?.pid], ["unit", true, 7]);
  assert.deepEqual(told(findings), ["launch ok"]);
});

test("a process that runs with other files than its unit has is a warning, and what runs counts", async (t) => {
  const host = {
    files: {
      [`${LIB}/matrix-synapse.service`]: MATRIX_ORG_UNIT,
      ...cgroup(7, "matrix-synapse.service"),
      "proc/7/status": "Name:\tpython\nUid:\t112\t112\t112\t112\n",
    },
    processes: [main(7, ["-c", HOMESERVER], "/var/lib/matrix-synapse")],
  };
  const { source, launch, findings } = await chosen(t, host);
  assert.deepEqual(source.configPaths, [HOMESERVER]);
  assert.equal(launch?.account, "112");
  assert.deepEqual(told(findings), ["launch ok", "config-order warning"]);
  assert.match(findings[1]!.sentence, /conf\.d.*|matrix-synapse\.service would start it/);
});

test("a Synapse that somebody started by hand is found by its process", async (t) => {
  const host = { processes: [main(9, ["-c", "hs.yaml", "-c", "conf.d"], "/srv/synapse")] };
  const { source } = await chosen(t, host);
  assert.deepEqual(source.configPaths, ["/srv/synapse/hs.yaml", "/srv/synapse/conf.d"]);
  assert.equal(source.workingFolder, "/srv/synapse");
});

test("relative paths of a daemon, or of a process that we may not look at, lead nowhere", async (t) => {
  for (const folder of ["/", undefined]) {
    const { main: servers, findings } = await found(t, { processes: [main(9, ["-c", "hs.yaml"], folder)] });
    assert.deepEqual(servers, []);
    assert.deepEqual(told(findings), ["launch-working-directory note"]);
  }
});

test("without unit and process, the packages' usual place is taken", async (t) => {
  const files = { "etc/matrix-synapse/homeserver.yaml": "a: 1\n", "etc/matrix-synapse/conf.d/a.yaml": "" };
  const { source, launch } = await chosen(t, { files });
  assert.deepEqual(source.configPaths, [HOMESERVER, "/etc/matrix-synapse/conf.d"]);
  assert.deepEqual([launch?.kind, source.workingFolder], ["default", "/var/lib/matrix-synapse"]);
  await assert.rejects(chosen(t, {}), {
    code: "config-unreadable",
    message: /no Synapse was found/,
    hint: /--config/,
  });
});

test("several servers are told with all that they are started with", async (t) => {
  const unit = (name: string) => MATRIX_ORG_UNIT.replaceAll("/etc/matrix-synapse/", `/etc/${name}/`);
  const files = { [`${LIB}/one.service`]: unit("one"), [`${LIB}/two.service`]: unit("two") };
  await assert.rejects(chosen(t, { files }), {
    code: "config-unreadable",
    message:
      /several Synapse servers were found on this host:\n- -c \/etc\/one\/homeserver\.yaml -c \/etc\/one\/conf\.d: .*one\.service.*\n- .*two/,
  });
  // One that runs is the one that is meant.
  const running = {
    files: { ...files, ...cgroup(5, "two.service") },
    processes: [main(5, ["-c", "/etc/two/homeserver.yaml", "-c", "/etc/two/conf.d/"])],
  };
  assert.equal((await chosen(t, running)).launch?.name, "two.service");
});

test("what a person gives counts, and is held against what the server is started with", async (t) => {
  const host = { files: { [`${LIB}/matrix-synapse.service`]: MATRIX_ORG_UNIT } };
  const same = await chosen(t, host, { configPaths: [HOMESERVER, CONF] });
  assert.deepEqual(told(same.findings), ["launch ok"]);
  assert.equal(same.source.workingFolder, "/var/lib/matrix-synapse");

  const short = await chosen(t, host, { configPaths: [HOMESERVER], workingFolder: "/elsewhere" });
  assert.deepEqual(short.source.configPaths, [HOMESERVER]);
  assert.equal(short.source.workingFolder, "/elsewhere");
  assert.deepEqual(told(short.findings), ["config-order warning"]);
  assert.equal(
    short.findings[0]!.sentence,
    "--config names /etc/matrix-synapse/homeserver.yaml, but Synapse is started with /etc/matrix-synapse/homeserver.yaml, /etc/matrix-synapse/conf.d",
  );
  const turned = await chosen(t, host, { configPaths: [CONF, HOMESERVER] });
  assert.deepEqual(told(turned.findings), ["config-order warning"]);

  const other = await chosen(t, host, { configPaths: ["mine.yaml"] });
  assert.deepEqual(other.source.configPaths, ["/home/me/mine.yaml"]);
  assert.equal(other.launch, undefined);
  assert.deepEqual(told(other.findings), ["launch note"]);
});

test("a folder is the same as the files in it, however the server was started", async (t) => {
  const etc = folderWith(t, {
    "homeserver.yaml": "a: 1\n",
    "conf.d/name.yaml": "b: 1\n",
    "conf.d/report.yaml": "c: 1\n",
    "conf.d/README": "no settings\n",
  });
  const folder = [`${etc}/homeserver.yaml`, `${etc}/conf.d/`];
  const each = ["homeserver.yaml", "conf.d/name.yaml", "conf.d/report.yaml"].map((name) => `${etc}/${name}`);
  const started = (paths: readonly string[]) => ({
    processes: [
      main(
        9,
        paths.flatMap((path) => ["-c", path]),
        etc,
      ),
    ],
  });
  const ids = async (paths: readonly string[], given: readonly string[]) =>
    told((await chosen(t, started(paths), { configPaths: given })).findings);
  assert.deepEqual(await ids(folder, each), ["launch ok"]);
  assert.deepEqual(await ids(each, folder), ["launch ok"]);
  assert.deepEqual(await ids(folder.slice(1), each.slice(1)), ["launch ok"]);
  assert.deepEqual(await ids(folder, each.slice(0, 2)), ["config-order warning"]);
  assert.deepEqual(await ids(folder, each.toReversed()), ["config-order warning"]);
  const both = { processes: [...started(folder).processes, ...started(each).processes] };
  assert.deepEqual(told((await chosen(t, both)).findings), ["launch ok"]);
});

test("workers are told apart from main processes", async (t) => {
  const files = {
    [`${LIB}/matrix-synapse.service`]: MATRIX_ORG_UNIT,
    "etc/systemd/system/matrix-synapse-worker@.service": WORKER_UNIT,
    "etc/systemd/system/matrix-synapse.target.wants/matrix-synapse-worker@one.service": "",
  };
  const processes = [
    { pid: 3, args: [PYTHON, "-m", "synapse.app.generic_worker", "-c", "/two.yaml"], folder: "/" },
  ];
  const { main: servers, workers } = await found(t, { files, processes });
  assert.deepEqual(
    servers.map(({ name }) => name),
    ["matrix-synapse.service"],
  );
  assert.deepEqual(
    workers.map(({ name, configPaths }) => [name, configPaths.at(-1)]),
    [
      ["matrix-synapse-worker@one.service", "/etc/matrix-synapse/workers/one.yaml"],
      ["process 3", "/two.yaml"],
    ],
  );
});

test("options that overrule the configuration are warned of", async (t) => {
  const { findings } = await chosen(t, {
    processes: [main(2, ["-c", "/a.yaml", "--database-path", "/x.db"])],
  });
  assert.deepEqual(told(findings), ["launch ok", "launch-override warning"]);
  assert.match(findings[1]!.sentence, /--database-path/);
});

/** As `docker inspect` prints it; of the real one's hundreds of lines those that differ from container to container. */
const container = (name: string, more: object = {}) => ({
  Id: name.padEnd(64, "0").replaceAll(/[^0-9a-f]/g, "a"),
  Created: "2026-10-01T08:00:00.000000000Z",
  Path: "/start.py",
  Args: [],
  State: { Status: "running", Running: true, Pid: 4242, ExitCode: 0 },
  Image: "sha256:0123",
  Name: `/${name}`,
  HostConfig: { Binds: [], RestartPolicy: { Name: "unless-stopped", MaximumRetryCount: 0 } },
  Mounts: [
    {
      Type: "bind",
      Source: "/srv/synapse",
      Destination: "/data",
      Mode: "",
      RW: true,
      Propagation: "rprivate",
    },
    {
      Type: "volume",
      Name: "media",
      Source: "/var/lib/docker/volumes/media/_data",
      Destination: "/data/media_store",
    },
    { Type: "tmpfs", Source: "", Destination: "/tmp" },
  ],
  Config: {
    Hostname: "0123456789ab",
    User: "",
    Env: ["PATH=/usr/local/bin:/usr/bin", "SYNAPSE_MACAROON_SECRET_KEY=never-told"],
    Cmd: null,
    Image: "matrixdotorg/synapse:v1.160.0",
    WorkingDir: "",
    Entrypoint: ["/start.py"],
    Labels: {},
  },
  ...more,
});

const config = (more: object) => ({ Config: { ...container("x").Config, ...more } });

/** A docker that knows these containers. */
function docker(...containers: ReturnType<typeof container>[]): Record<string, string> {
  const ids = containers.map(({ Id }) => Id).join("\\n");
  const json = JSON.stringify(containers);
  return {
    docker: `case "$1" in
  ps) printf '${ids}\\n' ;;
  inspect) /bin/cat <<'END'
${json}
END
  ;;
esac`,
  };
}

test("a container is read with what it mounts", async (t) => {
  const processes = [main(4242, ["--config-path", "/data/homeserver.yaml"], "/")];
  const { source, launch, findings } = await chosen(t, {
    programs: docker(
      container("nginx", { Path: "nginx", ...config({ Image: "nginx:1" }) }),
      container("synapse-admin", {
        Path: "/docker-entrypoint.sh",
        ...config({ Image: "x/synapse-admin:1" }),
      }),
      container("synapse"),
    ),
    processes,
  });
  assert.deepEqual(source, {
    configPaths: ["/data/homeserver.yaml"],
    workingFolder: "/",
    map: [
      { inside: "/data", outside: "/srv/synapse" },
      { inside: "/data/media_store", outside: "/var/lib/docker/volumes/media/_data" },
    ],
  });
  assert.deepEqual(
    [launch?.name, launch?.account, launch?.version, launch?.startsAutomatically, launch?.isRunning],
    ["synapse", "991", "v1.160.0", true, true],
  );
  assert.deepEqual(told(findings), ["launch ok"]);
  assert.match(findings[0]!.sentence, /-c \/srv\/synapse\/homeserver\.yaml$/);
  assert.doesNotMatch(JSON.stringify([source, launch, findings]), /never-told/);
});

test("where a container's configuration is comes from its arguments, else from its environment", async (t) => {
  const paths = async (more: object) =>
    (await found(t, { programs: docker(container("s", more)) })).main[0]?.configPaths;
  const env = (...lines: string[]) => config({ Env: lines, Image: "ghcr.io/element-hq/synapse:latest" });
  assert.deepEqual(await paths(env("SYNAPSE_CONFIG_DIR=/conf")), ["/conf/homeserver.yaml"]);
  assert.deepEqual(await paths(env("SYNAPSE_CONFIG_DIR=/conf", "SYNAPSE_CONFIG_PATH=/a.yaml")), ["/a.yaml"]);
  assert.deepEqual(
    await paths({
      ...env("SYNAPSE_CONFIG_PATH=/a.yaml"),
      Args: ["run", "-c", "/b.yaml", "--config-path=/c"],
    }),
    ["/b.yaml", "/c"],
  );
  assert.deepEqual(
    await paths({
      Path: "python",
      Args: ["-m", "synapse.app.homeserver", "-c", "homeserver.yaml"],
      ...config({ WorkingDir: "/data", Image: "localhost/own:1" }),
    }),
    ["/data/homeserver.yaml"],
  );
  assert.equal(await paths({ Args: ["generate"] }), undefined);
  assert.equal(await paths(config({ Image: "x/synapse-admin" })), undefined);
});

test("a container for a worker is a worker", async (t) => {
  const worker = config({ Env: ["SYNAPSE_WORKER=synapse.app.generic_worker"], User: "1000:1000" });
  const given = { ...worker, Args: ["run", "-c", "/data/homeserver.yaml", "-c", "/data/w.yaml"] };
  const { main: servers, workers } = await found(t, { programs: docker(container("w1", given)) });
  assert.deepEqual(servers, []);
  assert.deepEqual(
    workers.map(({ name, app, account }) => [name, app, account]),
    [["w1", "synapse.app.generic_worker", "1000:1000"]],
  );
});

test("what runs in a container tells what it reads, and which workers run beside it", async (t) => {
  const group = `0::/system.slice/docker-${container("synapse").Id}.scope\n`;
  const args = ["-c", "homeserver.yaml", "-c", "/data/workers/one.yaml"];
  const { main: servers, workers } = await found(t, {
    programs: docker(container("synapse", config({ WorkingDir: "/data" }))),
    processes: [
      main(4242, ["-c", "/data/homeserver.yaml", "-c", "/data/conf.d"], "/"),
      { pid: 4300, args: [PYTHON, "-m", "synapse.app.generic_worker", ...args], folder: "/" },
    ],
    files: { "proc/4300/cgroup": group },
  });
  assert.deepEqual(
    servers.map(({ kind, configPaths }) => [kind, configPaths]),
    [["container", ["/data/homeserver.yaml", "/data/conf.d"]]],
  );
  assert.deepEqual(
    workers.map(({ configPaths, map, startedBy }) => [configPaths, map.length, startedBy]),
    [[["/data/homeserver.yaml", "/data/workers/one.yaml"], 2, "synapse"]],
  );
});

test("a container that runs is preferred to one that was left behind", async (t) => {
  const stopped = { State: { Running: false, Pid: 0 }, Mounts: [] };
  const { launch } = await chosen(t, { programs: docker(container("old", stopped), container("new")) });
  assert.equal(launch?.name, "new");
});

test("a file on this host is known to be the one that a container reads", async (t) => {
  const given = { configPaths: ["/srv/synapse/homeserver.yaml"], map: [] };
  const { source, findings } = await chosen(t, { programs: docker(container("synapse")) }, given);
  assert.deepEqual(told(findings), ["launch ok"]);
  assert.equal(source.map?.length, 2);
  const own = [{ inside: "/data", outside: "/mnt" }];
  assert.deepEqual(
    (
      await chosen(
        t,
        { programs: docker(container("synapse")) },
        { configPaths: ["/data/homeserver.yaml"], map: own },
      )
    ).source.map,
    own,
  );
});

test("an engine that fails, and one that answers nonsense, are noted and hide nothing else", async (t) => {
  const files = { [`${LIB}/matrix-synapse.service`]: MATRIX_ORG_UNIT };
  const refused = "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1";
  const { launch, findings } = await chosen(t, { files, programs: { docker: refused } });
  assert.equal(launch?.name, "matrix-synapse.service");
  assert.deepEqual(told(findings), ["launch ok", "launch-docker note"]);
  assert.match(findings[1]!.sentence, /permission denied/);
  const nonsense = 'case "$1" in ps) echo 0123456789ab;; inspect) echo "<html>";; esac';
  assert.deepEqual(told((await found(t, { programs: { docker: nonsense } })).findings), [
    "launch-docker note",
  ]);
  const half = docker(container("synapse"));
  const odd = { docker: half["docker"]!.replace("\n[{", '\n[7,{"Id":3},{') };
  assert.equal((await found(t, { programs: odd })).main[0]?.name, "synapse");
});

test("a process in a container that no engine tells of is noted", async (t) => {
  const { main: servers, findings } = await found(t, {
    files: { "proc/6/cgroup": "0::/machine.slice/libpod-abc.scope\n" },
    processes: [main(6, ["-c", "/data/homeserver.yaml"], "/")],
  });
  assert.deepEqual(servers, []);
  assert.deepEqual(told(findings), ["launch-container note"]);
  assert.match(findings[0]!.hint!, /--map/);
});

test("where everything is in one container, so are we, and its processes are taken as they are", async (t) => {
  const inside = "0::/lxc/101\n";
  const { main: servers } = await found(t, {
    files: { "proc/6/cgroup": inside, [`proc/${process.pid}/cgroup`]: inside },
    processes: [main(6, ["-c", "/data/homeserver.yaml"], "/")],
  });
  assert.deepEqual(
    servers.map(({ configPaths }) => configPaths),
    [["/data/homeserver.yaml"]],
  );
});

test("a folder with the name of a unit changes nothing", async (t) => {
  const files = { [`${LIB}/matrix-synapse.service/x`]: "", [`${LIB}/other.service`]: MATRIX_ORG_UNIT };
  assert.equal((await chosen(t, { files })).launch?.name, "other.service");
});
