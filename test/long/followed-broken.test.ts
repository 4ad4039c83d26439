import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import { synlift, synliftWell } from "../support/synlift.ts";
import { type FollowedMove, makeFollowedMove } from "../support/standby.ts";

// Somebody writes to the copy once it was promoted. Nothing of it can be undone: each step is one change more.

let move: FollowedMove;
before(async () => {
  move = await makeFollowedMove();
  await synliftWell([...move.pull, "--yes"]);
  await synliftWell([...move.openArgs, "--dry-run"]);
});
after(() => move.close());

for (const [what, sql, table] of [
  ["a row that was changed", "update profiles set displayname = 'another'", "public.profiles"],
  [
    "a row that was deleted",
    "delete from event_json where event_id = (select min(event_id) from event_json)",
    "public.event_json",
  ],
] as const)
  test(`${what} stops open, and the cut-over when it is run again`, async () => {
    move.standby.sql("old", sql);
    const opened = await synlift([...move.openArgs, "--dry-run"]);
    assert.equal(opened.code, EXIT_CODES["gate-failed"], opened.stderr);
    assert.match(opened.stdout, /were written to since the comparison with the old host/);
    assert.ok(opened.stdout.includes(table));
    const again = await synlift([...move.pull, "--yes"]);
    assert.equal(again.code, EXIT_CODES["comparison-failed"], again.stderr);
    assert.match(again.stderr, /something wrote to the new database after it was promoted/);
    assert.ok(again.stderr.includes(table));
  });
