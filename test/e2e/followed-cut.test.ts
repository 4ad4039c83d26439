import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
import { freePort } from "../support/lab/server-process.ts";
import { type SshServer, startSshServer } from "../support/lab/ssh-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { DATABASE_PASSWORD } from "../support/old-server.ts";
import { makeStandby, type Standby } from "../support/standby.ts";
import { MAIN, resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";
import { makeUnitServer, UNIT, type UnitServer } from "../support/unit-server.ts";

// The cut-over to a physical standby that follows a real Synapse's database. The tests are its steps, in order.

let server: UnitServer;
let ssh: SshServer;
let standby: Standby;
let work: string;
let configDir: string;
let url: string;
let pull: string[];
let openArgs: string[];
let stopCommand: string;

before(async () => {
  server = await makeUnitServer();
  work = temporaryFolder("followed");
  configDir = join(work, "config");
  ssh = await startSshServer({ env: { PATH: server.env.PATH, NODE_TEST_CONTEXT: "" } });
  standby = await makeStandby(server.old.cluster, { configDir, database: "old", synapseRole: "old", ssh });
  const passwordFile = join(work, "database.password");
  writeFileSync(passwordFile, `${DATABASE_PASSWORD}\n`, { mode: 0o600 });
  const { configPaths, home } = server.old;
  const words = [
    ...[process.execPath, MAIN, "pull-sender", ...configPaths.flatMap((path) => ["--config", path])],
    ...["--working-directory", home.dataFolder, "--unit", UNIT],
  ];
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  pull = [
    ...["pull", ssh.address, "--ssh-config", ssh.configFile, "--export-folder", join(work, "old")],
    ...["--export-command", words.map(quoteShellWord).join(" "), "--followed", "--json"],
    ...["--database", `host=127.0.0.1 port=${standby.port} user=old dbname=old`],
    ...["--database-password-file", passwordFile, "--config-dir", configDir],
    ...["--media-dir", join(work, "media"), "--listen", `127.0.0.1:${port}`],
  ];
  const config = join(configDir, "homeserver.yaml");
  const python = synapsePython();
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
  await standby.stop();
  await ssh.stop();
  await server.close();
});

const readOnly =
  "select count(*) from pg_db_role_setting where array_to_string(setconfig, ',') like '%read_only=on%'";
const promoted = () => standby.sql("postgres", "select not pg_is_in_recovery()") === "t";

test("where nothing follows, or another database is named, nothing is done", async () => {
  const elsewhere = await synlift([...pull, "--config-dir", join(work, "another"), "--yes"]);
  assert.equal(elsewhere.code, EXIT_CODES["bad-usage"], elsewhere.stderr);
  assert.match(elsewhere.stderr, /nothing follows the old server/);
  const { host, port } = server.old.cluster.address;
  const wrong = await synlift([
    ...pull,
    "--database",
    `host=${host} port=${port} user=old dbname=old`,
    "--yes",
  ]);
  assert.equal(wrong.code, EXIT_CODES["target-unsuitable"], wrong.stderr);
  assert.match(wrong.stderr, /leads to another PostgreSQL than the copy/);
  assert.equal(server.systemctl.isActive(UNIT), true);
});

test("a dry run says what will happen, and a rehearsal compares all rows: the old server goes on", async () => {
  const dry = resultOf(await synliftWell([...pull, "--dry-run"]));
  assert.equal(dry.details["dryRun"], true);
  const rehearsed = resultOf(await synliftWell([...pull, "--rehearse"]));
  assert.match(JSON.stringify(rehearsed.findings), /was compared with the old one on .* tables with .* rows/);
  assert.equal(server.systemctl.isActive(UNIT), true);
  assert.equal(promoted(), false);
  assert.equal(standby.sql("postgres", "select pg_is_wal_replay_paused()"), "f");
  assert.ok(existsSync(join(configDir, ".synlift", "follow-compared.json")));
  const asked = await synlift(pull);
  assert.equal(asked.code, EXIT_CODES["bad-usage"], asked.stderr);
  assert.match(
    asked.stderr,
    /all rows were compared on .*gets what the old server has written last.*promoted/s,
  );
});

test("killed while the fenced server is compared, the copy still follows, and a rollback lets the old server go on", async () => {
  await server.canWrite();
  const killed = await synlift([...pull, "--yes"], { killWhen: (said) => said.includes("follow/cut") });
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  assert.equal(server.systemctl.isActive(UNIT), false);
  assert.equal(promoted(), false);
  for (let attempt = 0; existsSync(join(work, "old", "lock")); attempt += 1) {
    assert.ok(attempt < 600, "the old host's side ends");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await synliftWell(["rollback", "--out", join(work, "old"), "--yes", "--json"], { env: server.env });
  await server.canWrite();
});

test("killed once the copy was promoted, the same command goes on from there", async () => {
  const killed = await synlift([...pull, "--yes"], {
    started: (child) => {
      const look = setInterval(() => {
        if (!promoted()) return;
        clearInterval(look);
        child.kill("SIGKILL");
      }, 20);
    },
  });
  assert.equal(killed.signal, "SIGKILL", killed.stdout);
  assert.equal(existsSync(join(configDir, ".synlift", "restored.json")), false);
  for (let attempt = 0; existsSync(join(work, "old", "lock")); attempt += 1) {
    assert.ok(attempt < 600, "the old host's side ends");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { findings } = resultOf(await synliftWell([...pull, "--yes"]));
  const compared = findings.find(({ id }) => id === "database-followed");
  assert.match(compared?.sentence ?? "", /all its rows were compared .* while the old server was fenced/);
  assert.equal(standby.sql("old", readOnly), "0", "the fence that came with the log");
  assert.equal(standby.sql("old", "select count(*) from e2e_one_time_keys_json"), "0");
  // What people wrote last, on both.
  const events = "select count(*), max(stream_ordering) from events";
  const [here, there] = [standby.sql("old", events), await server.old.cluster.sql("old", events)];
  assert.equal(here.replace("|", "\t"), there);
});

test("run again, it finds everything done", async () => {
  await synliftWell([...pull, "--yes"]);
});

test("open stops at a sequence that is behind, and at a row that was changed since", async () => {
  const dry = [...openArgs, "--dry-run"];
  await synliftWell(dry);
  const sequence = "events_stream_seq";
  const last = standby.sql("old", `select last_value from ${sequence}`);
  standby.sql("old", `select setval('${sequence}', 2)`);
  const behind = await synlift(dry);
  assert.equal(behind.code, EXIT_CODES["gate-failed"], behind.stderr);
  assert.match(behind.stdout, /sequences are behind those of the old host/);
  standby.sql("old", `select setval('${sequence}', ${last})`);
  const { findings } = resultOf(await synliftWell(dry));
  assert.match(
    findings.find(({ id }) => id === "row-counts")?.sentence ?? "",
    /nothing was written to it since/,
  );
});

test("the new server has everything, and old devices decrypt", async () => {
  const tokenFile = join(work, "token");
  writeFileSync(tokenFile, server.old.people.alice.session.accessToken, { mode: 0o600 });
  const { details } = resultOf(await synliftWell([...openArgs, "--token-file", tokenFile]));
  assert.equal(details["opened"], true);
  const { people } = server.old;
  const bob = people.bob.at(url);
  const said = await bob.messages(people.rooms.public.id);
  assert.equal(
    said.length,
    people.rooms.public.messages.length + 2,
    "the two that came after the copy was begun",
  );
  await people.alice.at(url).send(people.rooms.public.id, "on the new host");
  const { roomId, texts } = people.encrypted;
  assert.deepEqual(await readWithOldDevice(url, people.alice.session, roomId), texts);
  assert.match(readFileSync(join(configDir, ".synlift", "follow.json"), "utf8"), /"stage": "done"/);
});
