import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { synapsePython, SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo } from "../support/old-server.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// Rollbacks under difficulties: a fence that another export left, a stop that failed, a server that runs.

let home: HomeserverFolder;
let server: SynapseServer;
let work: string;
let path: string;
let startCommand: string;

const given = (out: string) => exportTo({ configPaths: [home.configFile], home }, out);
const stopCommand = () => `kill $(cat ${join(home.dataFolder, "homeserver.pid")})`;
const status = async (out: string) => resultOf(await synliftWell(["status", "--out", out, "--json"]));

before(async () => {
  home = await makeHomeserverFolder();
  path = join(home.dataFolder, "homeserver.db");
  work = temporaryFolder("older-fence");
  startCommand = `cd ${home.dataFolder} && ${synapsePython()} -m synapse.app.homeserver -c ${home.configFile} -D`;
  server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
});

after(async () => {
  await server.stop();
  // Where a test failed half way, what its rollback started is still up.
  execFileSync("sh", ["-c", `${stopCommand()} 2>/dev/null || true`]);
});

test("a stop that fails is reported as such: nothing is reported as fenced, and no outage is recorded", async () => {
  const out = join(work, "failed");
  const ran = await synlift([...given(out), "--yes", "--stop-command", "exit 3"]);
  assert.equal(ran.code, 18, ran.stderr);
  assert.match(ran.stderr, /the command that should stop the server failed with exit code 3/);
  assert.match(ran.stderr, /may still be running; it is not fenced yet/);
  assert.doesNotMatch(ran.stderr, /is fenced and cannot start/);
  const { findings, details } = await status(out);
  assert.equal(details["outageSince"], null);
  assert.deepEqual(
    findings.filter(({ level }) => level === "warning").map(({ id }) => id),
    ["interrupted", "fence", "source-up"],
  );
  // No start is known, and none is needed: it was never down.
  const back = await synliftWell(["rollback", "--out", out, "--json"]);
  assert.deepEqual(resultOf(back).details["leftToDo"], []);
  const { lines } = await linesOf(["rollback", "--out", out]);
  assert.match(lines, /runs on this host/);
  const note = (await status(out)).findings.find(({ id }) => id === "rolled-back");
  assert.match(note!.sentence, /run the export again, into this folder or a new one/);
});

test("without --start-command it is said beforehand that rollback cannot start it", async () => {
  const ran = await synliftWell([...given(join(work, "dry")), "--dry-run", "--stop-command", "false"]);
  const lines = resultOf(ran).details["wouldDo"] as string[];
  assert.ok(
    lines.some((line) => line.includes("--start-command")),
    lines.join("\n"),
  );
});

test("a rollback after a fence whose folder is gone says what is still read-only, and starts once it is writable", async () => {
  await server.stop();
  const [older, newer] = [join(work, "older"), join(work, "newer")];
  await synliftWell([...given(older), "--already-stopped"]);
  assert.equal(statSync(path).mode & 0o222, 0);
  rmSync(older, { recursive: true });
  const ran = await synliftWell([...given(newer), "--already-stopped"]);
  const found = resultOf(ran).findings.find(({ id }) => id === "already-read-only");
  assert.equal(found?.level, "warning");
  assert.match(found.hint!, /chmod u\+w/);

  const again = ["rollback", "--out", newer, "--yes", "--start-command", startCommand];
  const { lines } = await linesOf(again);
  assert.match(lines, /still to do: .*homeserver\.db is read-only; chmod u\+w/s);
  assert.doesNotMatch(lines, /the fence is lifted|serves again/);
  assert.match(
    (await status(newer)).findings.find(({ id }) => id === "fence")!.sentence,
    /changed nothing on this host/,
  );

  chmodSync(path, 0o600);
  assert.match((await linesOf(again)).lines, /serves again on this host/);
  assert.match((await linesOf(["rollback", "--out", newer])).lines, /runs on this host/);
});

/** What a person reads, without the breaks of its lines. */
async function linesOf(args: readonly string[]) {
  const { stdout } = await synliftWell(args);
  return { lines: stdout.replace(/\s+/g, " ") };
}
