import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo, makeNewPlace, type NewPlace, type OldServer } from "../support/old-server.ts";
import { rowCounts } from "../support/row-counts.ts";
import type { StandInSystemctl } from "../support/stand-in-systemctl.ts";
import { eventsOf, resultOf, type RunOptions, synlift, synliftWell } from "../support/synlift.ts";
import { makeUnitServer, UNIT, type UnitServer } from "../support/unit-server.ts";

// A server that systemd runs is stopped, fenced, packed and rolled back; stopped again; and moved.

const FIRST = "customer_backup_media_export.tar.gz.gpg";
const SINCE = "customer_backup_media_export_since.tar.gz.gpg";

let server: UnitServer;
let old: OldServer;
let place: NewPlace;
let systemctl: StandInSystemctl;
let work: string;
/** The web server in front of it, with a folder that its site includes files of. */
let web: ProxyServer;
let webUrl: string;
let included: string;
let snippet: string;

const maintenance = (more: { test?: string } = {}) => [
  ...["--maintenance", `nginx:${snippet}`, "--maintenance-url", webUrl],
  ...["--maintenance-test", more.test ?? web.test, "--maintenance-reload", web.reload],
];

/** What a client of the old address gets. */
async function seen(): Promise<string> {
  const answer = await fetch(`${webUrl}/_matrix/client/versions`, {
    headers: { Origin: "https://app.example.org", Connection: "close" },
  });
  const { errcode } = (await answer.json().catch(() => ({}))) as { errcode?: string };
  const retry = answer.headers.get("Retry-After");
  const words = [answer.status, errcode, retry && `after ${retry}`];
  return words.filter((word) => word !== undefined && word !== null).join(" ");
}
const DOWN = "503 M_UNKNOWN after 60";

/** Asks over and over while `act` runs, and tells each different answer once, in order. */
async function seenWhile(act: () => Promise<unknown>): Promise<string[]> {
  const answers: string[] = [];
  const over = new AbortController();
  const acted = act().finally(() => {
    over.abort();
  });
  while (!over.signal.aborted) {
    const one = await seen();
    if (answers.at(-1) !== one) answers.push(one);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await acted;
  return answers;
}

const env = () => server.env;
const real = (out: string) => server.realExport(out);
const run = (args: readonly string[], options: RunOptions = {}) => synlift(args, { ...options, env: env() });
const well = (args: readonly string[], options: RunOptions = {}) =>
  synliftWell(args, { ...options, env: env() });

before(async () => {
  server = await makeUnitServer();
  ({ old, systemctl } = server);
  work = temporaryFolder("stop");
  place = await makeNewPlace(old.cluster, "new", await freePort());
  included = join(work, "included");
  mkdirSync(included);
  snippet = join(included, "matrix-is-down.conf");
  const port = await freePort();
  webUrl = `http://127.0.0.1:${port}`;
  web = await ProxyServer.start(
    "nginx",
    `server { listen 127.0.0.1:${port}; include ${included}/*.conf; location / { proxy_pass ${old.server.baseUrl}; } }\n`,
    port,
  );
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  await web[Symbol.asyncDispose]();
  await server.close();
});

test("without a terminal and without --yes nothing is stopped, and the error says all that would have been done", async () => {
  const ran = await run([...exportTo(old, join(work, "asked")), "--unit", UNIT]);
  assert.equal(ran.code, 2, ran.stderr);
  assert.match(ran.stderr, /systemctl stop old-synapse.service/);
  assert.match(ran.stderr, /disabled and prevented from starting/);
  assert.match(ran.stderr, /role old becomes read-only/);
  assert.equal(systemctl.isActive(UNIT), true);
  assert.equal(existsSync(join(work, "asked")), false);
});

test("a dry run lists it, and changes nothing", async () => {
  const before = systemctl.calls.length;
  // Without --yes and without a terminal: there is nothing to agree to.
  const ran = await well([...exportTo(old, join(work, "dry")), "--unit", UNIT, "--dry-run"]);
  const wouldDo = resultOf(ran).details["wouldDo"] as string[];
  assert.ok(
    wouldDo.some((line) => line.includes("prevented from starting")),
    wouldDo.join("\n"),
  );
  assert.equal(systemctl.calls.length, before);
  assert.equal(systemctl.isActive(UNIT), true);
});

test("a web server whose configuration is wrong is left alone, and nothing is stopped", async () => {
  const broken = join(included, "broken.conf");
  writeFileSync(broken, "nonsense;\n");
  const ran = await run([...real(join(work, "wrong")), ...maintenance()]);
  rmSync(broken);
  assert.equal(ran.code, 18, ran.stderr);
  assert.match(eventsOf(ran).at(-1)!.message!, /the configuration of nginx is wrong already/);
  assert.deepEqual(
    [existsSync(snippet), existsSync(join(work, "wrong")), await seen()],
    [false, false, "200"],
  );
  writeFileSync(snippet, "# mine\nlocation /mine { return 204; }\n");
  const mine = await run([...real(join(work, "wrong")), ...maintenance()]);
  assert.equal(mine.code, 2, mine.stderr);
  assert.match(readFileSync(snippet, "utf8"), /# mine/);
  rmSync(snippet);
});

test("a web server that refuses the new file gets its old one back before anything is stopped, and the move can go on without it", async () => {
  const out = join(work, "refused");
  writeFileSync(snippet, "# empty until the move\n");
  const refusing = maintenance({ test: `! grep -q synlift ${snippet}` });
  let ran: Awaited<ReturnType<typeof run>> | undefined;
  const answers = await seenWhile(async () => (ran = await run([...real(out), ...refusing])));
  assert.equal(ran!.code, 18, ran!.stderr);
  assert.match(eventsOf(ran!).at(-1)!.hint!, /--accept maintenance/);
  assert.deepEqual(answers, ["200"]);
  assert.equal(readFileSync(snippet, "utf8"), "# empty until the move\n");
  assert.equal(systemctl.isActive(UNIT), true);
  const { findings } = resultOf(await well(["status", "--out", out, "--json"]));
  assert.doesNotMatch(JSON.stringify(findings), /answers for/);
  await well(["rollback", "--out", out, "--yes", "--json"]);
});

test("--already-stopped is checked", async () => {
  const ran = await run([...exportTo(old, join(work, "claimed")), "--already-stopped"]);
  assert.equal(ran.code, 14, ran.stderr);
  assert.equal(systemctl.isActive(UNIT), true);
});

test("a move that is rolled back restores everything, and the server serves with all its rows", async () => {
  const out = join(work, "rolled-back");
  // As a worker that was killed leaves it: no Synapse starts on this, unless the sequence is raised.
  await old.cluster.sql(
    "old",
    "insert into stream_positions values ('to_device', 'a worker that is gone', 99)",
  );
  let exported: Awaited<ReturnType<typeof well>> | undefined;
  const answers = await seenWhile(
    async () => (exported = await well([...real(out), "--fix", "sequences", ...maintenance()])),
  );
  assert.deepEqual(answers, ["200", DOWN], "never an answer that would end a session");
  const { findings: packed } = resultOf(exported!);
  assert.ok(packed.some(({ id }) => id === "maintenance-answers"));
  assert.match(packed.find(({ id }) => id === "sequences-raised")!.evidence!.join(), /device_inbox_sequence/);
  assert.equal(systemctl.isActive(UNIT), false);
  assert.deepEqual([systemctl.is("enabled", UNIT), systemctl.is("masked", UNIT)], [false, true]);
  const rows = await rowCounts(old.cluster, "old");
  assert.equal(resultOf(await well(["status", "--out", out, "--json"])).details["fenced"], true);

  const listed = resultOf(await well(["rollback", "--out", out, "--dry-run", "--json"]));
  assert.deepEqual(listed.details["undone"], [
    "allow the database role old in old to write again",
    `systemctl unmask ${UNIT}`,
    `systemctl enable ${UNIT}`,
    `systemctl start ${UNIT}`,
    `put ${snippet} back as it was, and run '${web.reload}': the web server no longer answers for the homeserver`,
  ]);
  assert.equal(systemctl.isActive(UNIT), false);

  // The new server may be open by now, and nobody is there to be asked.
  const nobody = await run(["rollback", "--out", out, "--json"]);
  assert.equal(nobody.code, 2, nobody.stderr);
  assert.match(nobody.stderr, /may already be open[^]*--target[^]*--yes/);
  const silent = `http://127.0.0.1:${await freePort()}`;
  const unanswered = await run(["rollback", "--out", out, "--target", silent, "--json"]);
  assert.equal(unanswered.code, 2, unanswered.stderr);
  assert.ok(
    unanswered.stderr.includes(`${silent} did not answer, so it is unknown whether the new server is open`),
  );
  assert.deepEqual([systemctl.isActive(UNIT), existsSync(join(out, "manifest.json"))], [false, true]);

  const back = await seenWhile(() => well(["rollback", "--out", out, "--yes", "--json"]));
  assert.deepEqual(back.slice(0, 1), [DOWN]);
  assert.doesNotMatch(back.join(), /40\d|502/, "until the server answers again");
  while ((await seen()) !== "200");
  assert.equal(readFileSync(snippet, "utf8"), "# empty until the move\n");
  assert.equal(systemctl.isActive(UNIT), true);
  assert.deepEqual([systemctl.is("enabled", UNIT), systemctl.is("masked", UNIT)], [true, false]);
  assert.equal(
    existsSync(join(out, "manifest.json")),
    false,
    "a bundle of a server that serves again is none",
  );
  await server.canWrite();
  const after = await rowCounts(old.cluster, "old");
  for (const table of ["public.users", "public.rooms", "public.local_media_repository"])
    assert.equal(after.get(table), rows.get(table), table);
  assert.ok(after.get("public.events")! > rows.get("public.events")!);

  const again = resultOf(await well(["rollback", "--out", out, "--json"]));
  assert.deepEqual(again.details["undone"], [], "a second one finds nothing to undo");
  const told = (await well(["rollback", "--out", out])).stdout.replace(/\s+/g, " ");
  assert.match(told, /runs on this host: an earlier rollback started it again on/);
  assert.doesNotMatch(told, /did not stop it/);
  const { findings } = resultOf(await well(["status", "--out", out, "--json"]));
  assert.deepEqual(
    findings.filter(({ level }) => level !== "ok").map(({ id, level }) => `${id} ${level}`),
    ["rolled-back note", "fence note"],
  );
});

test("after a rollback the same export does again what the server has changed since, and says why", async () => {
  const out = join(work, "rolled-back");
  const ran = await well(real(out));
  const packed = eventsOf(ran).flatMap(({ type, id }) =>
    type === "begin" && id?.startsWith("write/") === true ? [id.slice("write/".length)] : [],
  );
  assert.deepEqual(packed, ["customer_db_export.sql.gz.gpg"]);
  assert.match(ran.stderr, /database changed since the last run/);
  await well(["rollback", "--out", out, "--yes", "--json"]);
});

test("a killed export is rolled back as well as a finished one", async () => {
  const out = join(work, "half");
  const killed = await run(real(out), {
    killWhen: (said) => said.includes(`"write/customer_db_export.sql.gz.gpg"`),
  });
  assert.equal(killed.signal, "SIGKILL");
  assert.equal(systemctl.isActive(UNIT), false);
  await well(["rollback", "--out", out, "--json"]);
  assert.deepEqual([systemctl.is("enabled", UNIT), systemctl.is("masked", UNIT)], [true, false]);
  await server.canWrite();
});

test("of two at once the second says which process holds the lock", async () => {
  const out = join(work, "two");
  let second: ReturnType<typeof run> | undefined;
  const first = run(real(out), {
    killWhen: (said) => {
      if (said.includes('"begin"')) second ??= run(real(out));
      return false;
    },
  });
  assert.equal((await first).code, 0, (await first).stderr);
  assert.equal((await second!).code, 21, (await second!).stderr);
  await well(["rollback", "--out", out, "--yes", "--json"]);
});

test("media is packed while the server serves, and an upload of that time comes in the second archive", async () => {
  const out = join(work, "bundle");
  const bytes = Buffer.from("written while the first archive was being read back");
  let late: Promise<string> | undefined;
  const ran = await well([...real(out), ...maintenance()], {
    killWhen: (said) => {
      if (said.includes(`"check/${FIRST}"`))
        late ??= old.people.alice.upload(bytes, "text/plain", "late.txt");
      return false;
    },
  });
  const mxc = await late!;
  const artifacts = resultOf(ran).details["artifacts"] as string[];
  assert.deepEqual(artifacts, [
    "customer_config_export.tar.gz.gpg",
    FIRST,
    "customer_db_export.sql.gz.gpg",
    SINCE,
  ]);
  await mustBeWhole(out);

  assert.throws(() => systemctl.run("start", UNIT), /masked/);
  // Somebody starts it in spite of the mask: that server cannot write.
  const before = await rowCounts(old.cluster, "old");
  const around = new SynapseServer({
    configFiles: [old.home.configFile, join(old.configPaths[1]!, "limits.yaml")],
    folder: old.home.dataFolder,
  });
  await around.start().catch(() => undefined);
  await assert.rejects(old.people.alice.send(old.people.rooms.public.id, "into the void"));
  await around.stop();
  assert.deepEqual(await rowCounts(old.cluster, "old"), before);

  assert.equal(await seen(), DOWN);
  await well(["restore", out, "--passphrase-file", `${out}.passphrase`, ...place.restoreArgs, "--json"]);
  const opened = await well([
    ...["open", ...place.openArgs, "--passphrase-file", `${out}.passphrase`],
    ...["--start-command", place.startCommand, "--stop-command", place.stopCommand, "--json"],
    ...["--maintenance", out],
  ]);
  assert.ok(resultOf(opened).findings.some(({ id }) => id === "maintenance-ended"));
  assert.equal(readFileSync(snippet, "utf8"), "# empty until the move\n");
  assert.deepEqual(
    resultOf(opened).findings.filter(({ level }) => level !== "ok" && level !== "note"),
    [],
  );
  const alice = old.people.alice.at(place.url);
  assert.deepEqual(Buffer.from((await alice.download(mxc)).bytes), bytes);
  for (const { mxc: known, sha256, name } of old.people.media)
    assert.equal(
      createHash("sha256")
        .update((await alice.download(known)).bytes)
        .digest("hex"),
      sha256,
      name,
    );
});

test("once the new server is open there is no way back, unless somebody accepts the loss", async () => {
  const out = join(work, "bundle");
  for (const known of [
    ["--target", place.url],
    ["--config-dir", place.configDir],
  ]) {
    const ran = await run(["rollback", "--out", out, ...known, "--json"]);
    assert.equal(ran.code, 45, ran.stderr);
    assert.match(ran.stderr, /--force/);
  }
  assert.equal(systemctl.isActive(UNIT), false);
  const forced = await well([
    "rollback",
    "--out",
    out,
    "--target",
    place.url,
    "--force",
    "--dry-run",
    "--json",
  ]);
  assert.ok(
    resultOf(forced).findings.some(({ id, level }) => id === "new-server-open" && level === "warning"),
  );
});

async function mustBeWhole(out: string): Promise<void> {
  const verified = resultOf(await well(["verify", out, "--passphrase-file", `${out}.passphrase`, "--json"]));
  assert.ok(verified.findings.every(({ level }) => level === "ok"));
}
