import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { type MatrixClient, register } from "../support/lab/matrix-client.ts";
import { synapsePython, SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo } from "../support/old-server.ts";
import { change, rowsIn } from "../support/old-sqlite.ts";
import { StandInSystemctl } from "../support/stand-in-systemctl.ts";
import { eventsOf, type Ran, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A server whose database is a file is stopped, fenced by that file's mode, and rolled back.

const UNIT = "old-synapse.service";
const DATABASE = "homeserver.db.tar.gz.gpg";

let home: HomeserverFolder;
let systemctl: StandInSystemctl;
let work: string;
let path: string;
let url: string;
let alice: MatrixClient;
let room: string;

/** As root, Synapse could write to a read-only file: it is started without the capability for that. */
const WITHOUT_OVERRIDE = process.getuid?.() === 0 ? "setpriv --bounding-set=-dac_override " : "";

const env = () => ({ PATH: systemctl.path });
const well = (args: readonly string[]) => synliftWell(args, { env: env() });
const given = (out: string) => [
  ...exportTo({ configPaths: [home.configFile], home }, out),
  ...["--yes", "--unit", UNIT],
];
const modeOf = () => statSync(path).mode & 0o777;

before(async () => {
  home = await makeHomeserverFolder();
  path = join(home.dataFolder, "homeserver.db");
  systemctl = new StandInSystemctl([
    {
      name: UNIT,
      start: `cd ${home.dataFolder} && exec ${startCommand()}`,
      pidFile: join(home.dataFolder, "homeserver.pid"),
    },
  ]);
  url = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder }).baseUrl;
  systemctl.run("start", UNIT);
  await untilAnswers();
  alice = await register(url, home.registrationSharedSecret, { name: "alice", password: "wonderland" });
  room = await alice.createRoom({ preset: "private_chat" });
  await alice.send(room, "before the move");
  chmodSync(path, 0o640);
  work = temporaryFolder("sqlite-fence");
});

after(() => {
  systemctl.run("unmask", UNIT);
  systemctl.run("stop", UNIT);
});

test("the question says that the file becomes read-only, and a rollback restores its mode and starts the server", async () => {
  const out = join(work, "rolled-back");
  const asked = await synlift(
    given(out).filter((arg) => arg !== "--yes"),
    { env: env() },
  );
  assert.equal(asked.code, 2, asked.stderr);
  assert.ok(asked.stderr.includes(`${path} becomes read-only`), asked.stderr);
  await well(given(out));
  assert.deepEqual([modeOf(), systemctl.isActive(UNIT), systemctl.is("masked", UNIT)], [0o440, false, true]);

  const listed = resultOf(await well(["rollback", "--out", out, "--dry-run", "--json"]));
  assert.deepEqual(listed.details["undone"], [
    `restore mode 640 of ${path}`,
    `systemctl unmask ${UNIT}`,
    `systemctl enable ${UNIT}`,
    `systemctl start ${UNIT}`,
  ]);
  await well(["rollback", "--out", out, "--yes", "--json"]);
  assert.equal(modeOf(), 0o640);
  await canWrite("after the rollback");
  assert.equal(existsSync(join(out, "manifest.json")), false);
});

test("after it the same export packs again what the server has written since", async () => {
  const out = join(work, "rolled-back");
  const ran = await well(given(out));
  assert.ok(packedBy(ran).includes(DATABASE), packedBy(ran).join());
  assert.match(ran.stderr, /database changed since the last run/);
});

test("a server that is started in spite of the mask cannot write", async () => {
  const out = join(work, "rolled-back");
  const rows = rowsIn(path);
  const ran = spawnSync("sh", ["-c", `cd ${home.dataFolder} && ${startCommand()}`], { encoding: "utf8" });
  await assert.rejects(alice.send(room, "into the void"));
  systemctl.run("stop", UNIT);
  assert.deepEqual(rowsIn(path), rows, ran.stderr);
  assert.deepEqual(await unsettled(out), []);
  const before = statSync(join(out, DATABASE)).ino;
  await well(given(out));
  assert.equal(statSync(join(out, DATABASE)).ino, before, "the bundle is still what the server is");
});

test("what is written in spite of the fence is noticed, and packed when the export is run again", async () => {
  const out = join(work, "rolled-back");
  chmodSync(path, 0o600);
  change(path, "INSERT INTO users (name) VALUES ('@late:old.example')");
  assert.deepEqual(await unsettled(out), ["fence-lifted", "source-written-since"]);
  const ran = await well(given(out));
  assert.ok(packedBy(ran).includes(DATABASE), packedBy(ran).join());
  assert.equal(modeOf() & 0o222, 0, "and the file is read-only again");
  assert.deepEqual(await unsettled(out), []);
  await well(["rollback", "--out", out, "--yes", "--json"]);
  assert.equal(modeOf(), 0o640);
  await canWrite("after the second rollback");
});

test("a server that was killed is restored with what was in its -wal, and so is one whose export was killed", async () => {
  const out = join(work, "killed");
  process.kill(Number(readFileSync(join(home.dataFolder, "homeserver.pid"), "utf8")), "SIGKILL");
  assert.ok(statSync(`${path}-wal`).size > 0);
  const killed = await synlift(given(out), {
    env: env(),
    killWhen: (said) => said.includes(`"write/${DATABASE}"`),
  });
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  assert.equal(modeOf(), 0o440);
  await well(["rollback", "--out", out, "--json"]);
  assert.deepEqual([modeOf(), existsSync(`${path}-wal`)], [0o640, false]);
  // synlift did not stop it.
  assert.equal(systemctl.isActive(UNIT), false);
  systemctl.run("start", UNIT);
  await canWrite("after the kill");
  assert.deepEqual(await alice.messages(room), [
    "before the move",
    "after the rollback",
    "after the second rollback",
    "after the kill",
  ]);
});

function startCommand(): string {
  return `${WITHOUT_OVERRIDE}${synapsePython()} -m synapse.app.homeserver -c ${home.configFile} -D`;
}

const packedBy = (ran: Ran) =>
  eventsOf(ran).flatMap(({ type, id }) =>
    type === "begin" && id?.startsWith("write/") === true ? [id.slice("write/".length)] : [],
  );

/** What `status` finds that is not as it should be. */
async function unsettled(out: string): Promise<string[]> {
  const { findings } = resultOf(await well(["status", "--out", out, "--json"]));
  return findings.filter(({ level }) => level !== "ok").map(({ id }) => id);
}

async function canWrite(text: string): Promise<void> {
  await untilAnswers();
  await alice.send(room, text);
}

async function untilAnswers(): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    if (answer?.ok === true) return;
    assert.ok(attempt < 600, readFileSync(join(home.dataFolder, "homeserver.log"), "utf8").slice(-2000));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
