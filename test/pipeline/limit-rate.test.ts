import assert from "node:assert/strict";
import { test } from "node:test";
import { limitRate } from "../../src/pipeline/limit-rate.ts";
import { inTurn } from "../../src/pipeline/in-turn.ts";
import { machineWith } from "../support/fake-machine.ts";

/** A clock that only waits move. */
function clock() {
  const waits: number[] = [];
  let at = 0;
  const machine = machineWith({
    elapsed: () => at,
    wait: (milliseconds) => {
      waits.push(milliseconds);
      at += milliseconds;
      return Promise.resolve();
    },
  });
  return { machine, waits, pass: (milliseconds: number) => (at += milliseconds) };
}

const never = new AbortController().signal;

test("a stream takes as long as its bytes at that rate, and comes unchanged", async () => {
  const { machine, waits } = clock();
  const chunks = [100, 300, 0, 50].map((size) => new Uint8Array(size).fill(size));
  const came: Uint8Array[] = [];
  for await (const chunk of limitRate(inTurn(chunks), 100, machine, never)) came.push(chunk);
  assert.deepEqual(came, chunks);
  assert.equal(
    waits.reduce((sum, one) => sum + one, 0),
    4_500,
  );
});

test("time in which nothing came is not made up for by a rush", async () => {
  const { machine, waits, pass } = clock();
  const source = async function* () {
    yield await Promise.resolve(new Uint8Array(100));
    pass(60_000);
    yield new Uint8Array(100);
    yield new Uint8Array(100);
  };
  for await (const _ of limitRate(source(), 100, machine, never));
  assert.deepEqual(waits, [1000, 1000, 1000]);
});

test("asked to stop, it does not wait on", async () => {
  const stopped = new AbortController();
  const reading = (async () => {
    for await (const _ of limitRate(inTurn([new Uint8Array(100)]), 0.001, machineWith(), stopped.signal));
  })();
  stopped.abort(new Error("asked to stop"));
  await assert.rejects(reading, /asked to stop/);
});
