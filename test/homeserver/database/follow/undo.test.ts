import assert from "node:assert/strict";
import { test } from "node:test";
import type { FollowChange } from "../../../../src/homeserver/database/follow/record.ts";
import { describeFollowUndos } from "../../../../src/homeserver/database/follow/undo.ts";

const times = { intended: "", made: null, undone: null };
const table = (name: string, database = "synapse"): FollowChange => ({
  ...{ kind: "replica-identity", database, schema: "public", table: name, ...times },
  before: { kind: "default", index: null },
});
const role: FollowChange = { kind: "role", name: "synlift_follow", ...times };

test("a hundred tables are one line, a single one is named, and the order stays", () => {
  assert.deepEqual(
    describeFollowUndos([
      role,
      ...Array.from({ length: 100 }, (_, at) => table(`t${at}`)),
      role,
      table("one"),
    ]),
    [
      "the role synlift_follow is dropped",
      "100 tables of the database synapse have their former replica identity",
      "the role synlift_follow is dropped",
      "the table public.one has its former replica identity",
    ],
  );
  assert.deepEqual(describeFollowUndos([table("a"), table("b"), table("c", "other")]), [
    "2 tables of the database synapse have their former replica identity",
    "the table public.c has its former replica identity",
  ]);
  assert.deepEqual(describeFollowUndos([]), []);
});
