import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AnswerCounter } from "../../src/old-address/counter.ts";
import { decide, replyTo, requestedPath } from "../../src/old-address/respond.ts";
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
    const reply = replyTo(decide({ method: "GET", target }, behaviour), behaviour);
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
      const target = `/${segments.join("/")}${tail}`;
      const reply = replyTo(decide({ method: "GET", target }, behaviour), behaviour);
      if (reply.kind !== "file") return;
      assert.ok(!reply.path.split("/").includes(".."), reply.path);
      assert.ok(reply.path.startsWith("/"));
    }),
  );
});

test("those who are signed out are counted: sessions once, and no token is kept", () => {
  const counter = new AnswerCounter();
  const ask = (target: string, token: string | undefined, userAgent?: string, method = "GET") => {
    const authorization = token === undefined ? undefined : `Bearer ${token}`;
    counter.add({ method, target, authorization, userAgent }, decide({ method, target }, behaviour));
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
    const request = { method: "GET", target: `/_matrix/client/v3/${name}` };
    counter.add({ ...request, authorization: undefined, userAgent: `${name}/1` }, decide(request, behaviour));
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

test("more sessions than it keeps are counted up to there, and it says that there were more", () => {
  const counter = new AnswerCounter();
  const target = "/_matrix/client/v3/sync";
  const decision = decide({ method: "GET", target }, behaviour);
  const ask = (token: string) => {
    counter.add({ method: "GET", target, authorization: `Bearer ${token}`, userAgent: undefined }, decision);
  };
  for (let index = 0; index < 200_000; index++) ask(`syt_${index}`);
  for (let index = 0; index < 1_000; index++) ask(`syt_${index * 7}`);
  const { sessions, sessionsComplete, requests } = counter.counts();
  assert.deepEqual([sessions, sessionsComplete, requests], [200_000, true, 201_000]);
  ask("syt_one_more");
  assert.deepEqual([counter.counts().sessions, counter.counts().sessionsComplete], [200_000, false]);
});
