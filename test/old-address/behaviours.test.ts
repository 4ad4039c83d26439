import assert from "node:assert/strict";
import { test } from "node:test";
import { forwardBehaviour } from "../../src/old-address/forward.ts";
import { maintenanceBehaviour } from "../../src/old-address/maintenance.ts";
import { signOutBehaviour } from "../../src/old-address/sign-out.ts";
import type { Untouched } from "../../src/old-address/untouched.ts";
import { actionFor, type Behaviour } from "../../src/proxies/answer.ts";

const untouched: Untouched = { kind: "folder", path: "/var/www/html" };
const to = { origin: "https://new.example.org" };
const message = "This server has moved.";
const BEHAVIOURS = {
  maintenance: maintenanceBehaviour({ retryAfter: 90, message, untouched }),
  forward: forwardBehaviour({ to, untouched }),
  soft: signOutBehaviour({ kind: "soft", to, message, untouched }),
  hard: signOutBehaviour({ kind: "hard", to, message, untouched }),
};
const NAMES = ["maintenance", "forward", "soft", "hard"] as const;

/** What each way does with a request: a status, "new" for forwarded, "file". In the order of NAMES. */
const TABLE: readonly (readonly [string, string, readonly [string, string, string, string]])[] = [
  ["GET", "/_matrix/client/v3/sync", ["503", "new", "401", "401"]],
  ["PUT", "/_matrix/client/v3/rooms/!r:example.org/send/m.room.message/1", ["503", "new", "401", "401"]],
  ["DELETE", "/_matrix/client/v3/devices/ABC", ["503", "new", "401", "401"]],
  ["OPTIONS", "/_matrix/client/v3/sync", ["204", "new", "204", "204"]],
  ["GET", "/_matrix/client/versions", ["503", "new", "new", "new"]],
  ["POST", "/_matrix/client/v3/login", ["503", "new", "new", "401"]],
  ["GET", "/_matrix/client/r0/login", ["503", "new", "new", "401"]],
  ["GET", "/_matrix/client/v3/login/sso/redirect/oidc", ["503", "new", "new", "401"]],
  ["GET", "/_matrix/client/v1/auth_metadata", ["503", "new", "new", "401"]],
  ["POST", "/_matrix/client/v3/refresh", ["503", "new", "401", "401"]],
  ["POST", "/_matrix/client/v3/logout", ["503", "new", "401", "401"]],
  ["GET", "/_matrix/client/v1/media/download/example.org/x", ["503", "new", "401", "401"]],
  ["GET", "/_matrix/media/v3/download/example.org/x", ["503", "new", "new", "new"]],
  ["GET", "/_matrix/media/v3/config", ["503", "new", "401", "401"]],
  ["POST", "/_matrix/media/v3/upload", ["503", "new", "401", "401"]],
  ["PUT", "/_matrix/media/v3/upload/example.org/x", ["503", "new", "401", "401"]],
  ["OPTIONS", "/_matrix/media/v3/upload", ["204", "new", "204", "204"]],
  ["PUT", "/_matrix/federation/v1/send/1", ["503", "new", "new", "new"]],
  ["GET", "/_matrix/key/v2/server", ["503", "new", "new", "new"]],
  ["GET", "/_synapse/client/oidc/callback", ["503", "new", "new", "new"]],
  ["GET", "/_synapse/admin/v1/server_version", ["503", "file", "401", "401"]],
  ["GET", "/.well-known/matrix/client", ["file", "file", "file", "file"]],
  ["GET", "/.well-known/matrix/server", ["file", "file", "file", "file"]],
  ["GET", "/.well-known/element/element.json", ["file", "file", "file", "file"]],
  ["GET", "/.well-known/acme-challenge/token", ["file", "file", "file", "file"]],
  ["GET", "/", ["file", "file", "file", "file"]],
];

const whatHappens = (behaviour: Behaviour, method: string, path: string): string => {
  const action = actionFor(behaviour, { method, path });
  if (action.kind === "answer") return `${action.status}`;
  return action.kind === "files" ? "file" : "new";
};

for (const [method, path, expected] of TABLE)
  test(`${method} ${path} is answered as each way of leaving the old address wants it`, () => {
    assert.deepEqual(
      NAMES.map((name) => whatHappens(BEHAVIOURS[name], method, path)),
      expected,
    );
  });

test("a sign-out says whether keys are kept, in the words of the specification", () => {
  for (const kind of ["soft", "hard"] as const) {
    const action = actionFor(BEHAVIOURS[kind], { method: "GET", path: "/_matrix/client/v3/sync" });
    assert.ok(action.kind === "answer" && action.body !== undefined);
    assert.deepEqual(JSON.parse(action.body), {
      errcode: "M_UNKNOWN_TOKEN",
      error: message,
      soft_logout: kind === "soft",
    });
  }
});

test("the outage is never a 401, and says when to come back", () => {
  const action = actionFor(BEHAVIOURS.maintenance, { method: "GET", path: "/_matrix/client/v3/sync" });
  assert.ok(action.kind === "answer");
  assert.deepEqual([action.status, action.headers["Retry-After"]], [503, "90"]);
  for (const { then, byMethod = [] } of BEHAVIOURS.maintenance.rules)
    for (const one of [then, ...byMethod.map(({ answer }) => answer)])
      assert.ok(one.kind !== "answer" || one.status !== 401);
});

test("every answer to a web client carries the headers that let its page see it", () => {
  for (const { rules } of Object.values(BEHAVIOURS))
    for (const { then, byMethod = [] } of rules)
      for (const one of [then, ...byMethod.map(({ answer }) => answer)])
        if (one.kind === "answer") {
          assert.equal(one.headers["Access-Control-Allow-Origin"], "*");
          for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE"])
            assert.match(one.headers["Access-Control-Allow-Methods"]!, new RegExp(`\\b${method}\\b`));
          assert.match(one.headers["Access-Control-Allow-Headers"]!, /Authorization.*|Content-Type/);
        }
});
