import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
import { type FollowedMove, makeFollowedMove } from "../support/standby.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { UNIT } from "../support/unit-server.ts";

// The cut-over to a physical standby that follows a real Synapse's database. The tests are its steps, in order.

let move: FollowedMove;
before(async () => {
  move = await makeFollowedMove();
});
after(() => move.close());

const readOnly =
  "select count(*) from pg_db_role_setting where array_to_string(setconfig, ',') like '%read_only=on%'";
const promoted = () => move.standby.sql("postgres", "select not pg_is_in_recovery()") === "t";

test("where nothing follows, or another database is named, nothing is done", async () => {
  const elsewhere = await synlift([...move.pull, "--config-dir", join(move.work, "another"), "--yes"]);
  assert.equal(elsewhere.code, EXIT_CODES["bad-usage"], elsewhere.stderr);
  assert.match(elsewhere.stderr, /nothing follows the old server/);
  const { host, port } = move.server.old.cluster.address;
  const wrong = await synlift([
    ...move.pull,
    "--database",
    `host=${host} port=${port} user=old dbname=old`,
    "--yes",
  ]);
  assert.equal(wrong.code, EXIT_CODES["target-unsuitable"], wrong.stderr);
  assert.match(wrong.stderr, /leads to another PostgreSQL than the copy/);
  assert.equal(move.server.systemctl.isActive(UNIT), true);
});

test("a dry run says what will happen, and a rehearsal compares all rows: the old server goes on", async () => {
  const dry = resultOf(await synliftWell([...move.pull, "--dry-run"]));
  assert.equal(dry.details["dryRun"], true);
  // As a rehearsal leaves it that is killed.
  move.standby.sql("postgres", "select pg_wal_replay_pause()");
  const rehearsed = resultOf(await synliftWell([...move.pull, "--rehearse"]));
  assert.match(JSON.stringify(rehearsed.findings), /was compared with the old one on .* tables with .* rows/);
  assert.equal(move.server.systemctl.isActive(UNIT), true);
  assert.equal(promoted(), false);
  assert.equal(move.standby.sql("postgres", "select pg_is_wal_replay_paused()"), "f");
  assert.ok(existsSync(join(move.configDir, ".synlift", "follow-compared.json")));
  const asked = await synlift(move.pull);
  assert.equal(asked.code, EXIT_CODES["bad-usage"], asked.stderr);
  assert.match(
    asked.stderr,
    /all rows were compared on .*gets what the old server has written last.*promoted/s,
  );
});

test("killed while the fenced server is compared, the copy still follows, and a rollback lets the old server go on", async () => {
  await move.server.canWrite();
  const killed = await synlift([...move.pull, "--yes"], { killWhen: (said) => said.includes("follow/cut") });
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  assert.equal(move.server.systemctl.isActive(UNIT), false);
  assert.equal(promoted(), false);
  for (let attempt = 0; existsSync(join(move.work, "old", "lock")); attempt += 1) {
    assert.ok(attempt < 600, "the old host's side ends");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await synliftWell(["rollback", "--out", join(move.work, "old"), "--yes", "--json"], {
    env: move.server.env,
  });
  await move.server.canWrite();
});

test("killed once the copy was promoted, the same command goes on from there", async () => {
  const killed = await synlift([...move.pull, "--yes"], {
    started: (child) => {
      const look = setInterval(() => {
        if (!promoted()) return;
        clearInterval(look);
        child.kill("SIGKILL");
      }, 20);
    },
  });
  assert.equal(killed.signal, "SIGKILL", killed.stdout);
  assert.equal(existsSync(join(move.configDir, ".synlift", "restored.json")), false);
  for (let attempt = 0; existsSync(join(move.work, "old", "lock")); attempt += 1) {
    assert.ok(attempt < 600, "the old host's side ends");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { findings } = resultOf(await synliftWell([...move.pull, "--yes"]));
  const compared = findings.find(({ id }) => id === "database-followed");
  assert.match(compared?.sentence ?? "", /all its rows were compared .* while the old server was fenced/);
  assert.equal(move.standby.sql("old", readOnly), "0", "the fence that came with the log");
  assert.equal(move.standby.sql("old", "select count(*) from e2e_one_time_keys_json"), "0");
  // What people wrote last, on both.
  const events = "select count(*), max(stream_ordering) from events";
  const [here, there] = [move.standby.sql("old", events), await move.server.old.cluster.sql("old", events)];
  assert.equal(here.replace("|", "\t"), there);
});

test("run again, it finds everything done", async () => {
  await synliftWell([...move.pull, "--yes"]);
});

test("open stops at a sequence that is behind, and reads neither rows nor media once more", async () => {
  const dry = [...move.openArgs, "--dry-run"];
  await synliftWell(dry);
  const sequence = "events_stream_seq";
  const last = move.standby.sql("old", `select last_value from ${sequence}`);
  move.standby.sql("old", `select setval('${sequence}', 2)`);
  const behind = await synlift(dry);
  assert.equal(behind.code, EXIT_CODES["gate-failed"], behind.stderr);
  assert.match(behind.stdout, /sequences are behind those of the old host/);
  move.standby.sql("old", `select setval('${sequence}', ${last})`);
  const { findings } = resultOf(await synliftWell(dry));
  assert.match(
    findings.find(({ id }) => id === "row-counts")?.sentence ?? "",
    /nothing was written to it since/,
  );
});

test("the new server has everything, and old devices decrypt", async () => {
  const tokenFile = join(move.work, "token");
  writeFileSync(tokenFile, move.server.old.people.alice.session.accessToken, { mode: 0o600 });
  const { details } = resultOf(await synliftWell([...move.openArgs, "--token-file", tokenFile]));
  assert.equal(details["opened"], true);
  const { people } = move.server.old;
  const bob = people.bob.at(move.url);
  const said = await bob.messages(people.rooms.public.id);
  assert.equal(
    said.length,
    people.rooms.public.messages.length + 2,
    "the two that came after the copy was begun",
  );
  await people.alice.at(move.url).send(people.rooms.public.id, "on the new host");
  const { roomId, texts } = people.encrypted;
  assert.deepEqual(await readWithOldDevice(move.url, people.alice.session, roomId), texts);
  assert.match(readFileSync(join(move.configDir, ".synlift", "follow.json"), "utf8"), /"stage": "done"/);
});
