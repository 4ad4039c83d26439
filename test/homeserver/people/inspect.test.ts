import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { inspectPeople, type PeopleInspectOptions } from "../../../src/homeserver/people/inspect.ts";
import type { Person } from "../../../src/homeserver/people/person.ts";
import { peopleSummary } from "../../../src/homeserver/people/summary.ts";
import type { PeopleCounts } from "../../../src/homeserver/people/tally.ts";
import type { QuerySession } from "../../../src/system/query.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { LATER, sameInBoth, Town } from "../../support/people-database.ts";

const NOW = Date.parse("2026-11-25T12:00:00Z");
const DAY = 24 * 3600_000;

let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start();
});

after(() => cluster.stop());

/** Does something with each of the two databases, one after the other. */
async function inBoth(statements: string, act: (session: QuerySession) => Promise<void>): Promise<void> {
  const sessions = await sameInBoth(cluster, "people", statements);
  try {
    for (const session of sessions) await act(session);
  } finally {
    for (const session of sessions) await session.close();
  }
}

interface Seen {
  readonly people: Readonly<Record<string, Person>>;
  readonly counts: PeopleCounts;
}

/** What is seen in both databases, which must be the same. */
async function look(town: Town, question: Partial<PeopleInspectOptions> = {}, later = LATER): Promise<Seen> {
  const seen: Seen[] = [];
  await inBoth(later + town.sql, async (session) => {
    const asked = { serverName: "example.org", now: NOW, coverageDays: 90, ...question };
    const { people, tally } = await inspectPeople(asked, session);
    const all: Record<string, Person> = {};
    for await (const person of people) all[person.userId.replace(/^@(.*):example.org$/, "$1")] = person;
    seen.push({ people: all, counts: { ...tally.counts } });
  });
  assert.deepEqual(seen[0], seen[1], "SQLite and PostgreSQL tell the same");
  return seen[0]!;
}

/** Alice and somebody who talks, in one encrypted room; alice has a device and a backup. */
function room(joined = true): Town {
  const town = new Town();
  town.time = NOW - 10 * DAY;
  town.user("alice").device("alice", "PHONE").backup("alice", 1).encryptedRoom("!r");
  return joined ? town.moves("alice", "!r", "join", { current: true }) : town;
}

const coverageOf = ({ people }: Seen) => {
  const { sessions, saved } = people["alice"]!.coverage!;
  return [sessions, saved];
};

describe("a backup is measured by", () => {
  test("the sessions that were spoken while its owner was in the room", async () => {
    const town = room(false);
    town
      .says("!r", "before")
      .moves("alice", "!r", "join")
      .says("!r", "one")
      .says("!r", "one")
      .says("!r", "two")
      // A new display name is a join, too.
      .moves("alice", "!r", "join")
      .says("!r", "two")
      .moves("alice", "!r", "leave")
      .says("!r", "while away")
      .moves("alice", "!r", "join", { current: true })
      .says("!r", "three");
    for (const session of ["one", "three", "before", "while away", "of a time before"])
      town.key("alice", "!r", session);
    assert.deepEqual(coverageOf(await look(town)), [3, 2]);
  });

  test("a session that began before they came, once they hear a message of it", async () => {
    const town = room(false)
      .says("!r", "long")
      .moves("alice", "!r", "join", { current: true })
      .says("!r", "long");
    assert.deepEqual(coverageOf(await look(town)), [1, 0]);
  });

  test("keys of its own version and its own room alone", async () => {
    const town = room().says("!r", "one").says("!r", "two").says("!r", "three");
    town.backup("alice", 2, { opens: false }).backup("alice", 3, { opens: false, deleted: 1 });
    town.key("alice", "!r", "one", 1).key("alice", "!r", "two", 2).key("alice", "!other", "three", 2);
    const seen = await look(town);
    assert.deepEqual(coverageOf(seen), [3, 1]);
    assert.equal(seen.people["alice"]!.backup!.version, 2);
    assert.equal(seen.people["alice"]!.backup!.keys, 2);
  });

  test("what was said in the days that are asked for", async () => {
    const town = room();
    town.time = NOW - 8 * DAY;
    town.says("!r", "last week");
    town.time = NOW - 3600_000;
    town.says("!r", "today");
    assert.deepEqual(coverageOf(await look(town, { coverageDays: 7 })), [1, 0]);
    assert.deepEqual(coverageOf(await look(town, { coverageDays: 9 })), [2, 0]);
    assert.equal((await look(town, { coverageDays: 0 })).people["alice"]!.coverage, null);
  });

  test("nothing that came as history, or lies beside the room", async () => {
    const town = room().says("!r", "older", { order: -5 }).says("!r", "beside", { outlier: true });
    town.moves("alice", "!r", "leave", { outlier: true }).says("!r", "real");
    assert.deepEqual(coverageOf(await look(town)), [1, 0]);
  });

  test("the rest, where an event is one that no database reads", async () => {
    const hostile = [
      '{"content":{"session_id":"nul","x":"\\u0000"}}',
      '{"content":{"session_id":"half a pair","x":"\\ud800"}}',
      '{"content":{"session_id":"nan","x":NaN}}',
      '{"content":{"session_id":"list","x":[1,-Infinity]}}',
      '{"content":{"session_id":7}}',
      '{"content":[]}',
      '{"content":{"session_id":"cut off',
      "no JSON at all",
      '{"content":{"body":"quoted \\\\"session_id\\\\": \\\\"not one\\\\""}}',
      '{"content":{}}',
    ];
    const town = room();
    for (const json of hostile) town.says("!r", "", { json });
    town.says("!r", "good").key("alice", "!r", "good");
    await inBoth(LATER + town.sql, async (session) => {
      const { people } = await inspectPeople(
        { serverName: "example.org", now: NOW, coverageDays: 90 },
        session,
      );
      for await (const { coverage } of people) assert.equal(coverage!.saved, 1, session.engine);
    });
  });
});

describe("somebody is", () => {
  test("ready, partly ready, without a backup, opted out, or needs none", async () => {
    const town = room();
    for (let n = 0; n < 10; n++) town.says("!r", `s${n}`).key("alice", "!r", `s${n}`);
    for (const name of ["behind", "locked", "none", "off", "elsewhere", "never", "closed", "restorable"]) {
      town.user(name);
      if (!["never", "restorable"].includes(name))
        town.device(name, "PHONE", { encrypts: name !== "closed" });
      if (name !== "elsewhere") town.moves(name, "!r", "join", { current: true });
    }
    town.backup("behind", 1).backup("locked", 1, { opens: false }).backup("restorable", 4);
    for (let n = 0; n < 2; n++) town.says("!r", `later${n}`).key("alice", "!r", `later${n}`);
    town.key("behind", "!r", "later0").key("locked", "!r", "later0").key("locked", "!r", "later1");
    town.key("restorable", "!r", "later0", 4).key("restorable", "!r", "later1", 4);
    town.accountData("off", "m.key_backup", { enabled: false });

    const { people, counts } = await look(town);
    const readiness = Object.fromEntries(Object.entries(people).map(([name, one]) => [name, one.readiness]));
    assert.deepEqual(readiness, {
      alice: "ready",
      behind: "partial",
      closed: "not-needed",
      elsewhere: "not-needed",
      locked: "partial",
      never: "not-needed",
      none: "none",
      off: "opted-out",
      restorable: "ready",
    });
    const { ready, partial, none, optedOut, notNeeded, atRisk, atRiskSingleDevice, backupLocked } = counts;
    assert.deepEqual(
      { ready, partial, none, optedOut, notNeeded, atRisk, atRiskSingleDevice, backupLocked },
      {
        ready: 2,
        partial: 2,
        none: 1,
        optedOut: 1,
        notNeeded: 3,
        atRisk: 4,
        atRiskSingleDevice: 4,
        backupLocked: 1,
      },
    );
  });

  test("a person, or a guest, a bot, support or bridged; the others are never at risk", async () => {
    const town = new Town().encryptedRoom("!r");
    town.user("person", { admin: 1, user_type: "staff" }).user("support", { user_type: "support" });
    town.user("bot", { user_type: "bot" }).user("7", { is_guest: 1 }).user("ghost", { appservice_id: "irc" });
    town.user("gone", { deactivated: 1 }).user("@stranger:elsewhere.org").user("@almost:notexample.org");
    for (const name of ["person", "support", "bot", "7", "ghost"])
      town.device(name, "D").moves(name, "!r", "join", { current: true });
    const { people, counts } = await look(town);
    assert.deepEqual(
      Object.fromEntries(Object.entries(people).map(([name, { kind, atRisk }]) => [name, [kind, atRisk]])),
      {
        "7": ["guest", false],
        bot: ["bot", false],
        ghost: ["appservice", false],
        person: ["person", true],
        support: ["support", false],
      },
    );
    const { people: persons, admins, support, bots, guests, appservice, deactivated } = counts;
    assert.deepEqual(
      { persons, admins, support, bots, guests, appservice, deactivated },
      { persons: 1, admins: 1, support: 1, bots: 1, guests: 1, appservice: 1, deactivated: 1 },
    );
  });

  test("active when anything tells of them within 30 days", async () => {
    const town = new Town();
    const old = NOW - 31 * DAY;
    town
      .user("device")
      .device("device", "A", { seen: NOW - DAY })
      .device("device", "B", { seen: old });
    town
      .user("address")
      .device("address", "A", { seen: old })
      .add("user_ips", { user_id: "@address:example.org", last_seen: NOW - 2 * DAY });
    town.user("visit").add("user_daily_visits", { user_id: "@visit:example.org", timestamp: NOW - 30 * DAY });
    town.user("asleep").device("asleep", "A", { seen: old }).user("never");
    const { people, counts } = await look(town);
    assert.deepEqual(
      Object.fromEntries(
        Object.entries(people).map(([name, { active, lastSeen }]) => [name, [active, lastSeen]]),
      ),
      {
        address: [true, NOW - 2 * DAY],
        asleep: [false, old],
        device: [true, NOW - DAY],
        never: [false, null],
        visit: [true, NOW - 30 * DAY],
      },
    );
    assert.equal(counts.active, 3);
  });

  test("told by their devices, without cross-signing keys and the dehydrated one among them", async () => {
    const town = room().device("alice", "LAPTOP").device("alice", "OLD", { encrypts: false });
    town.device("alice", "signingkeyasdevice", { hidden: true }).device("alice", "DEHYDRATED");
    town.add("dehydrated_devices", { user_id: "@alice:example.org", device_id: "DEHYDRATED" });
    for (const keytype of ["master", "self_signing", "user_signing"])
      town.add("e2e_cross_signing_keys", { user_id: "@alice:example.org", keytype, stream_id: 1 });
    town
      .user("bob", { locked: true })
      .add("e2e_cross_signing_keys", { user_id: "@bob:example.org", keytype: "master", stream_id: 2 });
    const { people, counts } = await look(town);
    const { devices, encryptingDevices, dehydratedDevice, crossSigning, locked } = people["alice"]!;
    assert.deepEqual(
      { devices, encryptingDevices, dehydratedDevice, crossSigning, locked },
      { devices: 3, encryptingDevices: 2, dehydratedDevice: true, crossSigning: true, locked: false },
    );
    assert.deepEqual([people["bob"]!.locked, people["bob"]!.crossSigning], [true, false]);
    assert.equal(counts.dehydrated, 1);
  });
});

test("an older schema, without locks and dehydrated devices, tells what it can", async () => {
  const { people } = await look(room(), {}, "");
  assert.deepEqual([people["alice"]!.locked, people["alice"]!.dehydratedDevice], [false, false]);
  assert.equal(people["alice"]!.readiness, "ready");
});

test("account data that clients wrote to do harm is read as none", async () => {
  const town = room();
  town.user("mallory").device("mallory", "D").moves("mallory", "!r", "join", { current: true });
  town.backup("mallory", 1, { opens: false });
  for (const [type, text] of Object.entries({
    "m.secret_storage.default_key": '{"key":"__proto__"}',
    "m.secret_storage.key.__proto__": '{"algorithm":"\\u0000\\ud800"}',
    "m.megolm_backup.v1": "not json",
    "m.key_backup": "[]",
    "m.org.matrix.custom.backup_disabled": `{"disabled":"${"x".repeat(20_000)}"}`,
  }))
    town.accountData("mallory", type, text);
  const { people } = await look(town);
  assert.deepEqual([people["mallory"]!.backupUnlocks, people["mallory"]!.optedOut], [false, false]);
});

test("a summary counts without measuring, and says that it did not measure", async () => {
  const town = room().says("!r", "lost").key("alice", "!r", "another").key("alice", "!r", "third");
  town.user("bob").device("bob", "D").moves("bob", "!r", "join", { current: true });
  await inBoth(LATER + town.sql, async (session) => {
    const about = {
      serverName: "example.org",
      now: NOW,
      settings: { matrix_authentication_service: { enabled: true } },
    };
    const { counts, findings } = await peopleSummary(session, about);
    assert.deepEqual([counts.people, counts.ready, counts.none, counts.atRisk], [2, 1, 1, 1]);
    assert.deepEqual(
      findings.map(({ id, level }) => `${id} ${level}`),
      [
        "people ok",
        "people-at-risk warning",
        "people-single-device note",
        "people-without-cross-signing note",
        "people-coverage note",
        "people-mas note",
      ],
    );
    assert.match(findings[1]!.evidence![0]!, /^@bob:example\.org: no key backup, 1 device, never seen$/);
  });
});

test("where everybody is ready nothing is warned of", async () => {
  const town = room().says("!r", "one").key("alice", "!r", "one");
  for (const keytype of ["master", "self_signing", "user_signing"])
    town.add("e2e_cross_signing_keys", { user_id: "@alice:example.org", keytype, stream_id: 1 });
  await inBoth(LATER + town.sql, async (session) => {
    const { findings } = await peopleSummary(session, { serverName: "example.org", now: NOW, settings: {} });
    assert.deepEqual(
      findings.map(({ id, level }) => `${id} ${level}`),
      ["people ok", "people-ready ok", "people-coverage note"],
    );
  });
});
