import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
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
});

after(async () => {
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
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
  const { findings: packed } = resultOf(await well([...real(out), "--fix", "sequences"]));
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

  await well(["rollback", "--out", out, "--yes", "--json"]);
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
  const ran = await well(real(out), {
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

  await well(["restore", out, "--passphrase-file", `${out}.passphrase`, ...place.restoreArgs, "--json"]);
  const opened = await well([
    ...["open", ...place.openArgs, "--passphrase-file", `${out}.passphrase`],
    ...["--start-command", place.startCommand, "--stop-command", place.stopCommand, "--json"],
  ]);
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
