import assert from "node:assert/strict";
import { test } from "node:test";
import type { HbaRule } from "../../../../src/homeserver/database/follow/facts.ts";
import {
  describeRule,
  neededLine,
  ruleFor,
  takesPassword,
} from "../../../../src/homeserver/database/follow/hba.ts";

const rule = (line: number, text: string): HbaRule => {
  const [type = "", databases = "", users = "", ...rest] = text.split(" ");
  const method = rest.pop() ?? "";
  const [address = null, netmask = null] = rest;
  return { line, type, databases: databases.split(","), users: users.split(","), address, netmask, method };
};
const V6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

/** Debian's own file, as the view shows it. */
const DEBIAN = [
  rule(1, "local all postgres peer"),
  rule(2, "local all all peer"),
  rule(3, "host all all 127.0.0.1 255.255.255.255 scram-sha-256"),
  rule(4, `host all all ::1 ${V6} scram-sha-256`),
  rule(5, "local replication all peer"),
  rule(6, "host replication all 127.0.0.1 255.255.255.255 scram-sha-256"),
];

const lineFor = (rules: readonly HbaRule[], client: string | null, purpose: Parameters<typeof ruleFor>[2]) =>
  ruleFor(rules, { client }, purpose)?.line;
const REPLICATION = { replication: true } as const;
const DATABASE = { database: "synapse" };

test("the lines of a fresh Debian let the role in on the loopback address, and not on the socket", () => {
  assert.equal(lineFor(DEBIAN, "127.0.0.1", DATABASE), 3);
  assert.equal(lineFor(DEBIAN, "127.0.0.1", REPLICATION), 6);
  assert.equal(lineFor(DEBIAN, "::1", REPLICATION), undefined);
  assert.equal(lineFor(DEBIAN, null, DATABASE), 2);
  assert.equal(takesPassword(DEBIAN[1]), false);
  assert.equal(takesPassword(undefined), false);
});

test("the first line that matches decides, as in PostgreSQL", () => {
  const closed = [rule(1, "host all synlift_follow all reject"), ...DEBIAN];
  assert.equal(lineFor(closed, "127.0.0.1", DATABASE), 1);
  assert.equal(takesPassword(closed[0]), false);
});

test("lines for TLS, other roles, other databases and other networks are passed over", () => {
  for (const text of [
    "hostssl all all 127.0.0.1 255.255.255.255 md5",
    "hostgssenc all all 127.0.0.1 255.255.255.255 md5",
    "host all synapse 127.0.0.1 255.255.255.255 md5",
    "host all +admins 127.0.0.1 255.255.255.255 md5",
    "host sameuser all 127.0.0.1 255.255.255.255 md5",
    "host replication all 127.0.0.1 255.255.255.255 md5",
    "host all all 10.0.0.0 255.0.0.0 md5",
    "host all all db.example md5",
    `host all all ::1 ${V6} md5`,
    "local all all md5",
    "host all /^(broken all md5",
  ])
    assert.equal(lineFor([rule(1, text)], "127.0.0.1", DATABASE), undefined, text);
  // "all" is every database, and no replication connection.
  assert.equal(lineFor([rule(1, "host all all all md5")], "127.0.0.1", REPLICATION), undefined);
});

test("networks, names and expressions are matched as PostgreSQL does", () => {
  for (const [client, text] of [
    ["172.17.0.1", "host all all 172.16.0.0 255.240.0.0 md5"],
    ["172.17.0.1", "host synapse,other synlift_follow all md5"],
    ["127.0.0.1", "hostnossl all all samehost md5"],
    ["127.0.0.1", "host /^syn /follow$ localhost md5"],
    ["fd00::1:2", "host all all fd00:: ffff:ffff:ffff:ffff:: md5"],
    ["127.0.0.1", "host all all 0.0.0.0 0.0.0.0 trust"],
  ] as const)
    assert.equal(lineFor([rule(1, text)], client, DATABASE), 1, text);
});

test("the line to add names what lacks, quoted where it has to be", () => {
  assert.equal(
    neededLine({ client: "127.0.0.1" }, ["synapse", "replication"]),
    "host synapse,replication synlift_follow 127.0.0.1/32 scram-sha-256",
  );
  assert.equal(neededLine({ client: "::1" }, ["my db"]), 'host "my db" synlift_follow ::1/128 scram-sha-256');
  assert.equal(neededLine({ client: null }, ["a"]), "local a synlift_follow scram-sha-256");
  assert.equal(describeRule(DEBIAN[1]!), "line 2: local all all peer");
});
