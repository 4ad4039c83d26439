import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceFacts, TargetFacts } from "../../../../src/homeserver/database/follow/facts.ts";
import { roadFindings, standbyFindings } from "../../../../src/homeserver/database/follow/findings.ts";
import { judgeRoads } from "../../../../src/homeserver/database/follow/roads.ts";
import { matchesGolden } from "../../../report/golden.ts";

const GIB = 1024 ** 3;
const setting = (value: string, source = "default") => ({ value, source });
const scram = (databases: string) => ({
  line: 7,
  type: "host",
  databases: [databases],
  users: ["all"],
  address: "127.0.0.1",
  netmask: "255.255.255.255",
  method: "scram-sha-256",
});

/** A Debian host as it is installed, with 100 GiB free. */
const SOURCE: SourceFacts = {
  version: 150018,
  versionText: "15.18 (Debian 15.18-1)",
  architecture: "x86_64",
  systemIdentifier: "7000000000000000001",
  recovering: false,
  administrator: { name: "postgres", isSuperuser: true },
  settings: {
    wal_level: setting("replica"),
    max_wal_senders: setting("10"),
    max_replication_slots: setting("10"),
    max_slot_wal_keep_size: setting("-1"),
    wal_segment_size: setting("16777216"),
    synchronous_standby_names: setting(""),
  },
  autoConf: {},
  slots: [],
  walSenders: 0,
  disk: { free: 100 * GIB, folder: "/var/lib/postgresql/15/main/pg_wal" },
  databases: [
    { name: "synapse", bytes: 300 * GIB, collate: "C", ctype: "C", provider: "c", collationVersion: null },
  ],
  tablespaces: [],
  database: "synapse",
  stateDatabase: null,
  masDatabase: null,
  elsewhere: [],
  schemaVersion: 94,
  backgroundUpdates: 0,
  hbaFile: "/etc/postgresql/15/main/pg_hba.conf",
  access: [
    {
      place: { host: "127.0.0.1", port: 5432 },
      client: "127.0.0.1",
      replication: scram("replication"),
      databases: scram("all"),
    },
  ],
  role: null,
};
const TARGET: TargetFacts = {
  architecture: "x86_64",
  serverMajors: [15],
  server: { version: 160004, isSuperuser: true },
};

const withSettings = (
  more: Readonly<Record<string, string>>,
  source = "configuration file",
): SourceFacts => ({
  ...SOURCE,
  settings: {
    ...SOURCE.settings,
    ...Object.fromEntries(Object.entries(more).map(([name, value]) => [name, setting(value, source)])),
  },
});
const reasons = (source: SourceFacts, target: TargetFacts | undefined = TARGET) => {
  const { standby, logical } = judgeRoads(source, target);
  return { standby: standby.reasons.join("; "), logical: logical.reasons.join("; ") };
};

test("as installed, both roads fit, and a copy may keep back half of what is free", () => {
  const { standby, logical } = judgeRoads(SOURCE, TARGET);
  assert.deepEqual([standby.reasons, logical.reasons], [[], []]);
  assert.equal(standby.keeps, 50 * GIB);
  assert.deepEqual(standby.settings, [
    { kind: "setting", name: "max_slot_wal_keep_size", before: null, after: "51200", needsRestart: false },
  ]);
  // The limit comes first, before anything that could need it.
  assert.deepEqual(
    logical.settings.map(({ name }) => name),
    ["max_slot_wal_keep_size", "wal_level"],
  );
  assert.deepEqual([standby.needsRestart, logical.needsRestart], [false, true]);
});

test("a limit of the administrator's that is lower stays, a higher one is lowered and remembered", () => {
  const lower = judgeRoads(withSettings({ max_slot_wal_keep_size: "10240" }), TARGET).standby;
  assert.deepEqual([lower.settings, lower.keeps], [[], 10 * GIB]);
  const higher = judgeRoads(
    { ...withSettings({ max_slot_wal_keep_size: "1048576" }), autoConf: { max_slot_wal_keep_size: "1TB" } },
    TARGET,
  ).standby;
  assert.equal(higher.settings[0]!.before, "1TB");
  assert.equal(higher.keeps, 50 * GIB);
  assert.match(reasons(withSettings({ max_slot_wal_keep_size: "0" })).standby, /lost in a busy hour/);
});

test("where the disk is not seen, only a limit of the administrator's own is taken", () => {
  assert.match(reasons({ ...SOURCE, disk: null }).standby, /set max_slot_wal_keep_size yourself/);
  const limited = { ...withSettings({ max_slot_wal_keep_size: "4096" }), disk: null };
  assert.equal(reasons(limited).standby, "");
  assert.equal(judgeRoads(limited, TARGET).standby.keeps, 4 * GIB);
});

test("a disk that is nearly full, or a slot that the limit would drop, is a reason against", () => {
  const full = { ...SOURCE, disk: { free: GIB / 2, folder: "/wal" } };
  assert.match(reasons(full).standby, /\/wal has only 512 MiB free: a copy may keep back half of that/);
  const slots = [{ name: "backup", active: false, retained: 40 * GIB }];
  assert.match(reasons({ ...SOURCE, slots }).standby, /replication slot backup already keeps/);
  assert.equal(reasons({ ...withSettings({ max_slot_wal_keep_size: "20480" }), slots }).standby, "");
});

test("PostgreSQL 12 keeps a part of its log instead of a slot that nothing limits; before, none of both fits", () => {
  const old = { ...withSettings({ wal_keep_segments: "0" }), version: 120020 };
  const twelve = judgeRoads(old, { ...TARGET, serverMajors: [12] });
  assert.deepEqual(twelve.standby.reasons, []);
  assert.equal(twelve.standby.hasSlot, false);
  assert.deepEqual(
    twelve.standby.settings.map(({ name, after }) => `${name} ${after}`),
    ["wal_keep_segments 1600"],
  );
  assert.match(twelve.logical.reasons.join(), /cannot limit what a replication slot keeps/);
  const ten = reasons({ ...old, version: 100023 });
  assert.match(ten.standby, /PostgreSQL 10 is too old/);
  assert.match(ten.logical, /PostgreSQL 10 cannot limit/);
});

test("what the new host lacks is said for each road", () => {
  const other = reasons(SOURCE, {
    architecture: "aarch64",
    serverMajors: [16],
    server: { version: 140001, isSuperuser: false },
  });
  assert.match(other.standby, /x86_64 and the new one aarch64.*no server of PostgreSQL 15.*postgresql-15/);
  assert.match(
    other.logical,
    /has PostgreSQL 14: for tables without a key.*older than the old host's 15.*no superuser/,
  );
  assert.match(reasons(SOURCE, { ...TARGET, server: null }).logical, /--database/);
  assert.deepEqual(reasons(SOURCE, undefined), { standby: "", logical: "" });
});

test("nothing may slow the old server or keep it from starting: settings that would are reasons against both", () => {
  const cases: readonly (readonly [SourceFacts, RegExp])[] = [
    [withSettings({ synchronous_standby_names: "ANY 1 (*)" }), /every commit could wait/],
    [withSettings({ max_wal_senders: "1" }), /max_wal_senders leaves 1 of 2/],
    [withSettings({ max_replication_slots: "0" }), /max_replication_slots leaves none/],
    [withSettings({ allow_alter_system: "off" }), /allow_alter_system is off/],
    [withSettings({ max_slot_wal_keep_size: "-1" }, "command line"), /on its command line/],
    [{ ...SOURCE, elsewhere: ["the database of the state groups"] }, /state groups is in another PostgreSQL/],
    [{ ...SOURCE, recovering: true }, /itself a standby/],
    [{ ...SOURCE, role: { comment: null } }, /that synlift did not make/],
    [{ ...SOURCE, administrator: { name: "plain", isSuperuser: false } }, /plain is no superuser/],
    [{ ...SOURCE, access: [] }, /no address of PostgreSQL is known/],
  ];
  for (const [source, said] of cases) {
    const { standby, logical } = reasons(source);
    assert.match(standby, said);
    assert.match(logical, said);
  }
});

test("a wal_level that ends with the next start is written for it: with a logical slot PostgreSQL would not start otherwise", () => {
  const undone = {
    ...withSettings({ wal_level: "logical" }),
    nextStart: {
      walLevel: "replica",
      pending: ["wal_level"],
      unreadable: [],
      unit: "postgresql@15-main.service",
    },
  };
  const { standby, logical } = judgeRoads(undone, TARGET);
  assert.deepEqual(logical.settings.at(-1), {
    ...{ kind: "setting", name: "wal_level", before: null, after: "logical", needsRestart: false },
  });
  assert.equal(logical.needsRestart, false);
  assert.ok(
    logical.changes.includes("wal_level = logical, which it runs with already, also for its next start"),
  );
  assert.deepEqual(
    standby.settings.map(({ name }) => name),
    ["max_slot_wal_keep_size"],
  );
  const stays = { ...undone, nextStart: { ...undone.nextStart, walLevel: "logical" } };
  assert.deepEqual(
    judgeRoads(stays, TARGET).logical.settings.map(({ name }) => name),
    ["max_slot_wal_keep_size"],
  );
});

test("before a restart it is said which unit, what else takes effect with it, and what would keep PostgreSQL down", () => {
  const nextStart = {
    walLevel: "replica",
    pending: ["shared_buffers"],
    unreadable: [],
    unit: "postgresql@15-main.service",
  };
  const changesOf = (more: object) =>
    judgeRoads({ ...SOURCE, nextStart: { ...nextStart, ...more } }, TARGET).logical.changes.join("\n");
  assert.match(
    changesOf({}),
    /systemctl restart postgresql@15-main\.service; seconds.*take effect, too: shared_buffers\)/,
  );
  assert.match(changesOf({ unit: null, pending: ["wal_level"] }), /by you, as no systemd unit.*reconnects\)/);
  const broken = { ...SOURCE, nextStart: { ...nextStart, unreadable: ["/etc/x.conf:3"] } };
  const said = reasons(broken);
  assert.match(said.logical, /would not start again: it cannot read its configuration, \/etc\/x\.conf:3/);
  assert.equal(said.standby, "");
  // Without a restart nothing hangs on it.
  const running = { ...withSettings({ wal_level: "logical" }), nextStart: broken.nextStart };
  assert.equal(reasons({ ...running, nextStart: { ...broken.nextStart, walLevel: "logical" } }).logical, "");
});

test("what keeps one road closed leaves the other open", () => {
  const spaces = { ...SOURCE, tablespaces: [{ name: "fast", folder: "/ssd" }] };
  assert.match(reasons(spaces).standby, /fast in \/ssd/);
  assert.equal(reasons(spaces).logical, "");
  const state = { ...SOURCE, stateDatabase: "state", backgroundUpdates: 2 };
  assert.equal(reasons(state).standby, "");
  assert.match(reasons(state).logical, /a database of their own.*2 background updates/);
  const peer = { ...scram("replication"), method: "peer" };
  const access = [{ ...SOURCE.access[0]!, replication: peer }];
  assert.match(
    reasons({ ...SOURCE, access }).standby,
    /line 7: host replication all 127\.0\.0\.1 255\.255\.255\.255 peer decides: add above it "host replication synlift_follow 127\.0\.0\.1\/32 scram-sha-256"/,
  );
  assert.equal(reasons({ ...SOURCE, access }).logical, "");
});

test("what plan says reads as it should", () => {
  const crowded: SourceFacts = {
    ...SOURCE,
    databases: [
      ...SOURCE.databases,
      {
        name: "nextcloud",
        bytes: 4 * GIB,
        collate: "de_DE.UTF-8",
        ctype: "de_DE.UTF-8",
        provider: "c",
        collationVersion: "2.36",
      },
    ],
    backgroundUpdates: 1,
  };
  const outage = "the outage would be about 35 s, and not grow with the database; without, about 3 h 10 min";
  const findings = [
    ...roadFindings(crowded, judgeRoads(crowded, undefined), outage),
    ...standbyFindings(crowded),
  ];
  const twelve = { ...withSettings({ wal_keep_segments: "0" }), version: 120020 };
  findings.push(...roadFindings(twelve, judgeRoads(twelve, undefined)));
  const text = findings.flatMap(({ id, level, sentence, evidence = [], hint }) => [
    `${level} ${id}: ${sentence}`,
    ...evidence.map((line) => `    ${line}`),
    ...(hint === undefined ? [] : [`  > ${hint}`]),
  ]);
  matchesGolden("follow-roads.txt", `${text.join("\n")}\n`);
});
