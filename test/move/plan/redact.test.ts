import assert from "node:assert/strict";
import { test } from "node:test";
import { planRedactor } from "../../../src/move/plan/redact.ts";

test("the id of a room is left out of a plan that is handed on, whether it has a server's name or not", () => {
  const evidence = ["it is the picture of !AbCdEfGhIjKlMnOp:example.org", "and !9_-hashOfAnEventThatMadeIt"];
  const findings = [{ id: "media-missing", level: "warning" as const, sentence: "a file", evidence }];
  const redactor = planRedactor({ homeserver: undefined, looked: undefined, findings, hosts: [] });
  const told = JSON.stringify(redactor.value({ evidence }));
  assert.doesNotMatch(told, /AbCdEf|hashOfAn/);
  assert.match(told, /room-\d/);
});
