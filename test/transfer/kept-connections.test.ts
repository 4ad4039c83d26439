import assert from "node:assert/strict";
import { test } from "node:test";
import { MigrationError } from "../../src/errors.ts";
import { keepConnections } from "../../src/transfer/kept-connections.ts";
import type { Destination, Remote } from "../../src/transfer/remote.ts";

const NEVER = new AbortController().signal;

/** Counts connections, and how many of them were closed. */
function counting(have: () => Promise<ReadonlyMap<string, number>>) {
  const count = { opened: 0, closed: 0 };
  const destination: Destination = {
    address: "there",
    open: () => {
      count.opened += 1;
      const remote: Partial<Remote> = {
        have,
        close: () => {
          count.closed += 1;
          return Promise.resolve();
        },
      };
      return Promise.resolve(remote as Remote);
    },
  };
  return { count, kept: keepConnections(destination) };
}

test("a connection is used again after calls that succeeded, and ends with the run", async () => {
  const { count, kept } = counting(() => Promise.resolve(new Map()));
  for (let turn = 0; turn < 3; turn += 1) {
    const remote = await kept.open(NEVER, { create: true });
    await remote.have(NEVER);
    await remote.close();
    await remote.close();
  }
  assert.deepEqual(count, { opened: 1, closed: 0 });
  const two = [await kept.open(NEVER, { create: true }), await kept.open(NEVER, { create: true })];
  assert.deepEqual(count, { opened: 2, closed: 0 }, "two at a time are two connections");
  for (const one of two) await one.close();
  const late = await kept.open(NEVER, { create: true });
  await kept.close();
  assert.deepEqual(count, { opened: 2, closed: 1 });
  await late.close();
  assert.deepEqual(count, { opened: 2, closed: 2 }, "one that was in use ends when it is closed");
});

test("a connection on which a call failed, or is running, is not used again", async () => {
  const failing = counting(() => Promise.reject(new MigrationError("transfer-failed", "cut")));
  const remote = await failing.kept.open(NEVER, { create: true });
  await assert.rejects(remote.have(NEVER), { code: "transfer-failed" });
  await remote.close();
  assert.deepEqual(failing.count, { opened: 1, closed: 1 });

  const hanging = counting(() => new Promise(() => undefined));
  const other = await hanging.kept.open(NEVER, { create: true });
  void other.have(NEVER);
  await other.close();
  assert.deepEqual(hanging.count, { opened: 1, closed: 1 });
});
