import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { JOURNAL, LOCK } from "../../../src/bundle/layout.ts";
import { fileMarker } from "../../../src/homeserver/database/file-state.ts";
import { FenceRecord, type NewChange } from "../../../src/homeserver/service/fence/record.ts";
import { Journal } from "../../../src/journal/journal.ts";
import { acquireLock } from "../../../src/journal/lock.ts";
import { OUTAGE_SINCE } from "../../../src/move/old-server/journal-facts.ts";
import { type MovedServer, oldServerBeside, oldServerGate } from "../../../src/move/open/old-server.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import { quoteShellWord } from "../../../src/system/shell-quoting.ts";
import type { System } from "../../../src/system/system.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { type HomeserverFolder, makeHomeserverFolder } from "../../support/lab/homeserver-folder.ts";
import { type SshServer, startSshServer } from "../../support/lab/ssh-server.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith } from "../../support/real-world.ts";
import { MAIN } from "../../support/synlift.ts";

// What the gate makes of the records on an old host, which synlift there reads, started over a real sshd. A Synapse that runs there, and
// one that was rolled back, are in test/e2e/direct.test.ts.

const SINCE = "2026-11-02T02:00:00.000Z";
const machine = machineWith();
const system = { files, machine, programs: programsWith(), signal: new AbortController().signal } as System;
let ssh: SshServer;
let home: HomeserverFolder;
let database: string;

before(async () => {
  ssh = await startSshServer({ env: { NODE_TEST_CONTEXT: "" } });
  home = await makeHomeserverFolder();
  database = String(home.database.args["database"]);
  writeFileSync(database, "rows", { mode: 0o400 });
});
after(() => ssh.stop());

const sender = (command = "pull-sender") => [process.execPath, MAIN, command].map(quoteShellWord).join(" ");

/** The folder of a transfer on the old host, with these changes. */
async function folderWith(...changes: NewChange[]) {
  const folder = temporaryFolder("old move");
  const source = { configPaths: [home.configFile], workingFolder: home.dataFolder, map: [] };
  const supervisor = { kind: "person" as const };
  const record = await FenceRecord.open(
    folder,
    { subject: "old.example", source, supervisor },
    files,
    machine,
  );
  for (const change of changes) await record.apply(change, () => Promise.resolve());
  await record.setMarker(await fileMarker(database, files));
  const journal = await Journal.open(join(folder, JOURNAL), files);
  await journal.setFact(OUTAGE_SINCE, SINCE);
  return { folder, record, journal };
}

const STOPPED: NewChange = { kind: "running", name: "server", before: null };
const fenced = (): NewChange => ({ kind: "file-writes", name: database, before: "640" });

const moved = (
  folder: string,
  more: Partial<MovedServer["record"]> = {},
  isFollowed = false,
): MovedServer => ({
  record: {
    serverName: "old.example",
    rehearsal: false,
    outageSince: SINCE,
    oldHost: { address: ssh.address, sshConfig: ssh.configFile, senderCommand: sender(), folder },
    ...more,
  },
  isFollowed,
});

async function seen(folder: string, more: Partial<MovedServer["record"]> = {}, isFollowed = false) {
  const [finding, ...rest] = await oldServerGate(moved(folder, more, isFollowed), system);
  assert.deepEqual(rest, []);
  assert.ok(finding);
  assert.ok(finding.id.startsWith("old-server"), finding.id);
  return finding;
}

test("a server that is stopped and fenced passes, by whichever command of synlift's is asked", async () => {
  const { folder } = await folderWith(STOPPED, fenced());
  for (const command of ["pull-sender", "follow-source"]) {
    const oldHost = {
      address: ssh.address,
      sshConfig: ssh.configFile,
      senderCommand: sender(command),
      folder,
    };
    const { level, sentence } = await seen(folder, { oldHost });
    assert.equal(level, "ok", sentence);
  }
});

test("one that is not fenced, or whose fence is partly gone, is a warning", async () => {
  const open = await seen((await folderWith(STOPPED)).folder);
  assert.deepEqual(
    [open.level, open.sentence.includes("it can be started")],
    ["warning", true],
    open.sentence,
  );
  const { folder } = await folderWith(STOPPED, {
    kind: "unit-held",
    name: "old.service",
    before: "/etc/systemd/system/old.service.d/synlift-fence.conf",
  });
  const lifted = await seen(folder);
  assert.deepEqual(
    [lifted.level, lifted.sentence.includes("part of its fence")],
    ["warning", true],
    lifted.sentence,
  );
  assert.match(lifted.evidence?.join() ?? "", /is no longer there/);
});

test("a run of synlift in that folder may be a rollback", async () => {
  const { folder } = await folderWith(STOPPED, fenced());
  const held = await acquireLock(join(folder, LOCK), files, machine);
  const busy = await seen(folder);
  await held.release();
  assert.deepEqual([busy.level, busy.sentence.includes("at the moment")], ["blocker", true], busy.sentence);
});

test("a rollback is seen, whether or not the server runs, and says how a move goes on that followed", async () => {
  const { folder, record } = await folderWith(STOPPED, fenced());
  for (const change of record.activeChanges) await record.undone(change);
  const back = await seen(folder);
  assert.equal(back.level, "blocker");
  assert.match(back.sentence, /was rolled back on the old host on \d{4}-/);
  assert.match(back.evidence?.join() ?? "", /has written nothing since/);
  assert.match(back.hint ?? "", /drop the new database/);
  assert.match((await seen(folder, {}, true)).hint ?? "", /synlift follow stop/);
  const [late] = await oldServerBeside(moved(folder), system);
  assert.equal(late?.level, "warning", "it does not run, and the new one does already");
});

test("a fence that is newer than this transfer is another one's", async () => {
  const { folder, journal } = await folderWith(STOPPED, fenced());
  await journal.setFact(OUTAGE_SINCE, "2026-11-03T02:00:00.000Z");
  const { level, sentence } = await seen(folder);
  assert.equal(level, "blocker");
  assert.match(sentence, /stopped there on 2026-11-03T.*what is here is from 2026-11-02T/);
});

test("a database that was written to since is a finding of its own", async () => {
  const { folder, record } = await folderWith(STOPPED, fenced());
  await record.setMarker("of another moment");
  const { id, level } = await seen(folder);
  assert.deepEqual([id, level], ["old-server-written", "blocker"]);
});

test("what cannot be asked, or is not the old host, is a warning that names the reason", async () => {
  const { folder } = await folderWith(STOPPED, fenced());
  const way = { address: ssh.address, sshConfig: ssh.configFile, senderCommand: sender(), folder };
  const reasons: [Partial<MovedServer["record"]>, RegExp][] = [
    [{ oldHost: { ...way, address: "ssh://127.0.0.1:1" } }, /could not be asked: .*refused/i],
    [{ oldHost: { ...way, senderCommand: "no-such-synlift" } }, /could not be asked: .*cannot be started/],
    [{ oldHost: { ...way, senderCommand: "cat; true" } }, /could not be asked/],
    [{ serverName: "another.example" }, /could not be asked: .*has the server old\.example/],
    [{ oldHost: { ...way, folder: temporaryFolder("empty") } }, /no record of the move/],
  ];
  for (const [more, why] of reasons) {
    const { level, sentence } = await seen(folder, more);
    assert.deepEqual([level, why.test(sentence)], ["warning", true], sentence);
  }
  const path = join(folder, "fence.json");
  const record = await files.readText(path);
  writeFileSync(path, record.replace(machine.hostId, "0".repeat(32)));
  const elsewhere = await seen(folder);
  assert.match(elsewhere.sentence, /could not be asked: on the old host: .*was made on/);
  writeFileSync(path, record);
});

test("nobody is asked about a rehearsal or after a bundle, and that a way is not kept is said", async () => {
  const { folder } = await folderWith(STOPPED, fenced());
  assert.deepEqual(await oldServerGate(moved(folder, { rehearsal: true }), system), []);
  assert.deepEqual(await oldServerGate(moved(folder, { oldHost: undefined }), system), []);
  assert.equal((await seen(folder, { oldHost: null })).level, "note");
});

test("an interruption ends it, without a finding", async () => {
  const { folder } = await folderWith(STOPPED, fenced());
  const stop = new AbortController();
  const asking = oldServerGate(moved(folder), {
    ...system,
    programs: programsWith({}, stop.signal),
    signal: stop.signal,
  });
  // It takes longer than that: a program is started at the other end of the connection.
  setTimeout(() => {
    stop.abort(new Error("asked to stop"));
  }, 100);
  await assert.rejects(asking, /asked to stop/);
});
