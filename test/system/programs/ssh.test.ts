import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionFailure, parseSshAddress, sshCall } from "../../../src/system/programs/ssh.ts";

test("an address is a host, with a user and a port where they are given, and nothing that ssh would take for more", () => {
  assert.deepEqual(parseSshAddress("ssh://old.example.org"), { host: "old.example.org" });
  assert.deepEqual(parseSshAddress("ssh://root@old:2222/"), { host: "old", user: "root", port: 2222 });
  assert.deepEqual(parseSshAddress("ssh://root@büro-größe"), { host: "büro-größe", user: "root" });
  assert.deepEqual(parseSshAddress("ssh://[fe80::1%eth0]"), { host: "fe80::1%eth0" });
  assert.deepEqual(parseSshAddress("ssh://a.b@[2001:db8::1]:22"), {
    host: "2001:db8::1",
    user: "a.b",
    port: 22,
  });
  for (const text of [
    ...[
      "old.example.org",
      "ssh://",
      "ssh://-oProxyCommand=x",
      "ssh://-l@host",
      "ssh://host:0",
      "ssh://host:70000",
    ],
    ...[
      "ssh://host/path",
      "ssh://ho st",
      "ssh://a@b@c",
      "ssh://user:word@host",
      "ssh://host;id",
      "http://host",
    ],
  ])
    assert.equal(parseSshAddress(text), undefined, text);
});

test("ssh never asks for anything, notices a dead connection, and gets the command as one word behind the host", () => {
  const { args } = sshCall({ host: "old", user: "root", port: 2222 }, "synlift export --out 'a b'");
  assert.deepEqual(args.slice(-3), ["--", "old", "synlift export --out 'a b'"]);
  const words = args.join(" ");
  for (const part of [
    "-T ",
    "BatchMode=yes",
    "ServerAliveInterval=",
    "ConnectTimeout=",
    "-p 2222",
    "-l root",
  ])
    assert.ok(words.includes(part), part);
});

test("what ssh says is told, with what to do about it", () => {
  const failure = (code: number | null, complaint: string) =>
    connectionFailure({ code, signal: null, stderr: complaint }, "synlift on old");
  for (const [code, complaint, expected, hint] of [
    [255, "root@old: Permission denied (publickey).", "connection-failed", /authorized_keys/],
    [
      255,
      "No ED25519 host key is known for old\nHost key verification failed.",
      "connection-failed",
      /accept it/,
    ],
    [255, "ssh: Could not resolve hostname old: Name or service not known", "connection-failed", /name/],
    [255, "ssh: connect to host old port 22: Connection refused", "connection-failed", /port/],
    [127, "bash: line 1: synlift: command not found", "program-missing", /install synlift on that host/],
    [1, "", "connection-failed", /by hand/],
    [null, "", "connection-failed", /by hand/],
  ] as const) {
    const { code: found, hint: said, message } = failure(code, complaint);
    assert.equal(found, expected, complaint);
    assert.match(said!, hint, complaint);
    if (complaint !== "") assert.ok(message.includes(complaint.split("\n").at(-1)!), message);
  }
});
