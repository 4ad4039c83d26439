import assert from "node:assert/strict";
import { test } from "node:test";
import { TellCopied } from "../../../../src/homeserver/database/follow/base-backup.ts";
import { Recorder } from "../../../support/recorder.ts";

const waiting = { phase: "waiting for checkpoint to finish", total: null, streamed: 0 };

test("what a copy waits for is told once, as long as it takes: a fast checkpoint is not said to take its time", () => {
  for (const [checkpoint, words] of [
    ["fast", /^the old server finishes a checkpoint before the copy begins, as fast as it can$/],
    ["spread", /before the copy begins; it takes its time for that, up to some minutes/],
  ] as const) {
    const said = new Recorder();
    const told = new TellCopied(said, checkpoint);
    told.tell(waiting);
    told.tell(waiting);
    assert.equal(said.notes.length, 1);
    assert.match(said.notes[0]!, words);
    told.tell({ phase: "streaming database files", total: 100, streamed: 60 });
    told.end();
    assert.deepEqual([said.begun, said.ended], [["follow/copy"], ["follow/copy"]]);
    assert.equal(said.notes.length, 1);
  }
});
