import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
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
import { ServedCopy } from "../support/served-copy.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A homeserver on SQLite moves to another host, and is on PostgreSQL there.

const { step, check } = scenario();

let old: SqliteServer;
let cluster: PostgresCluster;
let place: NewPlace;
let bundle: string;
/** The same server once more, as systemd (a stand-in) runs it. */
let served: ServedCopy;
let pulled: NewPlace;

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
  served = await ServedCopy.start(old);
  pulled = await makeNewPlace(cluster, "pulled", await freePort());
  await synliftWell(["export", ...old.config, "--out", bundle, "--json"]);
});

after(async () => {
  for (const { configDir, stopCommand } of [place, pulled])
    if (existsSync(join(configDir, "homeserver.pid"))) execFileSync("sh", ["-c", stopCommand]);
  await served.stop();
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
      ...[...served.pullArgs, ...pulled.restoreArgs, "--port", "--fix", "orphans"],
      ...["--synapse", synapsePython(), "--yes", "--json"],
    ]);
    assert.equal(served.isActive, false);
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
