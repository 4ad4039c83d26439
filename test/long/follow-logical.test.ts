import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
import { PostgresCluster, serverMajors } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { type SshServer, startSshServer } from "../support/lab/ssh-server.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { MAIN, type Ran, resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { makeUnitServer, UNIT, type UnitServer } from "../support/unit-server.ts";

// A real Synapse on Debian's PostgreSQL, whose database follows to the newest version by logical replication, from the command line
// on both hosts. The tests are its steps, in order.

const NEWEST = Math.max(...serverMajors());

let server: UnitServer;
let target: PostgresCluster;
let ssh: SshServer;
let work: string;
let configDir: string;
let record: string;
let url: string;
let follow: string[];
let pull: string[];
let openArgs: string[];
let stopCommand: string;
/** What the old database was like before anything. */
let untouched: string;

const onOld = (sql: string) => server.old.cluster.sql("old", sql);
const onNew = (sql: string) => target.sql("new", sql);

/** All that logical replication changes in a PostgreSQL. */
const traces = () =>
  onOld(`
    select 'role ' || rolname from pg_roles where rolname like 'synlift%'
    union all select 'slot ' || slot_name from pg_replication_slots union all select 'publication ' || pubname from pg_publication
    union all select format('%s %s', relname, relreplident) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
    union all select name || ' ' || setting from pg_file_settings where sourcefile like '%auto.conf' order by 1`);

/** What people have written since the copy was begun. */
let written = 0;
async function people(): Promise<void> {
  await server.canWrite();
  written += 1;
}

async function until(what: string, is: () => Promise<boolean> | boolean): Promise<void> {
  for (let attempt = 0; !(await is()); attempt += 1) {
    assert.ok(attempt < 3000, what);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

before(async () => {
  server = await makeUnitServer({ settings: { wal_level: "logical" } });
  target = await PostgresCluster.start({ major: NEWEST });
  work = temporaryFolder("logical");
  configDir = join(work, "config");
  record = join(work, "old");
  ssh = await startSshServer({ env: { PATH: server.env.PATH, NODE_TEST_CONTEXT: "" } });
  untouched = await traces();
  const { configPaths, home, cluster } = server.old;
  const configs = configPaths.flatMap((path) => ["--config", path]);
  const command = (name: string, more: readonly string[]) =>
    [process.execPath, MAIN, name, ...configs, "--working-directory", home.dataFolder, ...more]
      .map(quoteShellWord)
      .join(" ");
  const administrator = ({ address: { socketFolder, port } }: PostgresCluster) => [
    ...["--admin-database", `host=${socketFolder} port=${port} user=postgres dbname=postgres`],
  ];
  const { socketFolder, port: databasePort } = target.address;
  const place = [
    ...["--database", `host=${socketFolder} port=${databasePort} user=new dbname=new`],
    ...["--database-password-file", join(work, "password"), "--config-dir", configDir],
  ];
  follow = [
    ...["follow", ssh.address, "--ssh-config", ssh.configFile, "--export-folder", record, "--json", ...place],
    ...["--source-command", command("follow-source", administrator(cluster)), ...administrator(target)],
    ...["--media-dir", join(work, "media")],
  ];
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  pull = [
    ...[
      "pull",
      ssh.address,
      "--ssh-config",
      ssh.configFile,
      "--export-folder",
      record,
      "--followed",
      "--json",
    ],
    ...[...place, "--export-command", command("pull-sender", ["--unit", UNIT])],
    ...["--media-dir", join(work, "media"), "--listen", `127.0.0.1:${port}`],
  ];
  const python = synapsePython();
  const config = join(configDir, "homeserver.yaml");
  stopCommand = `kill $(cat ${join(configDir, "homeserver.pid")})`;
  openArgs = [
    ...["open", "--config-dir", configDir, "--synapse", python, "--stop-command", stopCommand, "--json"],
    ...[
      "--start-command",
      `cd ${work} && ${python} -m synapse.app.homeserver -c ${config} -c ${join(configDir, "conf.d")} -D`,
    ],
  ];
});

after(async () => {
  if (existsSync(join(configDir, "homeserver.pid"))) execFileSync("sh", ["-c", stopCommand]);
  await ssh.stop();
  await target.stop();
  await server.close();
});

/** A follow in the background, which is ended as Ctrl-C ends it. */
function startFollow(): { said(): string; stop(): Promise<Ran> } {
  let said = "";
  let stop = () => {};
  const ran = synlift(["follow", "--config-dir", configDir, "--json"], {
    started: (child) => (stop = () => void child.kill("SIGINT")),
    killWhen: (stderr) => {
      said = stderr;
      return false;
    },
  });
  return {
    said: () => said,
    stop: () => {
      stop();
      return ran;
    },
  };
}

test("as long as Synapse has background updates to do, it refuses, and says so", async () => {
  if ((await onOld("select count(*) from background_updates")) !== "0") {
    const ran = await synlift([...follow, "--yes"]);
    assert.equal(ran.code, EXIT_CODES["follow-impossible"], ran.stderr);
    assert.match(ran.stderr, /background updates? to do/);
    assert.doesNotMatch(await traces(), /synlift/);
  }
  await until("they are done", async () => (await onOld("select count(*) from background_updates")) === "0");
  untouched = await traces();
});

test("a dry run says what would be changed on the old host, and changes nothing", async () => {
  const ran = await synliftWell([...follow, "--dry-run"]);
  const said = JSON.stringify(resultOf(ran));
  assert.match(said, /publication/);
  assert.match(said, /logical replication/);
  assert.equal(await traces(), untouched);
  assert.equal(await target.sql("postgres", "select count(*) from pg_database where datname = 'new'"), "0");
});

test("killed while it copies, it is ended without a trace on either side; killed again, it begins the copy again", async () => {
  for (const ends of [true, false]) {
    const killed = await synlift([...follow, "--yes"], { killWhen: (said) => said.includes("follow/rows") });
    assert.equal(killed.signal, "SIGKILL", killed.stderr);
    await people();
    if (!ends) break;
    await synliftWell(["follow", "stop", "--config-dir", configDir, "--yes", "--json"]);
    assert.equal(await traces(), untouched);
    assert.equal(
      await onNew("select count(*) from pg_class where relnamespace = 'public'::regnamespace"),
      "0",
    );
  }
  const ran = await synliftWell([...follow, "--until-caught-up"]);
  assert.match(ran.stderr, /rows in 1\d\d tables are the same on both hosts at position/);
  assert.equal(await onOld("select count(*) from pg_replication_slots"), "1");
  assert.equal(await onNew("select count(*) from events"), await onOld("select count(*) from events"));
});

test("killed just before it has noted that the copy is complete, it does not copy again", async () => {
  const path = join(configDir, ".synlift/follow.json");
  const state = JSON.parse(readFileSync(path, "utf8")) as { here: object };
  const mark = `synlift_half_filled_${"0".repeat(32)}`;
  writeFileSync(
    path,
    JSON.stringify({ ...state, stage: "copying", here: { ...state.here, mark, copied: null } }),
  );
  await people();
  const ran = await synliftWell(["follow", "--config-dir", configDir, "--until-caught-up", "--json"]);
  assert.doesNotMatch(ran.stderr, /follow\/rows/);
  assert.equal(await onNew("select count(*) from events"), await onOld("select count(*) from events"));
});

test("the status says how far the copy is; no password is in the new catalogue, and the way to the old database is for its server alone", async () => {
  const connection = await onNew("select subconninfo from pg_subscription");
  assert.doesNotMatch(connection, /password=/);
  const status = resultOf(await synliftWell(["follow", "status", "--config-dir", configDir, "--json"]));
  assert.deepEqual(
    status.findings.map(({ id }) => id),
    ["follow-not-running"],
  );
  const { copy } = status.details as { copy: { slot: string; lagBytes: number } };
  assert.equal(copy.slot, "reserved");
  assert.ok(Number.isInteger(copy.lagBytes));
  const { here, tunnel } = JSON.parse(readFileSync(join(configDir, ".synlift/follow.json"), "utf8")) as {
    here: { kind: string };
    tunnel: { folder: string };
  };
  assert.equal(here.kind, "logical");
  const following = startFollow();
  try {
    await until("it follows", () => following.said().includes('"type":"live"'));
    assert.equal(statSync(tunnel.folder).mode & 0o007, 0);
    assert.equal(statSync(join(tunnel.folder, "passfile")).mode & 0o777, 0o600);
  } finally {
    const ended = await following.stop();
    assert.equal(ended.code, 0, ended.stderr);
  }
  assert.equal(existsSync(tunnel.folder), false, "without the way, no password lies around");
});

test("a change of the schema is told with the statement that mends it, and then it goes on", async () => {
  await onOld("alter table users add column shoe_size integer default 42; update users set shoe_size = 43");
  const following = startFollow();
  try {
    await until("the change is told", () => following.said().includes("shoe_size"));
    assert.match(following.said(), /ALTER TABLE .*users.* ADD COLUMN .*shoe_size.* integer/);
    assert.equal(await onNew("select count(*) from pg_attribute where attname = 'shoe_size'"), "0");
    await people();
    await onNew("set role new; alter table users add column shoe_size integer default 42");
    const all = await onOld("select count(*) from users");
    await until(
      "it goes on",
      async () => (await onNew("select count(*) from users where shoe_size = 43")) === all,
    );
  } finally {
    const ended = await following.stop();
    assert.equal(ended.code, 0, ended.stderr);
  }
});

test("with --begin-again another copy is made where the first one was", async () => {
  const before = await onOld("select pubname from pg_publication");
  const ran = await synliftWell([
    ...["follow", "--config-dir", configDir, "--begin-again", "--yes", "--until-caught-up", "--json"],
  ]);
  assert.match(ran.stderr, /follow\/rows/);
  assert.notEqual(await onOld("select pubname from pg_publication"), before);
  assert.equal(await onNew("select count(*) from events"), await onOld("select count(*) from events"));
});

test("the cut-over compares both sides, takes the sequences along, and detaches", async () => {
  await people();
  await synliftWell([...follow.slice(0, 1), "--config-dir", configDir, "--until-caught-up", "--json"]);
  const ran = await synliftWell([...pull, "--yes"]);
  const { findings } = resultOf(ran);
  assert.match(
    findings.find(({ id }) => id === "database-followed")?.sentence ?? "",
    /by logical replication: all its rows were compared/,
  );
  assert.equal(await onNew("select count(*) from pg_subscription"), "0");
  const events = "select count(*), max(stream_ordering) from events";
  assert.equal(await onNew(events), await onOld(events));
  const sequences = `select string_agg(sequencename || '=' || coalesce(last_value, 0), ' ' order by sequencename) from pg_sequences`;
  assert.equal(await onNew(sequences), await onOld(sequences));
  assert.equal(
    await onNew(
      "select count(*) from pg_class where relkind = 'r' and relreplident <> 'd' and relnamespace = 'public'::regnamespace",
    ),
    "0",
  );
});

test("the new server opens, has everything, and old devices decrypt", async () => {
  const tokenFile = join(work, "token");
  writeFileSync(tokenFile, server.old.people.alice.session.accessToken, { mode: 0o600 });
  const { details } = resultOf(await synliftWell([...openArgs, "--token-file", tokenFile]));
  assert.equal(details["opened"], true);
  const { people } = server.old;
  const said = await people.bob.at(url).messages(people.rooms.public.id);
  assert.equal(said.length, people.rooms.public.messages.length + written);
  await people.alice.at(url).send(people.rooms.public.id, "on the new host");
  const { roomId, texts } = people.encrypted;
  assert.deepEqual(await readWithOldDevice(url, people.alice.session, roomId), texts);
});

test("follow stop takes everything back on the old host, and keeps the new server's database", async () => {
  const ran = await synliftWell(["follow", "stop", "--config-dir", configDir, "--yes", "--json"]);
  assert.equal(resultOf(ran).details["kind"], "kept");
  assert.equal(await traces(), untouched);
  assert.ok(Number(await onNew("select count(*) from events")) > 0);
});
