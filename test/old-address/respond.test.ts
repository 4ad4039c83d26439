import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AnswerCounter } from "../../src/old-address/counter.ts";
import { replyTo, requestedPath } from "../../src/old-address/respond.ts";
import { signOutBehaviour } from "../../src/old-address/sign-out.ts";

const behaviour = signOutBehaviour({
  kind: "hard",
  to: { origin: "https://new.example.org" },
  message: "moved",
  untouched: { kind: "folder", path: "/var/www/html" },
});

const PATHS: readonly (readonly [string, string | undefined])[] = [
  ["/_matrix/client/v3/sync?since=a/../b", "/_matrix/client/v3/sync"],
  ["//_matrix///client/v3/sync", "/_matrix/client/v3/sync"],
  ["/_matrix/client/../media/v3/x", "/_matrix/media/v3/x"],
  ["/_matrix/%63lient/v3/sync", "/_matrix/client/v3/sync"],
  ["/a/%2e%2e/b", "/b"],
  ["/a/./b/", "/a/b/"],
  ["/a/..", "/"],
  ["/", "/"],
  ["*", "/"],
  ["http://old.example.org/_matrix/client/versions?x", "/_matrix/client/versions"],
  ["HTTPS://old.example.org", "/"],
  ["http://old.example.org?x", "/"],
  ["/..", undefined],
  ["/a/../../etc/passwd", undefined],
  ["/.well-known/acme-challenge/..%2f..%2f..%2f..%2fetc/passwd", undefined],
  ["/%", undefined],
  ["/%zz", undefined],
  ["/a%00b", undefined],
  ["/%c3%28", undefined],
  ["relative", undefined],
  ["javascript:alert(1)", undefined],
  ["", undefined],
];

for (const [target, path] of PATHS)
  test(`the target ${target === "" ? "that is empty" : target} is ${path ?? "refused"}`, () => {
    assert.equal(requestedPath(target)?.path, path);
    const reply = replyTo({ method: "GET", target }, behaviour);
    assert.equal(reply.kind === "reply" && reply.status === 400, path === undefined);
  });

test("no target leads to a file outside the folder, and none throws", () => {
  const segment = fc.constantFrom(
    "..",
    ".",
    "",
    "%2e%2e",
    "%2F",
    "a",
    ".well-known",
    "%5c",
    "%00",
    "~",
    "matrix",
  );
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 12 }), fc.string(), (segments, tail) => {
      const reply = replyTo({ method: "GET", target: `/${segments.join("/")}${tail}` }, behaviour);
      if (reply.kind !== "file") return;
      assert.ok(!reply.path.split("/").includes(".."), reply.path);
      assert.ok(reply.path.startsWith("/"));
    }),
  );
});

test("those who are signed out are counted: sessions once, and no token is kept", () => {
  const counter = new AnswerCounter();
  const ask = (target: string, token: string | undefined, userAgent?: string, method = "GET") => {
    counter.add(
      { method, target, authorization: token === undefined ? undefined : `Bearer ${token}`, userAgent },
      behaviour,
    );
  };
  ask("/_matrix/client/v3/sync", "syt_alice", "Element/1.12.3 (iPhone)");
  ask("/_matrix/client/v3/sync", "syt_alice", "Element/1.12.3 (iPhone)");
  ask("/_matrix/client/v3/sync?access_token=syt_old", undefined, "Mozilla/5.0 (X11)");
  ask("/_matrix/client/v3/rooms/!secret:example.org/send/m/1", "syt_bob", undefined, "PUT");
  ask("/_matrix/client/v3/sync", "syt_bob", undefined, "OPTIONS");
  ask("/_matrix/federation/v1/version", undefined, "Synapse/1.160");
  ask("/elsewhere", "syt_carol");
  ask("/%", "syt_dave");
  const counts = counter.counts();
  assert.deepEqual(counts, {
    requests: 4,
    byPath: { sync: 3, rooms: 1 },
    byClient: { Element: 2, "web browser": 1, unknown: 1 },
    sessions: 3,
    sessionsComplete: true,
  });
  assert.doesNotMatch(JSON.stringify(counts), /syt_|secret/);
});

test("a stranger cannot fill the memory with names", () => {
  const counter = new AnswerCounter();
  for (let index = 0; index < 5_000; index++) {
    const name = `${index}`.replaceAll(/\d/g, (digit) => "abcdefghij"[Number(digit)]!);
    counter.add(
      {
        method: "GET",
        target: `/_matrix/client/v3/${name}`,
        authorization: undefined,
        userAgent: `${name}/1`,
      },
      behaviour,
    );
  }
  const { byPath, byClient, requests } = counter.counts();
  assert.equal(requests, 5_000);
  assert.ok(Object.keys(byPath).length <= 41);
  assert.ok(Object.keys(byClient).length <= 41);
  assert.equal(
    Object.values(byPath).reduce((sum, count) => sum + count),
    5_000,
  );
});
