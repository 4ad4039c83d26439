import assert from "node:assert/strict";
import { test } from "node:test";
import { RemoteShell } from "../../../src/system/programs/remote-shell.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { programsWith } from "../../support/real-world.ts";

const NEVER = new AbortController().signal;
const host = { programs: programsWith(), machine: machineWith() };

test("one shell answers several commands, each with the first line that it prints", async () => {
  const shell = await RemoteShell.open({ name: "sh", args: [] }, host, NEVER);
  assert.ok(shell);
  assert.equal(await shell.ask("echo first; echo second", NEVER), "first");
  assert.equal(await shell.ask("echo said >&2; false", NEVER), "");
  assert.equal(await shell.ask("cat; echo read nothing", NEVER), "read nothing");
  assert.equal(await shell.ask("echo 'it'\\''s' # a comment", NEVER), "it's");
  assert.equal(await shell.ask("exit 3", NEVER), "", "it ends the command alone");
  assert.equal(await shell.ask("kill -9 $$", NEVER), undefined, "the shell is gone");
  assert.equal(await shell.ask("echo again", NEVER), undefined);
  await shell.close();
  await shell.close();
});

test("a login that prints something of its own does not disturb", async () => {
  const call = { name: "sh", args: ["-c", "echo Welcome; printf 'no line break'; echo; exec sh"] };
  const shell = await RemoteShell.open(call, host, NEVER);
  assert.equal(await shell?.ask("echo answer", NEVER), "answer");
  await shell?.close();
});

test("a host that runs no shell is none: one that ends, one that repeats what it reads, one that says nothing", async () => {
  const hurried = { ...host, machine: machineWith({ wait: () => Promise.resolve() }) };
  for (const script of ["exit 0", "cat", "cat > /dev/null", "yes"]) {
    const asked = await RemoteShell.open({ name: "sh", args: ["-c", script] }, hurried, NEVER);
    assert.equal(asked, undefined, script);
  }
});

test("an aborted command ends the shell, with the reason of the signal", async () => {
  const shell = await RemoteShell.open({ name: "sh", args: [] }, host, NEVER);
  const stop = new AbortController();
  const reason = new Error("stopped");
  const answer = shell!.ask("sleep 600", stop.signal);
  stop.abort(reason);
  await assert.rejects(answer, reason);
  await shell!.close();
});
