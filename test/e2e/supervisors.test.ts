import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeOldServer, type OldServer } from "../support/old-server.ts";
import { StandInDocker } from "../support/stand-in-docker.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A server that a container engine runs, one that synctl runs, and one that only a person can stop: each is found out by
// what the host says, stopped, fenced, and rolled back.

const CONTAINER = "old-synapse";

let old: OldServer;
let work: string;
let pidFile: string;

before(async () => {
  old = await makeOldServer({ stopped: true });
  work = temporaryFolder("supervisors");
  pidFile = join(old.home.dataFolder, "homeserver.pid");
});

after(async () => {
  if (existsSync(pidFile)) execFileSync("sh", ["-c", `kill $(cat ${pidFile}) 2>/dev/null || true`]);
  await old.cluster.stop();
});

const exported = (out: string, ...more: string[]) => [
  ...["export", "--config", old.home.configFile, "--working-directory", old.home.dataFolder],
  ...["--out", out, "--json", ...more],
];

async function untilAnswers(): Promise<void> {
  for (let attempt = 0; attempt < 1800; attempt++) {
    const answer = await fetch(`${old.server.baseUrl}/health`).catch(() => undefined);
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail("the server does not answer");
}

const answers = () =>
  fetch(`${old.server.baseUrl}/health`).then(
    ({ ok }) => ok,
    () => false,
  );

/** What `plan` says of who will stop it. */
async function stopping(): Promise<{ level: string; sentence: string; hint?: string | null } | undefined> {
  const { configFile, dataFolder } = old.home;
  const args = ["plan", "--config", configFile, "--working-directory", dataFolder, "--out", work, "--json"];
  return resultOf(await synlift(args)).findings.find(({ id }) => id === "supervisor");
}

async function canWrite(): Promise<void> {
  await untilAnswers();
  await old.people.alice.send(old.people.rooms.public.id, "still here");
}

test("a container is stopped, does not come back by itself, and rollback starts it as it was", async () => {
  const { configFile, dataFolder } = old.home;
  const docker = new StandInDocker([
    {
      name: CONTAINER,
      start: `cd ${dataFolder} && exec ${synapsePython()} -m synapse.app.homeserver -c ${configFile} -D`,
      ...{ pidFile, policy: "unless-stopped" },
      command: ["python", "-m", "synapse.app.homeserver", "-c", configFile],
      mounts: [],
    },
  ]);
  const env = { PATH: docker.path };
  docker.run("start", CONTAINER);
  await untilAnswers();
  const out = join(work, "it's docker");
  const ran = await synliftWell(
    exported(out, "--container", CONTAINER, "--yes").filter((one) => one !== "--json"),
    { env },
  );
  // As a shell takes it: the terminal's lines are no part of it.
  assert.ok(
    ran.stdout.replaceAll("\n", " ").includes(`synlift rollback --out ${quoteShellWord(out)} --target`),
  );
  assert.equal(docker.isRunning(CONTAINER), false);
  assert.equal(docker.policy(CONTAINER), "no");
  await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`]);

  await synliftWell(["rollback", "--out", out, "--yes", "--json"], { env });
  assert.equal(docker.isRunning(CONTAINER), true);
  assert.equal(docker.policy(CONTAINER), "unless-stopped");
  assert.deepEqual(docker.calls, [
    `start ${CONTAINER}`,
    `update --restart=no ${CONTAINER}`,
    `stop --time 60 ${CONTAINER}`,
    `update --restart=unless-stopped ${CONTAINER}`,
    `start ${CONTAINER}`,
  ]);
  await canWrite();
  docker.run("stop", CONTAINER);
});

test("what synctl started is stopped by synctl, and rollback starts it with synctl", async () => {
  const synctl = join(dirname(synapsePython()), "synctl");
  execFileSync(synctl, ["start", old.home.configFile], { cwd: old.home.dataFolder, stdio: "ignore" });
  await untilAnswers();
  const out = join(work, "synctl");
  const planned = await stopping();
  assert.deepEqual([planned?.level, planned?.sentence.includes("synctl stop")], ["ok", true]);
  const asked = await synlift(exported(out));
  assert.equal(asked.code, 2, asked.stderr);
  assert.match(asked.stderr, /synctl stop/);
  await synliftWell(exported(out, "--yes"));
  assert.equal(await answers(), false);
  const listed = resultOf(await synliftWell(["rollback", "--out", out, "--dry-run", "--json"]));
  assert.ok((listed.details["undone"] as string[]).includes(`synctl start ${old.home.configFile}`));

  await synliftWell(["rollback", "--out", out, "--yes", "--json"]);
  await canWrite();
});

test("a server that only a person can stop is not waited for where there is no terminal", async () => {
  execFileSync("sh", ["-c", `kill $(cat ${pidFile}); while [ -e ${pidFile} ]; do sleep 0.1; done`]);
  await old.server.start();
  const out = join(work, "person");
  const planned = await stopping();
  assert.equal(planned?.level, "note");
  assert.match(planned.hint ?? "", /--stop-command, with --start-command/);
  const ran = await synlift(exported(out, "--yes"));
  assert.equal(ran.code, 14, ran.stderr);
  assert.match(ran.stderr, /--unit NAME, --container NAME or --stop-command COMMAND/);
  assert.equal(await answers(), true);
  assert.equal(existsSync(out), false);
  await old.server.stop();
  assert.equal(await stopping(), undefined);
});
