import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  FollowRecord,
  type NewFollowChange,
  slotNameOf,
} from "../../../../src/homeserver/database/follow/record.ts";
import { realFiles as files } from "../../../../src/system/files/files.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";

const ID = "0123456789abcdef0123456789abcdef";
const machine = machineWith();
const MADE = {
  id: ID,
  subject: "old.example",
  road: "logical",
  administrator: { parameters: { user: "postgres", dbname: "postgres" } },
} as const;
const LIMIT: NewFollowChange = {
  kind: "setting",
  name: "max_slot_wal_keep_size",
  before: "'1GB'",
  after: "2048",
  needsRestart: false,
};

const open = (folder: string, made: Partial<typeof MADE> | object = {}) =>
  FollowRecord.open(folder, { ...MADE, ...made }, files, machine);

test("a change is on disk before it is made, and says afterwards that it was", async () => {
  const folder = temporaryFolder("follow");
  const record = await open(folder);
  assert.equal(await FollowRecord.read(folder, files, machine), undefined);
  await record.apply(LIMIT, async () => {
    const [change] = (await FollowRecord.read(folder, files, machine))!.activeChanges;
    assert.deepEqual({ ...change, intended: "" }, { ...LIMIT, intended: "", made: null, undone: null });
  });
  const [made] = (await FollowRecord.read(folder, files, machine))!.activeChanges;
  assert.ok(made!.made);
});

test("a change that fails stays recorded as intended, and keeps what was before when it is made again", async () => {
  const folder = temporaryFolder("follow");
  const record = await open(folder);
  await assert.rejects(record.apply(LIMIT, () => Promise.reject(new Error("killed"))));
  const again = await open(folder);
  assert.equal(again.activeChanges[0]!.made, null);
  await again.apply({ ...LIMIT, before: "2048", after: "4096" }, (change) => {
    assert.equal(change.kind === "setting" && `${change.before} ${change.after}`, "'1GB' 2048");
    return Promise.resolve();
  });
  assert.equal(again.activeChanges.length, 1);
});

test("equal names in two databases are two changes", async () => {
  const record = await open(temporaryFolder("follow"));
  const before = { kind: "default", index: null } as const;
  const identity = { kind: "replica-identity", schema: "public", table: "users", before } as const;
  await record.intend({ ...identity, database: "one" });
  await record.intend({ ...identity, database: "two" });
  await record.intend({ ...identity, database: "two", before: { kind: "full", index: null } });
  assert.equal(record.activeChanges.length, 2);
  assert.deepEqual(record.find({ ...identity, database: "two" }), record.activeChanges[1]);
});

test("another follow is refused in the same folder until the first is undone", async () => {
  const folder = temporaryFolder("follow");
  const record = await open(folder);
  const change = await record.intend({ kind: "slot", name: slotNameOf(ID) });
  await assert.rejects(open(folder, { id: ID.replace("0", "f") }), { code: "bundle-mismatch" });
  await assert.rejects(open(folder, { road: "standby" }), { code: "bundle-mismatch" });
  assert.equal(record.undoneAt, undefined);
  await record.undone(change);
  assert.ok(record.undoneAt);
  assert.equal((await open(folder, { road: "standby" })).road, "standby");
});

test("the record of another machine is never acted on", async () => {
  const folder = temporaryFolder("follow");
  await (await open(folder)).intend({ kind: "slot", name: "synlift_0" });
  const other = machineWith({ hostId: "f".repeat(32), hostname: "elsewhere" });
  const record = (await FollowRecord.read(folder, files, other))!;
  assert.throws(
    () => {
      record.assertMadeHere();
    },
    { code: "other-machine" },
  );
  await assert.rejects(FollowRecord.open(folder, MADE, files, other), { code: "other-machine" });
});

test("a damaged record is refused with how to undo by hand, and stays as it is", async () => {
  const folder = temporaryFolder("follow");
  await (await open(folder)).intend({ kind: "slot", name: "synlift_0" });
  const path = join(folder, "follow.json");
  const half = readFileSync(path, "utf8").slice(0, 200);
  writeFileSync(path, half);
  await assert.rejects(FollowRecord.read(folder, files, machine), {
    code: "bundle-damaged",
    hint: /pg_drop_replication_slot/,
  });
  assert.equal(readFileSync(path, "utf8"), half);
});
