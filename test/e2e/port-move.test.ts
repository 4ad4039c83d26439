import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
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
  type SqliteServer,
} from "../support/ported.ts";
import { scenario } from "../support/scenario.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A homeserver on SQLite moves to another host, and is on PostgreSQL there.

const { step, check } = scenario();

let old: SqliteServer;
let cluster: PostgresCluster;
let place: NewPlace;
let bundle: string;

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
  await synliftWell(["export", ...old.config, "--out", bundle, "--json"]);
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
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

check(
  "old tokens work, old devices decrypt, media is there, and a message can be sent in every room",
  async () => {
    const bob = old.people.bob.at(place.url);
    for (const room of Object.values(old.people.rooms)) {
      assert.deepEqual(await bob.messages(room.id), room.messages);
      await bob.send(room.id, "from the new host");
    }
    for (const { mxc, sha256 } of old.people.media) {
      const { bytes } = await bob.download(mxc);
      assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256);
    }
    const { roomId, texts } = old.people.encrypted;
    assert.deepEqual(await readWithOldDevice(place.url, old.people.alice.session, roomId), texts);
  },
);
