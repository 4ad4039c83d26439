import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../support/lab/server-process.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { until } from "../support/processes.ts";
import { eventsOf, type Ran, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A rehearsal on a server that goes on serving, its trial, and the real run with the outage that the rehearsal predicts.

const DATABASE = "customer_db_export.sql.gz.gpg";

let old: OldServer;
let place: NewPlace;
let rehearsal: string;
let real: string;

before(async () => {
  old = await makeOldServer();
  const work = temporaryFolder("rehearsed");
  [rehearsal, real] = [join(work, "move-rehearsal"), join(work, "move")];
  place = await makeNewPlace(old.cluster, "trial", await freePort());
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  if (existsSync(pidFile())) execFileSync("sh", ["-c", stopOld()]);
  await old.cluster.stop();
});

const pidFile = () => join(old.home.dataFolder, "homeserver.pid");
/** It comes back at once, before the server is down. */
const stopOld = () => `kill $(cat ${pidFile()})`;
const startOld = () =>
  `cd ${old.home.dataFolder} && ${synapsePython()} -m synapse.app.homeserver -c ${old.home.configFile} -c ${join(old.configPaths[1]!, "limits.yaml")} -D`;
const key = () => ["--passphrase-file", `${rehearsal}.passphrase`];
const levels = (ran: Ran, id: string) =>
  resultOf(ran).findings.flatMap((one) => (one.id === id ? [one.level] : []));
const sentence = (ran: Ran, id: string) =>
  (resultOf(ran).findings as { id: string; sentence?: string }[]).find((one) => one.id === id)?.sentence ??
  "";

test("a rehearsal ends with the outage to expect, and nobody notices it", async () => {
  const ran = await synliftWell([...exportTo(old, rehearsal), "--rehearse"]);
  assert.equal(resultOf(ran).details["rehearsal"], true);
  assert.deepEqual(levels(ran, "outage-expected"), ["ok"]);
  assert.match(sentence(ran, "outage-expected"), /the outage of the real move will be about \d+/);
  await old.people.alice.send(old.people.rooms.public.id, "it still serves");
});

test("the database that has grown since is noticed, named and packed again, and the outage is predicted all the same", async () => {
  const ran = await synliftWell([...exportTo(old, rehearsal), "--rehearse"]);
  const events = eventsOf(ran);
  assert.deepEqual(
    events.flatMap(({ type, id }) => (type === "begin" && id?.startsWith("write/") === true ? [id] : [])),
    [`write/${DATABASE}`],
  );
  assert.ok(events.some(({ why }) => why?.includes("database changed since the last run") === true));
  assert.deepEqual(levels(ran, "outage-expected"), ["ok"]);
});

test("a rehearsal is not continued as a move", async () => {
  const ran = await synlift([...exportTo(old, rehearsal), "--yes", "--stop-command", "false"]);
  assert.equal(ran.code, 22, ran.stderr);
  await old.people.alice.send(old.people.rooms.public.id, "it still serves");
});

test("restore takes a rehearsal, and open refuses it unless --rehearsal-ok is given", async () => {
  await synliftWell(["restore", rehearsal, ...key(), ...place.restoreArgs, "--json"]);
  const open = ["open", "--config-dir", place.configDir, ...key(), "--json"];
  const refused = await synlift(open);
  assert.equal(refused.code, 25, refused.stderr);
  assert.match(refused.stderr, /--rehearsal-ok/);
  const start = ["--start-command", place.startCommand, "--stop-command", place.stopCommand];
  const opened = await synliftWell([...open, "--rehearsal-ok", ...start]);
  assert.equal(resultOf(opened).details["opened"], true);
  execFileSync("sh", ["-c", place.stopCommand]);
});

test("the real run says before the stop how long it will be, by the rehearsal, and its report shows both", async () => {
  await old.server.stop();
  execFileSync("sh", ["-c", startOld()]);
  await untilAnswers();
  const commands = ["--stop-command", stopOld(), "--start-command", startOld()];
  const ran = await synliftWell([...exportTo(old, real), "--yes", ...commands]);
  const notes = eventsOf(ran).map((event) => event.message ?? JSON.stringify(event));
  const said = notes.find((note) => note.includes("of outage until the new server answers"));
  assert.match(said ?? notes.join("\n"), /according to the rehearsal of \d{4}-/);
  assert.match(sentence(ran, "outage"), /the outage has lasted .* predicted/);
  const page = readFileSync(join(real, "report.html"), "utf8");
  assert.match(page, /Outage so far/);
  assert.match(page, /Outage predicted/);
  assert.match(page, /pack the database/);
});

test("what was stopped with a command is started again by the one that was given for it", async () => {
  await assert.rejects(fetch(`${old.server.baseUrl}/health`));
  await synliftWell(["rollback", "--out", real, "--yes", "--json"]);
  await untilAnswers();
  await old.people.alice.send(old.people.rooms.public.id, "back again");
});

async function untilAnswers(): Promise<void> {
  let up = false;
  const timer = setInterval(() => {
    void fetch(`${old.server.baseUrl}/health`).then(
      ({ ok }) => (up ||= ok),
      () => undefined,
    );
  }, 200);
  try {
    await until("the old server answers", () => up, 60);
  } finally {
    clearInterval(timer);
  }
}
