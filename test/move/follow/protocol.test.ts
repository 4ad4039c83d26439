import assert from "node:assert/strict";
import { test } from "node:test";
import {
  FOLLOW_PROTOCOL_VERSION,
  parseFollowAnswer,
  parseFollowRequest,
} from "../../../src/move/follow/protocol.ts";

test("a request and an answer are read as they were sent", () => {
  const undo = { type: "undo" };
  const hello = { type: "hello", version: FOLLOW_PROTOCOL_VERSION, program: "synlift" };
  assert.deepEqual([parseFollowRequest(undo), parseFollowAnswer(hello)], [undo, hello]);
});

test("anything else ends the connection with who sent it", () => {
  for (const message of [null, "undo", { type: "drop" }, { type: "prepare", id: "'; DROP TABLE users" }])
    assert.throws(() => parseFollowRequest(message), { code: "connection-failed", message: /the new host/ });
  assert.throws(() => parseFollowAnswer({ type: "undone" }), {
    code: "connection-failed",
    message: /the old host/,
  });
});
