import assert from "node:assert/strict";
import { test } from "node:test";
import { confirmStop } from "../../../src/move/export/consent.ts";
import type { StopPlan } from "../../../src/move/export/stop-plan.ts";
import { describePrediction, predictionOf } from "../../../src/move/outage/prediction.ts";

const plan = { alive: true, lines: ["the server is stopped", "its unit is masked"] } as unknown as StopPlan;
const words = describePrediction(
  predictionOf("rehearsal", Date.UTC(2026, 10, 20), [
    { id: "stop", seconds: 10 },
    { id: "database", seconds: 50 },
    { id: "transfer", seconds: 120 },
  ]),
);

/** A terminal with somebody who answers, and what they were asked. */
function somebody(answer: boolean) {
  const asked: string[] = [];
  const terminal = {
    interactive: true,
    confirm: (question: string) => {
      asked.push(question);
      return Promise.resolve(answer);
    },
  } as Parameters<typeof confirmStop>[3]["terminal"];
  const notes: string[] = [];
  return { asked, terminal, notes, progress: { note: (sentence: string) => notes.push(sentence) } };
}

test("the one question before the stop holds all that is about to happen, and how long it will be", async () => {
  const { asked, terminal, progress } = somebody(true);
  await confirmStop(plan, { yes: false }, words, { terminal }, progress);
  assert.equal(asked.length, 1);
  for (const line of [...plan.lines, "about 3 min 00 s", "1 min 00 s of it", "the rehearsal of 2026-11-20"])
    assert.ok(asked[0]!.includes(line), line);
});

test("a no changes nothing, and says so", async () => {
  const { terminal, progress } = somebody(false);
  await assert.rejects(confirmStop(plan, { yes: false }, words, { terminal }, progress), {
    code: "homeserver-running",
    message: /not stopped/,
  });
});

test("a yes given beforehand is not asked for again, and what is done is told all the same", async () => {
  const { asked, notes, terminal, progress } = somebody(false);
  await confirmStop(plan, { yes: true }, words, { terminal }, progress);
  assert.deepEqual(asked, []);
  assert.equal(notes.length, 3);
});

test("a server that is down already costs nobody anything more, so nobody is asked", async () => {
  const { asked, terminal, progress } = somebody(false);
  await confirmStop({ ...plan, alive: false }, { yes: false }, undefined, { terminal }, progress);
  assert.deepEqual(asked, []);
});
