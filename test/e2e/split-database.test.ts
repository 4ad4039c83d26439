import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { populate, type Population } from "../support/lab/populate.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeNewPlace, type NewPlace } from "../support/old-server.ts";
import { rowCounts } from "../support/row-counts.ts";
import { exportOf } from "../support/small-homeserver.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A homeserver whose state groups have a database of their own, from the plan to the first message read.

let cluster: PostgresCluster;
let home: HomeserverFolder;
let server: SynapseServer;
let people: Population;
let place: NewPlace;
let bundle: string;
let opens: readonly string[];

before(async () => {
  cluster = await PostgresCluster.start();
  const { host, port } = cluster.address;
  for (const [role, name] of [
    ["old", "old"],
    ["old_state", "old_state"],
  ] as const) {
    await cluster.createRole(role, "secret");
    await cluster.createDatabase(name, { owner: role });
  }
  const block = (store: string, name: string) => ({
    name: "psycopg2",
    data_stores: [store],
    args: { user: name, password: "secret", dbname: name, host, port, cp_min: 1, cp_max: 3 },
  });
  // State first: no order of labels means anything.
  const databases = { "the-states": block("state", "old_state"), master: block("main", "old") };
  home = await makeHomeserverFolder({ settings: { database: undefined, databases } });
  server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  people = await populate(server.baseUrl, home.registrationSharedSecret);
  place = await makeNewPlace(cluster, "new", await freePort());
  bundle = join(temporaryFolder("split"), "bundle");
  opens = ["--passphrase-file", `${bundle}.passphrase`];
});
after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  await server.stop();
  await cluster.stop();
});

const readOnly = (role: string) =>
  cluster.sql(
    "postgres",
    `select count(*) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where rolname = '${role}' and setconfig::text like '%read_only=on%'`,
  );

test("plan tells of the second database, and counts it in", async () => {
  const ran = await synlift([
    ...["plan", "--config", home.configFile, "--working-directory", home.dataFolder, "--json"],
  ]);
  const { findings } = resultOf(ran);
  const levels = findings
    .filter(({ id }) => id.startsWith("database"))
    .map(({ id, level }) => `${id} ${level}`);
  assert.ok(levels.includes("database-split note"), levels.join());
  assert.equal(levels.filter((line) => line === "database ok").length, 2, levels.join());
  assert.ok(!levels.some((line) => line.endsWith("blocker")), levels.join());
});

test("both databases are fenced, dumped and counted, and both fences come off again", async () => {
  await server.stop();
  await synliftWell(exportOf(home, bundle));
  assert.deepEqual([await readOnly("old"), await readOnly("old_state")], ["1", "1"]);
  await synliftWell(["rollback", "--out", bundle, "--yes"]);
  assert.deepEqual([await readOnly("old"), await readOnly("old_state")], ["0", "0"]);

  await synliftWell(exportOf(home, bundle));
  const status = resultOf(await synliftWell(["status", "--out", bundle, "--json"]));
  assert.equal(status.details["sealed"], true);
  const { findings } = resultOf(await synliftWell(["verify", bundle, ...opens, "--json"]));
  assert.equal(findings.filter(({ id, level }) => id === "contents" && level === "ok").length, 4);
  // The state database alone moves on: that is noticed too.
  await cluster.sql("old_state", "select nextval('state_group_id_seq')");
  const moved = resultOf(await synliftWell(["status", "--out", bundle, "--json"]));
  assert.ok(moved.findings.some(({ id }) => id === "source-written-since"));
  // The other format, for both: they are loaded by pg_restore, one after the other.
  await synliftWell([...exportOf(home, bundle), "--db-format", "custom"]);
  const dumps = readdirSync(bundle).filter((name) => name.includes("_db_"));
  assert.deepEqual(dumps, ["customer_db_export.dump.gz.gpg", "customer_db_export_state.dump.gz.gpg"]);
});

test("restore wants two databases, and not the same one twice", async () => {
  const restore = ["restore", bundle, ...opens, ...place.restoreArgs];
  const one = await synlift(restore);
  assert.equal(one.code, 2, one.stderr);
  assert.match(one.stderr, /--state-database must be given/);
  const folder = join(place.folder, "composed");
  const composed = await synlift(["restore", bundle, ...opens, "--layout", "compose", "--folder", folder]);
  assert.equal(composed.code, 41, composed.stderr);
  assert.match(composed.stderr.replaceAll(/\s+/g, " "), /--layout compose has one database/);
  assert.equal(existsSync(folder), false);
  const { host, port } = cluster.address;
  const address = `host=${host} port=${port} user=new dbname=new`;
  const same = await synlift([...restore, "--state-database", address]);
  assert.match(same.stderr, /--state-database names the same database as another option/);
  const second = [
    "--state-database",
    `${address}_state`,
    "--state-database-password-file",
    place.passwordFile,
  ];
  await synliftWell([...restore, ...second]);
  for (const [from, to] of [
    ["old", "new"],
    ["old_state", "new_state"],
  ] as const) {
    const expected = new Map(await rowCounts(cluster, from));
    if (expected.has("public.e2e_one_time_keys_json")) expected.set("public.e2e_one_time_keys_json", 0);
    assert.deepEqual(await rowCounts(cluster, to), expected);
  }
});

test("a state database that lost a row keeps the new server fenced", async () => {
  const open = ["open", "--config-dir", place.configDir, ...opens, "--dry-run", "--json"];
  await cluster.sql("new_state", "set role new; create table kept as select * from state_groups limit 1");
  const ran = await synlift(open);
  assert.equal(ran.code, 43, ran.stderr);
  await cluster.sql("new_state", "drop table kept");
  await synliftWell(open);
});

test("the new server serves every room from its two databases", async () => {
  await synliftWell([
    ...["open", "--config-dir", place.configDir, ...opens],
    ...["--start-command", startCommand(), "--stop-command", place.stopCommand],
  ]);
  const bob = people.bob.at(place.url);
  for (const room of Object.values(people.rooms))
    assert.deepEqual(await bob.messages(room.id), room.messages);
  const config = readFileSync(join(place.configDir, "homeserver.yaml"), "utf8");
  assert.match(config, /dbname: new_state/);
  assert.match(config, /dbname: new\n/);
});

/** This homeserver has no folder of further settings. */
function startCommand(): string {
  return place.startCommand.replace(/ -c \S+conf\.d/, "");
}
