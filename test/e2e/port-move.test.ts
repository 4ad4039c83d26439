import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { type SshServer, startSshServer } from "../support/lab/ssh-server.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeNewPlace, type NewPlace } from "../support/old-server.ts";
import {
  makeSqliteServer,
  plant,
  PLANTED_FAULTS,
  PLANTED_SEQUENCES,
  readEverything,
  type SqliteServer,
  writeEverywhere,
} from "../support/ported.ts";
import { scenario } from "../support/scenario.ts";
import { StandInSystemctl } from "../support/stand-in-systemctl.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A homeserver on SQLite moves to another host, and is on PostgreSQL there.

const { step, check } = scenario();

let old: SqliteServer;
let cluster: PostgresCluster;
let place: NewPlace;
let bundle: string;
let ssh: SshServer;
/** The same server once more, as systemd (a stand-in) runs it. */
let served: ServedCopy;
let pulled: NewPlace;

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const UNIT = "matrix-synapse.service";

interface ServedCopy {
  readonly home: string;
  readonly systemctl: StandInSystemctl;
  /** The command on that host that sends it. */
  readonly sender: string;
}

/** A copy of the stopped server in another folder and on another port, under systemd and running. */
async function serveCopy({ home, config }: SqliteServer): Promise<ServedCopy> {
  const folder = temporaryFolder("served");
  cpSync(home.folder, folder, { recursive: true });
  const there = (path: string) => path.replace(home.folder, folder);
  const [file, more] = [there(home.configFile), there(join(home.configFile, "../conf.d/database.yaml"))];
  const port = String(await freePort());
  for (const path of [file, more, there(join(home.configFile, "../log.yaml"))])
    writeFileSync(
      path,
      readFileSync(path, "utf8")
        .replaceAll(home.folder, folder)
        .replace(/^( +- port: )\d+$/m, `$1${port}`),
    );
  const data = there(home.dataFolder);
  const systemctl = new StandInSystemctl([
    {
      name: UNIT,
      start: `cd ${data} && exec ${synapsePython()} -m synapse.app.homeserver -c ${file} -c ${more} -D`,
      pidFile: join(data, "homeserver.pid"),
    },
  ]);
  systemctl.run("start", UNIT);
  const words = [process.execPath, MAIN, "pull-sender", ...config.map(there), "--unit", UNIT];
  return { home: folder, systemctl, sender: words.map(quoteShellWord).join(" ") };
}

before(async () => {
  cluster = await PostgresCluster.start({
    access: ["local all postgres trust", "host all all 127.0.0.1/32 scram-sha-256"],
  });
  place = await makeNewPlace(cluster, "new", await freePort());
  old = await makeSqliteServer();
  await old.server.stop();
  plant(old.path, PLANTED_SEQUENCES);
  plant(old.path, { orphans: PLANTED_FAULTS["orphans"]! });
  bundle = join(temporaryFolder("port-move"), "bundle");
  served = await serveCopy(old);
  ssh = await startSshServer({ env: { PATH: served.systemctl.path, NODE_TEST_CONTEXT: "" } });
  pulled = await makeNewPlace(cluster, "pulled", await freePort());
  await synliftWell(["export", ...old.config, "--out", bundle, "--json"]);
});

after(async () => {
  for (const { configDir, stopCommand } of [place, pulled])
    if (existsSync(join(configDir, "homeserver.pid"))) execFileSync("sh", ["-c", stopCommand]);
  served.systemctl.run("unmask", UNIT);
  served.systemctl.run("stop", UNIT);
  await ssh.stop();
  await cluster.stop();
});

const restore = (...more: readonly string[]) => [
  ...["restore", bundle, "--passphrase-file", `${bundle}.passphrase`, ...place.restoreArgs],
  ...["--synapse", synapsePython(), "--port", "--json", ...more],
];
const tables = () =>
  cluster.sql(place.database, "select tablename from pg_tables where schemaname = 'public'");

step("a fault without consent leaves the new database empty, and says what to do", async () => {
  const ran = await synlift(restore());
  assert.equal(ran.code, 47, ran.stderr);
  assert.match(ran.stderr, /--fix orphans/);
  assert.equal(existsSync(`${place.mediaDir}.port`), false, "no copy is left in the clear");
});

step("a restore that is killed while it ports is not opened, and the next one starts over", async () => {
  const killed = await synlift(restore("--fix", "orphans"), {
    killWhen: (said) => said.includes("copying to postgres"),
  });
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  assert.match(await tables(), /^synlift_half_filled_/m);
  assert.equal((await synlift(["open", ...place.openArgs, "--json"])).code, 23);

  const { findings } = resultOf(await synliftWell(restore("--fix", "orphans")));
  const evidence = findings.flatMap((one) => one.evidence ?? []).join("\n");
  for (const said of Object.keys(PLANTED_SEQUENCES))
    assert.ok(evidence.includes(said), `${said} in\n${evidence}`);
  assert.ok(findings.some(({ id }) => id === "port-orphans-fixed"));
  assert.doesNotMatch(await tables(), /port_from_sqlite3|synlift_/);
  assert.equal(existsSync(`${place.mediaDir}.port`), false, "no copy is left in the clear");
});

step("a row that is missing closes the gate", async () => {
  await cluster.sql(
    place.database,
    "delete from room_depth where room_id = (select min(room_id) from room_depth)",
  );
  const ran = await synlift([
    "open",
    ...place.openArgs,
    "--passphrase-file",
    `${bundle}.passphrase`,
    "--json",
  ]);
  assert.equal(ran.code, 43, ran.stderr);
  const blockers = resultOf(ran).findings.filter(({ level }) => level === "blocker");
  assert.deepEqual(
    blockers.map(({ id, evidence }) => [id, evidence]),
    [["row-counts", ["room_depth: 4 expected, 3 found"]]],
  );
  const missing = `insert into room_depth select room_id, 1 from rooms where room_id not in (select room_id from room_depth)`;
  await cluster.sql(place.database, missing);
});

step("open proves it, and starts it on PostgreSQL", async () => {
  const ran = await synliftWell([
    ...["open", ...place.openArgs, "--passphrase-file", `${bundle}.passphrase`],
    ...["--start-command", place.startCommand, "--stop-command", place.stopCommand, "--json"],
  ]);
  assert.ok(resultOf(ran).findings.every(({ level }) => level === "ok" || level === "note"));
});

check("old tokens read everything there, and old devices decrypt", async () => {
  await readEverything(old, place.url);
});

check(
  "a message can be sent in every room, threads are subscribed to, and a to-device message arrives",
  async () => {
    await writeEverywhere(old, place.url);
  },
);

step(
  "the same server is pulled from host to host while it runs, and is on PostgreSQL there as well",
  async () => {
    const ran = await synliftWell([
      ...[
        "pull",
        ssh.address,
        "--ssh-config",
        ssh.configFile,
        "--export-folder",
        join(served.home, "synlift"),
      ],
      ...["--export-command", served.sender, ...pulled.restoreArgs, "--port", "--fix", "orphans"],
      ...["--synapse", synapsePython(), "--yes", "--json"],
    ]);
    assert.equal(served.systemctl.isActive(UNIT), false);
    const { findings } = resultOf(ran);
    assert.ok(findings.some(({ id }) => id === "port-orphans-fixed"));
    const sequences = findings.find(({ id }) => id === "port-sequences");
    assert.match(sequences?.sentence ?? "", /were raised/);
    assert.equal(existsSync(`${pulled.mediaDir}.port`), false, "no copy is left in the clear");
    const opened = await synliftWell([
      ...["open", ...pulled.openArgs, "--start-command", pulled.startCommand],
      ...["--stop-command", pulled.stopCommand, "--json"],
    ]);
    const { details, findings: gates } = resultOf(opened);
    assert.ok((details["outageSeconds"] as number) > 0);
    assert.ok(gates.every(({ level }) => level === "ok" || level === "note"));
  },
);

check(
  "there too, old tokens read everything, old devices decrypt, and all of it can be written to",
  async () => {
    await readEverything(old, pulled.url);
    await writeEverywhere(old, pulled.url);
  },
);
