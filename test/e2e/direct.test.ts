import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { type SshServer, startSshServer } from "../support/lab/ssh-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeNewPlace, type NewPlace } from "../support/old-server.ts";
import { rowCounts } from "../support/row-counts.ts";
import { filesBelow } from "../support/secrets.ts";
import { eventsOf, MAIN, resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { makeUnitServer, UNIT, type UnitServer } from "../support/unit-server.ts";

// A direct transfer from one host to another, over a real sshd, with a web server before the old one. The tests are its steps,
// in order.

let server: UnitServer;
let ssh: SshServer;
let place: NewPlace;
let work: string;
let out: string;
let sender: string;
let transfer: string[];
/** The web server of the old host, and the file that its site includes. */
let web: ProxyServer;
let webUrl: string;
let snippet: string;

/** What clients of the old address get. */
async function seen(): Promise<string> {
  const answer = await fetch(`${webUrl}/_matrix/client/versions`, { headers: { Connection: "close" } });
  const { errcode = "" } = (await answer.json().catch(() => ({}))) as { errcode?: string };
  return [answer.status, errcode, answer.headers.get("Retry-After") ?? ""].join(" ").trim();
}
const DOWN = "503 M_UNKNOWN 60";

before(async () => {
  server = await makeUnitServer();
  work = temporaryFolder("direct");
  out = join(work, "synlift move");
  ssh = await startSshServer({ env: { PATH: server.env.PATH, NODE_TEST_CONTEXT: "" } });
  place = await makeNewPlace(server.old.cluster, "new", await freePort());
  const { configPaths, home } = server.old;
  const words = [
    ...[process.execPath, MAIN, "pull-sender", ...configPaths.flatMap((path) => ["--config", path])],
    ...["--working-directory", home.dataFolder, "--unit", UNIT],
  ];
  sender = words.map(quoteShellWord).join(" ");
  const included = join(work, "included");
  mkdirSync(included);
  snippet = join(included, "matrix-is-down.conf");
  const webPort = await freePort();
  webUrl = `http://127.0.0.1:${webPort}`;
  web = await ProxyServer.start(
    "nginx",
    `server { listen 127.0.0.1:${webPort}; include ${included}/*.conf; location / { proxy_pass ${server.old.server.baseUrl}; } }\n`,
    webPort,
  );
  transfer = [
    ...["--maintenance", `nginx:${snippet}`, "--maintenance-url", webUrl],
    ...["--maintenance-test", web.test, "--maintenance-reload", web.reload],
    ...[ssh.address, "--ssh-config", ssh.configFile, "--export-folder", out],
    ...["--export-command", sender],
  ];
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  await web[Symbol.asyncDispose]();
  await ssh.stop();
  await server.close();
});

const pull = (to: NewPlace, ...more: string[]) => ["pull", ...transfer, ...to.restoreArgs, ...more, "--json"];

test("without --yes and without a terminal nothing happens, and the error says all that would", async () => {
  const ran = await synlift(pull(place));
  assert.equal(ran.code, 2, ran.stderr);
  assert.match(ran.stderr, /on the old host: .*systemctl stop old-synapse/);
  assert.match(ran.stderr, /nginx answers clients with 503 and Retry-After from then on/);
  assert.deepEqual([await seen(), existsSync(snippet)], ["200", false]);
  assert.match(ran.stderr, /on this host: new on .* is restored/);
  assert.equal(server.systemctl.isActive(UNIT), true);
  assert.equal(existsSync(out), false);
  assert.equal(existsSync(place.configDir), false);
});

test("a dry run looks at both hosts, tries the schema of the old one, and changes neither", async () => {
  const { socketFolder, port } = server.old.cluster.address;
  const tryOn = quoteShellWord(`host=${socketFolder} port=${port} user=postgres dbname=postgres`);
  const command = `${sender} --out ${quoteShellWord(out)} --try-on ${tryOn}`;
  const ran = resultOf(
    await synliftWell(
      ["pull", "--from-command", command, ...place.restoreArgs, "--dry-run", "--json"],
      server,
    ),
  );
  assert.equal(ran.details["dryRun"], true);
  assert.ok(ran.findings.some(({ id }) => id === "config-rewritten"));
  assert.equal(ran.findings.find(({ id }) => id === "schema-trial")?.level, "ok");
  assert.equal(existsSync(out), false);
  assert.equal(existsSync(place.configDir), false);
});

test("a pepper that a later file wiped on the old host ends the transfer before anything is done", async () => {
  const later = join(work, "later.yaml");
  writeFileSync(later, "password_config: { enabled: true }\n");
  const command = `${sender} --config ${quoteShellWord(later)} --out ${quoteShellWord(out)}`;
  const transfer = ["pull", "--from-command", command, ...place.restoreArgs, "--yes", "--json"];
  const ran = await synlift(transfer, server);
  assert.equal(ran.code, EXIT_CODES["found-blockers"], ran.stderr);
  assert.match(ran.stderr, /no pepper is in effect/);
  assert.equal(server.systemctl.isActive(UNIT), true);
  assert.equal(existsSync(place.configDir), false);
});

test("a rehearsal over any command brings all of it, and the old server goes on", async () => {
  const practice = await makeNewPlace(server.old.cluster, "practice", await freePort());
  const folder = join(work, "practice");
  const command = `${sender} --out ${quoteShellWord(folder)}`;
  await synliftWell(
    ["pull", "--from-command", command, "--rehearse", ...practice.restoreArgs, "--json"],
    server,
  );
  assert.equal(server.systemctl.isActive(UNIT), true);
  assert.equal(existsSync(join(folder, "fence.json")), false);
  const events = "select count(*) from events";
  const { cluster } = server.old;
  assert.equal(await cluster.sql("practice", events), await cluster.sql("old", events));
  const opened = await synlift(["open", ...practice.openArgs, "--json"]);
  assert.equal(opened.code, EXIT_CODES["rehearsal-refused"], opened.stderr);
});

test("a run that is killed while the database comes leaves none of it, and the old server fenced", async () => {
  const killed = await synlift(pull(place, "--yes"), {
    killWhen: (said) => said.includes('"begin"') && said.includes("receive/customer_db_export"),
  });
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  // The old host's side finds out by itself.
  for (let attempt = 0; existsSync(join(out, "lock")); attempt += 1) {
    assert.ok(attempt < 300, "the old host's side ends");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(server.systemctl.isActive(UNIT), false);
  assert.ok(existsSync(join(out, "fence.json")));
  assert.equal(existsSync(join(place.configDir, "homeserver.yaml.fenced")), false);
  // Clients wait from the stop on, whatever became of the transfer; and how to undo it is recorded.
  assert.equal(await seen(), DOWN);
  assert.ok(readFileSync(join(out, "fence.json"), "utf8").includes(snippet));
  const tables = "select count(*) from pg_tables where schemaname = 'public'";
  assert.equal(await server.old.cluster.sql("new", tables), "0");
});

test("a move goes from host to host, without a bundle on either", async () => {
  const ran = await synliftWell(pull(place, "--yes"));
  assert.equal(server.systemctl.isActive(UNIT), false);
  assert.equal(await seen(), DOWN);
  assert.deepEqual(
    readdirSync(out).filter((name) => /gpg|manifest/.test(name)),
    [],
  );
  for (const path of filesBelow(out)) assert.equal(statSync(path).mode & 0o777, 0o600, path);
  const expected = new Map(await rowCounts(server.old.cluster, "old"));
  expected.set("public.e2e_one_time_keys_json", 0);
  assert.deepEqual(await rowCounts(server.old.cluster, "new"), expected);
  const labels = eventsOf(ran).flatMap(({ type, id }) => (type === "begin" ? [id] : []));
  assert.ok(
    labels.indexOf("receive/customer_backup_media_export.tar.gz") <
      labels.indexOf("receive/customer_db_export.sql.gz"),
  );
  assert.equal(existsSync(join(place.configDir, "homeserver.yaml")), false, "the fence is set");
});

test("run again it brings nothing again", async () => {
  const ran = await synliftWell(pull(place, "--yes"));
  const begun = eventsOf(ran).flatMap(({ type, id }) => (type === "begin" ? [id] : []));
  assert.ok(!begun.includes("receive/customer_db_export.sql.gz"), begun.join());
});

/** What the gates say of the old server, and how the command ended. */
async function oldServerAt(to: NewPlace, ...more: string[]) {
  const ran = await synlift(["open", ...to.openArgs, "--dry-run", "--json", ...more]);
  const found = resultOf(ran).findings.filter(({ id }) => id.startsWith("old-server"));
  return { ...ran, found, said: found.map(({ id, level }) => `${id} ${level}`) };
}

test("open finds the old server stopped, and only warns when its host does not answer", async () => {
  const asked = await oldServerAt(place);
  assert.deepEqual([asked.code, asked.said], [0, ["old-server ok"]], asked.stderr);
  assert.match(
    asked.found[0]!.sentence,
    /still stopped and fenced on its old host, ssh:.*nothing was written there since/,
  );
  const record = readFileSync(join(place.configDir, ".synlift", "restored.json"), "utf8");
  assert.match(record, /"senderCommand": ".*pull-sender"/);
  assert.doesNotMatch(record, /maintenance|--unit|--config/, "no option of the transfer is kept");
  writeFileSync(
    join(place.configDir, ".synlift", "restored.json"),
    record.replace(`:${ssh.port}"`, `:${await freePort()}"`),
  );
  const gone = await oldServerAt(place);
  writeFileSync(join(place.configDir, ".synlift", "restored.json"), record);
  assert.deepEqual([gone.code, gone.said], [0, ["old-server warning"]], gone.stderr);
  assert.match(gone.found[0]!.sentence, /could not be asked: .*refused/i);
  assert.match(gone.found[0]!.hint ?? "", /gone for good, nothing has to be done/);
  await server.old.cluster.sql("old", "update rooms set creator = creator");
  const written = await oldServerAt(place);
  assert.deepEqual([written.code, written.said], [EXIT_CODES["gate-failed"], ["old-server-written blocker"]]);
  const accepted = await oldServerAt(place, "--accept", "old-server-written");
  assert.deepEqual([accepted.code, accepted.said], [0, ["old-server-written note"]], accepted.stderr);
});

test("status on the old host says that the new one has all of it", async () => {
  const { details, findings } = resultOf(
    await synliftWell(["status", "--out", out, "--json"], { env: { PATH: server.env.PATH } }),
  );
  assert.equal(typeof details["handedOver"], "string");
  assert.deepEqual(
    findings.map(({ id }) => id).filter((id) => !id.startsWith("export/")),
    ["transfer-complete", "fence", "source-written-since"],
  );
});

test("after a rollback the old server goes on, and what it writes comes once the new database is dropped", async () => {
  const env = server.env;
  const back = resultOf(await synliftWell(["rollback", "--out", out, "--yes", "--json"], { env }));
  await server.untilAnswers();
  assert.equal(existsSync(snippet), false, JSON.stringify(back.findings));
  // A web server that was told to reload answers as before for a moment.
  while ((await seen()) !== "200") await new Promise((resolve) => setTimeout(resolve, 100));
  await server.old.people.alice.createRoom({ preset: "private_chat" });
  // Whoever is at the new host may know nothing of it.
  const beside = await oldServerAt(place);
  assert.deepEqual(
    [beside.code, beside.said],
    [EXIT_CODES["gate-failed"], ["old-server blocker"]],
    beside.stderr,
  );
  assert.match(beside.found[0]!.sentence, /runs on its old host: the move was rolled back there on /);
  assert.match(beside.found[0]!.hint ?? "", /drop the new database, and run the same pull again/);
  assert.equal((await synlift(["open", ...place.openArgs, "--json"])).code, EXIT_CODES["gate-failed"]);
  assert.equal(existsSync(join(place.configDir, "homeserver.yaml")), false, "it stays fenced");
  const insisting = await synlift(["open", ...place.openArgs, "--dry-run", "--accept", "old-server"]);
  assert.equal(insisting.code, EXIT_CODES["bad-usage"]);
  server.systemctl.run("stop", UNIT);
  const idle = await oldServerAt(place);
  assert.deepEqual([idle.code, idle.said], [EXIT_CODES["gate-failed"], ["old-server blocker"]], idle.stderr);
  assert.match(idle.found[0]!.sentence, /was rolled back on the old host on /);
  server.systemctl.run("start", UNIT);
  await server.untilAnswers();
  const asked = await synliftWell(["status", "--out", out, "--json"]);
  assert.equal(resultOf(asked).details["handedOver"], null);
  assert.match(asked.stdout, /run the same pull again on the new host/);
  for (const time of ["once", "twice"]) {
    const refused = await synlift(pull(place, "--yes"));
    assert.equal(refused.code, EXIT_CODES["target-not-empty"], `${time}: ${refused.stderr}`);
    assert.match(refused.stderr, /has written since its database was received: new on .*drop that database/s);
  }
  const behind = await oldServerAt(place);
  assert.deepEqual(
    [behind.code, behind.said],
    [EXIT_CODES["gate-failed"], ["old-server blocker"]],
    behind.stderr,
  );
  assert.match(behind.found[0]!.sentence, /has run on its old host since it was moved here/);
  await server.old.cluster.sql("postgres", "drop database new");
  await synliftWell(pull(place, "--yes"));
  const rooms = "select count(*) from rooms";
  assert.equal(await server.old.cluster.sql("new", rooms), await server.old.cluster.sql("old", rooms));
});

test("open proves it with what is kept beside the configuration, and old sessions go on", async () => {
  const tokenFile = join(work, "token");
  writeFileSync(tokenFile, server.old.people.alice.session.accessToken, { mode: 0o600 });
  const ran = await synliftWell([
    ...["open", ...place.openArgs, "--token-file", tokenFile, "--start-command", place.startCommand],
    ...["--stop-command", place.stopCommand, "--json"],
  ]);
  const { details, findings } = resultOf(ran);
  assert.equal(details["opened"], true);
  // The old host is another host: its web server is not this one's business.
  assert.equal(await seen(), DOWN);
  assert.ok((details["outageSeconds"] as number) > 0);
  assert.deepEqual(
    findings.filter(({ level }) => level !== "ok"),
    [],
  );
  const { people } = server.old;
  const bob = people.bob.at(place.url);
  for (const room of Object.values(people.rooms))
    assert.deepEqual(await bob.messages(room.id), room.messages);
  for (const { mxc, sha256, name } of people.media) {
    const { bytes } = await bob.download(mxc);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }
  const { roomId, texts } = people.encrypted;
  assert.deepEqual(await readWithOldDevice(place.url, people.alice.session, roomId), texts);
});

test("both run, because an open was killed before it recorded that and the move was rolled back: the new one is stopped again", async () => {
  const path = join(place.configDir, ".synlift", "restored.json");
  const record = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...record, opening: record["opened"], opened: null }));
  await synliftWell(["rollback", "--out", out, "--yes", "--json"], server);
  await server.untilAnswers();
  const ran = await synlift([
    ...["open", ...place.openArgs, "--start-command", place.startCommand],
    ...["--stop-command", place.stopCommand, "--json"],
  ]);
  assert.equal(ran.code, EXIT_CODES["gate-failed"], ran.stderr);
  assert.equal(resultOf(ran).findings.find(({ id }) => id === "old-server")?.level, "blocker");
  assert.equal(existsSync(join(place.configDir, "homeserver.yaml")), false, "it is fenced again");
  await assert.rejects(fetch(`${place.url}/health`));
});
