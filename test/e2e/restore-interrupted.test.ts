import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { breakableGates, mustNameEach } from "../support/broken-gates.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeNewPlace, makeOldServer, type NewPlace, type OldServer } from "../support/old-server.ts";
import { mustBeProven, rowsToRestore } from "../support/restored.ts";
import { scenario } from "../support/scenario.ts";
import { filesBelow } from "../support/secrets.ts";
import { smallDisk } from "../support/small-disk.ts";
import { eventsOf, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A restore that is interrupted, at chosen points and at random ones, and a target that was changed in between.

let old: OldServer;
let bundle: string;
let key: string[];
let expectedRows: ReadonlyMap<string, number>;
let places = 0;

before(async () => {
  old = await makeOldServer({ stopped: true });
  bundle = join(temporaryFolder("cut"), "bundle");
  key = ["--passphrase-file", `${bundle}.passphrase`];
  const source = [
    ...old.configPaths.flatMap((path) => ["--config", path]),
    "--working-directory",
    old.home.dataFolder,
  ];
  await synliftWell(["export", ...source, "--out", bundle]);
  expectedRows = await rowsToRestore(old.cluster);
});

after(async () => {
  await old.server.stop();
  await old.cluster.stop();
});

const newPlace = async () => makeNewPlace(old.cluster, `new${++places}`, await freePort());
const restore = (place: NewPlace) => ["restore", bundle, ...key, ...place.restoreArgs, "--json"];

/** The same rows, and every gate. */
async function mustBeRestored(place: NewPlace): Promise<void> {
  await mustBeProven(old.cluster, place, { rows: expectedRows, key });
  assert.deepEqual(
    filesBelow(place.mediaDir).filter((path) => path.includes("unfinished")),
    [],
  );
}

const EVENTS = [
  `"begin".*"restore/database"`,
  `"end".*"restore/database"`,
  `"begin".*"restore/media"`,
  `"end".*"restore/media"`,
];

for (const event of EVENTS) {
  test(`a restore killed at ${event.replaceAll(/[".*]+/g, " ").trim()} goes on when it is run again`, async () => {
    const place = await newPlace();
    const killed = await synlift(restore(place), { killWhen: (said) => new RegExp(event).test(said) });
    assert.equal(killed.signal, "SIGKILL", killed.stderr);
    assert.equal(
      (await synlift(["open", ...place.openArgs, ...key])).code,
      23,
      "an unfinished restore is not opened",
    );
    await synliftWell(restore(place));
    await mustBeRestored(place);
  });
}

// One new server that all of this happens to, one thing after the other.
const { step } = scenario();
let place: NewPlace;

step("a restore killed at random moments goes on when it is run again", async () => {
  const moments = (process.env["SYNLIFT_KILL_AFTER"] ?? [0, 0, 0].map(() => randomInt(700, 2600)).join())
    .split(",")
    .map(Number);
  // To see it again: SYNLIFT_KILL_AFTER=… with these numbers.
  console.log(`killed after ${moments.join(",")} ms`);
  place = await newPlace();
  for (const milliseconds of moments) {
    await synlift(restore(place), {
      started: (child) => setTimeout(() => child.kill("SIGKILL"), milliseconds),
    });
  }
  await synliftWell(restore(place));
  await mustBeRestored(place);
});

step("a database that was restored by a run that could not record it is recognised", async () => {
  const journal = join(place.configDir, ".synlift", "journal.json");
  const content = JSON.parse(readFileSync(journal, "utf8")) as { steps: object };
  writeFileSync(journal, JSON.stringify({ ...content, steps: {} }));
  await synliftWell(restore(place));
  await mustBeRestored(place);
});

step("media that was lost after the restore is brought back by running it again", async () => {
  const lost = filesBelow(join(place.mediaDir, "local_content"))[0]!;
  rmSync(lost);
  const refused = await synlift(["open", ...place.openArgs, ...key, "--json"]);
  assert.equal(refused.code, 43);
  const again = await synliftWell(restore(place));
  assert.match(JSON.stringify(eventsOf(again)), /running again: 1 files are missing/);
  await mustBeRestored(place);
});

step(
  "an open that was killed once the fence was lifted continues: the server is verified again when nothing runs",
  async () => {
    renameSync(join(place.configDir, "homeserver.yaml.fenced"), join(place.configDir, "homeserver.yaml"));
    await mustBeRestored(place);
    assert.ok(existsSync(join(place.configDir, "homeserver.yaml.fenced")), "the fence is set again");
  },
);

step("open names each gate that is broken on purpose, and opens once all are mended", async () => {
  // All of the configuration at once, then all of database and media; test/long breaks each alone.
  for (const group of breakableGates(old.cluster, place))
    await mustNameEach(group, [...place.openArgs, ...key]);
  const tooOld = join(place.folder, "environment");
  mkdirSync(join(tooOld, "lib/python3.11/site-packages/matrix_synapse-1.60.0.dist-info"), {
    recursive: true,
  });
  mkdirSync(join(tooOld, "bin"));
  writeFileSync(join(tooOld, "bin/python3"), "");
  const page = join(place.folder, "gates.html");
  const args = ["--config-dir", place.configDir, "--synapse", tooOld, "--html", page, ...key, "--json"];
  const ran = await synlift(["open", ...args]);
  assert.equal(ran.code, 43, ran.stderr);
  assert.match(ran.stdout, /"synapse-schema","level":"blocker"/);
  assert.match(readFileSync(page, "utf8"), /old.example stays fenced on its new host/);
  await synliftWell(["open", ...place.openArgs, ...key, "--dry-run"]);
});

step("a database that somebody wrote to in between is refused, not accepted as restored", async () => {
  const journal = join(place.configDir, ".synlift", "journal.json");
  const content = JSON.parse(readFileSync(journal, "utf8")) as { steps: object };
  writeFileSync(journal, JSON.stringify({ ...content, steps: {} }));
  await old.cluster.sql(place.database, "delete from users where name like '@carol:%'");
  const ran = await synlift(restore(place));
  assert.equal(ran.code, 40, ran.stderr);
});

step("a database that was dropped is made and filled again", async () => {
  await old.cluster.sql("postgres", `drop database "${place.database}"`);
  await synliftWell(restore(place));
  await mustBeRestored(place);
});

step("a server that does not come up, or is another one, is stopped and fenced again", async () => {
  const open = ["open", ...place.openArgs, ...key, "--json"];
  const failed = await synlift([...open, "--start-command", "echo no >&2; exit 3", "--stop-command", "true"]);
  assert.equal(failed.code, 44, failed.stderr);
  assert.ok(existsSync(join(place.configDir, "homeserver.yaml.fenced")));

  const [started, listening, stopped] = ["started", "listening", "stopped"].map((name) =>
    join(place.folder, name),
  );
  // Before the start, a server on its port is a gate's business.
  const start = `touch ${started!}; while [ ! -e ${listening!} ]; do sleep 0.05; done`;
  const opening = synlift([...open, "--start-command", start, "--stop-command", `touch ${stopped!}`]);
  while (!existsSync(started!)) await new Promise((resolve) => setTimeout(resolve, 20));
  const other = await makeOtherServer(place.port);
  try {
    writeFileSync(listening!, "");
    const wrong = await opening;
    assert.equal(wrong.code, 43, wrong.stderr);
    const blockers = resultOf(wrong).findings.filter(({ level }) => level === "blocker");
    assert.ok(blockers.some(({ id }) => id === "answers-name"));
    assert.ok(existsSync(stopped!), "it was stopped");
    assert.ok(existsSync(join(place.configDir, "homeserver.yaml.fenced")), "it is fenced");
  } finally {
    other.close();
  }
});

step(
  "a server that was started and had to be stopped again can be opened when the cause is gone",
  async () => {
    const wrongToken = join(place.folder, "token");
    writeFileSync(wrongToken, "syt_nobody_has_this\n");
    const open = ["open", ...place.openArgs, ...key, "--json"];
    const gone = `while [ -e ${join(place.configDir, "homeserver.pid")} ]; do sleep 0.1; done`;
    const stop = `${place.stopCommand}; ${gone}`;
    const commands = ["--start-command", place.startCommand, "--stop-command", stop];
    const refused = await synlift([...open, ...commands, "--token-file", wrongToken]);
    assert.equal(refused.code, 43, refused.stderr);
    assert.deepEqual(
      resultOf(refused).findings.flatMap(({ id, level }) => (level === "blocker" ? [id] : [])),
      ["old-session", "answers-media"],
    );
    const again = resultOf(await synliftWell([...open, ...commands]));
    execFileSync("sh", ["-c", place.stopCommand]);
    assert.equal(again.details["opened"], true);
  },
);

test("an open that was killed after it had started the server asks it everything, and says that it is open", async () => {
  const place = await newPlace();
  await synliftWell(restore(place));
  const log = join(place.folder, "started");
  const killed = await synlift(
    [
      "open",
      ...place.openArgs,
      ...key,
      "--json",
      "--start-command",
      `${place.startCommand} && touch ${log} && sleep 30`,
    ],
    { started: (child) => void setInterval(() => existsSync(log) && child.kill("SIGKILL"), 20).unref() },
  );
  assert.equal(killed.signal, "SIGKILL");
  try {
    const again = resultOf(await synliftWell(["open", ...place.openArgs, ...key, "--json"]));
    assert.equal(again.details["opened"], true);
    assert.deepEqual(
      again.findings.map(({ id }) => id),
      ["already-running", "answers", "answers-name", "signing-key-published", "answers-media"],
    );
  } finally {
    execFileSync("sh", ["-c", place.stopCommand]);
  }
  assert.equal((await synlift(["open", ...place.openArgs, ...key])).code, 45);
});

test("an open whose record cannot be written says first that the server is open, and recording it can be repeated", async (t) => {
  const place = await newPlace();
  await synliftWell(restore(place));
  const disk = await smallDisk(t);
  const kept = join(place.configDir, ".synlift");
  cpSync(kept, join(disk, "kept"), { recursive: true });
  rmSync(kept, { recursive: true });
  symlinkSync(join(disk, "kept"), kept);
  const filler = join(disk, "filler");
  const start = `${place.startCommand}; dd if=/dev/zero of=${filler} bs=4k 2>/dev/null; true`;
  const open = ["open", ...place.openArgs, ...key, "--json", "--stop-command", "false"];
  try {
    const full = await synlift([...open, "--start-command", start]);
    assert.equal(full.code, 33, full.stderr);
    assert.match(full.stderr, /"message":"\S+ is open and runs on this host: there is no way back/);
    assert.equal((await fetch(`${place.url}/health`)).status, 200, "it is not stopped");
    rmSync(filler);
    const again = resultOf(await synliftWell(open));
    assert.equal(again.details["opened"], true);
  } finally {
    execFileSync("sh", ["-c", place.stopCommand]);
  }
});

test("what is restored for another account belongs to it, parents that had to be made too", async (t) => {
  if (process.getuid?.() !== 0) {
    // Only root can give files away: elsewhere that is refused, by name.
    const place = await newPlace();
    const ran = await synlift([...restore(place), "--owner", "nobody"]);
    assert.equal(ran.code, 34);
    return;
  }
  const place = await newPlace();
  const deep = join(place.folder, "srv", "matrix");
  const args = place.restoreArgs.map((arg) =>
    arg === place.configDir ? join(deep, "config") : arg === place.mediaDir ? join(deep, "media") : arg,
  );
  await synliftWell(["restore", bundle, ...key, ...args, "--owner", "nobody"]);
  const uid = Number(execFileSync("id", ["-u", "nobody"], { encoding: "utf8" }));
  const theirs = [join(place.folder, "srv"), deep, join(deep, "config"), ...filesBelow(join(deep, "media"))];
  for (const path of theirs) assert.equal(statSync(path).uid, uid, path);
  // Read as that account, through every folder on the way.
  execFileSync("runuser", ["-u", "nobody", "--", "cat", join(deep, "config", "homeserver.yaml.fenced")], {
    stdio: "ignore",
  });
  t.diagnostic("read as nobody");
});

async function makeOtherServer(port: number) {
  const { createServer } = await import("node:http");
  const server = createServer((_, answer) => {
    answer.setHeader("content-type", "application/json");
    answer.end(
      JSON.stringify({
        server_name: "other.example",
        verify_keys: {},
        server: { name: "Other", version: "1" },
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}
