import assert from "node:assert/strict";
import { test } from "node:test";
import { countLines, personJson, personTable } from "../../../src/homeserver/people/listing.ts";
import { MAX_LISTED, PeopleList } from "../../../src/homeserver/people/people-list.ts";
import type { Person } from "../../../src/homeserver/people/person.ts";
import { usersDetails, usersLines } from "../../../src/homeserver/people/result.ts";
import { CSV_HEAD, personCsv } from "../../../src/homeserver/people/spreadsheet.ts";
import { PeopleTally } from "../../../src/homeserver/people/tally.ts";
import { widthOf } from "../../../src/report/cells.ts";

const LOOK = { columns: 80, colour: false };

const person = (more: Partial<Person> = {}): Person => ({
  userId: "@bob:example.org",
  kind: "person",
  admin: false,
  locked: false,
  devices: 2,
  encryptingDevices: 1,
  lastSeen: Date.parse("2026-11-20T10:00:00Z"),
  active: true,
  encryptedRooms: 3,
  backup: { version: 2, algorithm: "m.megolm_backup.v1.curve25519-aes-sha2", keys: 7 },
  coverage: { sessions: 9, saved: 6 },
  backupUnlocks: true,
  crossSigning: true,
  crossSigningStored: true,
  optedOut: false,
  dehydratedDevice: false,
  readiness: "partial",
  atRisk: true,
  ...more,
});

const NOBODY = { csv: undefined, announced: undefined, delivery: undefined, serverName: "example.org" };

function of(people: readonly Person[], everybody = false) {
  const [tally, roll] = [new PeopleTally(0, 90), new PeopleList(everybody)];
  for (const one of people) {
    tally.add(one);
    roll.add(one);
  }
  return { ...NOBODY, tally, roll, everybody };
}

test("what a person reads fits into 80 columns, also with the longest names", () => {
  const names = [
    "@" + "long-".repeat(48) + ":example.org",
    "@名前が長いので幅が広いです:example.org",
    "@\u202eevil\u001b[31m:example.org",
  ];
  const people = names.flatMap((userId) => [
    person({ userId }),
    person({ userId, backup: null, coverage: null, readiness: "none", lastSeen: null }),
    person({ userId, kind: "appservice", readiness: "not-needed", atRisk: false }),
  ]);
  for (const everybody of [false, true]) {
    const lines = usersLines(of(people, everybody), LOOK);
    for (const line of lines) assert.ok(widthOf(line) <= 80, line);
    assert.ok(!/[\u001b\u202e]/.test(lines.join("\n")));
  }
});

test("those who were seen last come first, and the rest is counted", () => {
  const people = Array.from({ length: 60 }, (_, n) =>
    person({ userId: `@p${n}:example.org`, lastSeen: n === 3 ? null : 1_000_000 * n }),
  );
  const lines = usersLines(of(people), LOOK);
  const first = lines.findIndex((line) => line.startsWith("@"));
  assert.match(lines[first]!, /^@p59:/);
  assert.match(lines[first + 1]!, /^@p58:/);
  assert.equal(lines.filter((line) => line.startsWith("@")).length, 50);
  assert.ok(lines.includes("… and 10 more: --csv writes all of them into a file"));
});

test("a backup that no new device opens is told from one that lags behind", () => {
  const table = personTable(
    [person(), person({ backupUnlocks: false, coverage: { sessions: 4, saved: 4 } })],
    LOOK,
  );
  assert.match(table, /partial\s+66%/);
  assert.match(table, /locked\s+100%/);
});

test("scripts get times as text, shares in percent, and all that was seen", () => {
  const { people, listed, omitted } = usersDetails(
    of([person(), person({ readiness: "ready", atRisk: false })]),
  );
  assert.equal((people as object[]).length, 1);
  assert.deepEqual([listed, omitted], ["at-risk", 0]);
  assert.deepEqual(personJson(person()), {
    ...person(),
    lastSeen: "2026-11-20T10:00:00.000Z",
    coverage: { sessions: 9, saved: 6, percent: 66 },
  });
});

test("a result names so many people and no more, but notices go to all", () => {
  const roll = new PeopleList(false);
  for (let n = 0; n < MAX_LISTED + 5; n++) roll.add(person({ userId: `@p${n}:example.org` }));
  assert.deepEqual([roll.listed.length, roll.omitted, roll.atRisk.length], [MAX_LISTED, 5, MAX_LISTED + 5]);
});

test("a spreadsheet gets a column for each fact, and takes no cell for a formula", () => {
  const columns = CSV_HEAD.trimEnd().split(",");
  assert.equal(columns[0], "user_id");
  const cells = personCsv(person()).trimEnd().split(",");
  assert.equal(cells.length, columns.length);
  const row = Object.fromEntries(columns.map((name, index) => [name, cells[index]]));
  assert.equal(row["user_id"], "'@bob:example.org");
  assert.equal(row["last_seen"], "2026-11-20T10:00:00.000Z");
  assert.deepEqual([row["coverage_percent"], row["at_risk"], row["backup_keys"]], ["66", "true", "7"]);
  assert.match(personCsv(person({ userId: '=cmd|"x",1:example.org' })), /^"'=cmd\|""x"",1:example.org",/);
  const empty = personCsv(person({ backup: null, coverage: null, lastSeen: null }))
    .trimEnd()
    .split(",");
  assert.equal(empty.length, columns.length);
});

test("counts stand in columns, and who is no person is counted apart", () => {
  const tally = new PeopleTally(12, null);
  for (let n = 0; n < 11; n++) tally.add(person({ readiness: "ready", atRisk: false }));
  tally.add(person({ readiness: "none" }));
  tally.add(person({ kind: "guest", atRisk: false }));
  assert.deepEqual(countLines(tally, LOOK), [
    "  11 ready    a backup that a new device can open",
    "   0 partial  a backup without all keys, or that no new device opens (locked)",
    "   1 none     no backup",
    "   0 off      told their app to keep none",
    "   0 -        in no encrypted room, or no key that could be lost",
    "",
    "apart from these people: 1 guest, 12 deactivated accounts",
  ]);
});
