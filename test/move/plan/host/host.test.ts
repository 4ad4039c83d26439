import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { clockFindings } from "../../../../src/move/plan/host/clock.ts";
import { diskFindings } from "../../../../src/move/plan/host/disk.ts";
import { programFindings } from "../../../../src/move/plan/host/programs.ts";
import { shellFindings } from "../../../../src/move/plan/host/shell.ts";
import { type Files, realFiles as files } from "../../../../src/system/files/files.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { programsWith, scriptsIn } from "../../../support/real-world.ts";
import { smallDisk } from "../../../support/small-disk.ts";

const ids = (findings: readonly { id: string; level: string }[]) =>
  findings.map(({ id, level }) => `${id} ${level}`);
const roomy = machineWith({ memory: () => ({ total: 8e9, available: 4e9 }) });
const needs = (out: string) => ({
  out,
  bundleBytes: 1e6,
  restoredBytes: 3e6,
  mediaStore: undefined,
  privateCopyBytes: 0,
});

test("a folder that is not there yet is measured by the disk it will lie on", async () => {
  const out = join(temporaryFolder("room"), "not", "made", "yet");
  assert.deepEqual(ids(await diskFindings(needs(out), { files, machine: roomy })), [
    "disk-space ok",
    "target-disk-space note",
    "memory ok",
  ]);
});

test("a disk that is too small is a blocker, and one in memory a warning", async (t) => {
  const out = join(await smallDisk(t, "1m"), "bundle");
  const findings = await diskFindings(needs(out), { files, machine: roomy });
  assert.deepEqual(ids(findings), [
    "disk-space blocker",
    "target-disk-space note",
    "disk-memory warning",
    "memory ok",
  ]);
  assert.match(findings[0]!.sentence, /has only .* free, and the bundle takes about 977 KiB/);
});

test("little memory is told before the night", async () => {
  const machine = machineWith({ memory: () => ({ total: 1e9, available: 1e8 }) });
  const findings = await diskFindings(needs("/tmp"), { files, machine });
  assert.ok(ids(findings).includes("memory warning"));
});

test("a file system that ignores case is told by asking for what is there under another name", async () => {
  const folder = join(temporaryFolder("case"), "Media");
  mkdirSync(folder);
  // What such a file system does: it finds a name however it is written, and lists it as it was made.
  const ignoring: Files = {
    ...files,
    lstat: async (path) => (await files.lstat(path)) ?? (await files.lstat(path.replace(/MEDIA$/, "Media"))),
  };
  const at = { ...needs("/tmp"), mediaStore: folder };
  assert.ok(!ids(await diskFindings(at, { files, machine: roomy })).includes("disk-case warning"));
  const findings = await diskFindings(at, { files: ignoring, machine: roomy });
  assert.ok(ids(findings).includes("disk-case warning"));
});

test("a shell over SSH is told what to type, one in tmux is fine, and so is one of this host", async () => {
  const programs = programsWith({ PATH: scriptsIn({ tmux: "exit 0" }) });
  const under = (...ancestors: string[]) =>
    shellFindings({ machine: machineWith({ ancestors: () => ancestors }), programs });
  assert.deepEqual(ids(await under("bash", "sudo", "bash", "sshd", "sshd", "systemd")), ["shell note"]);
  assert.match((await under("bash", "sshd-session"))[0]!.hint!, /tmux new -s move/);
  assert.deepEqual(ids(await under("bash", "tmux: server", "systemd")), ["shell ok"]);
  assert.deepEqual(ids(await under("bash", "mosh-server", "sshd")), ["shell ok"]);
  // tmux at home, and SSH out of it: what runs here hangs on the connection.
  assert.deepEqual(ids(await under("bash", "sshd", "tmux: server")), ["shell note"]);
  assert.deepEqual(ids(await under("bash", "login", "systemd")), ["shell ok"]);
  const bare = programsWith({ PATH: scriptsIn({}) });
  const [finding] = await shellFindings({
    machine: machineWith({ ancestors: () => ["sshd"] }),
    programs: bare,
  });
  assert.match(finding!.hint!, /apt-get install tmux/);
});

test("a clock that follows no time server is a warning; where nobody can tell, nothing is said", async () => {
  const saying = (script: string) =>
    clockFindings(programsWith({ PATH: scriptsIn({ timedatectl: script }) }));
  assert.deepEqual(ids(await saying("echo yes")), ["clock ok"]);
  assert.deepEqual(ids(await saying("echo no")), ["clock warning"]);
  assert.deepEqual(ids(await saying("exit 1")), []);
  assert.deepEqual(ids(await clockFindings(programsWith({ PATH: scriptsIn({}) }))), []);
});

test("missing programs are told with the package that has them", async () => {
  const server = { serverVersion: 150_000, versionText: "15.4" };
  const withScripts = (scripts: Record<string, string>) =>
    programFindings(server, {
      programs: programsWith({ PATH: scriptsIn(scripts) }),
      files: { ...files, lstat: () => Promise.resolve(undefined) },
    });
  const none = await withScripts({});
  assert.deepEqual(ids(none), ["gpg blocker", "pg-dump blocker", "transfer-program note"]);
  assert.match(none[0]!.hint!, /apt-get install gnupg/);
  const old = await withScripts({
    gpg: "echo gpg 2.2.40",
    pg_dump: "echo 'pg_dump (PostgreSQL) 13.2'",
    ssh: "exit 0",
  });
  assert.deepEqual(ids(old), ["gpg ok", "pg-dump blocker", "transfer-program ok"]);
  assert.match(old[1]!.sentence, /13\.2 is older than the database server, PostgreSQL 15\.4/);
  const fine = await withScripts({
    gpg: "echo gpg 2.2.40",
    pg_dump: "echo 'pg_dump (PostgreSQL) 16.1'",
    rclone: "exit 0",
  });
  assert.deepEqual(ids(fine), ["gpg ok", "pg-dump ok", "transfer-program ok"]);
});
