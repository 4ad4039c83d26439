import assert from "node:assert/strict";
import { test } from "node:test";
import type { Manifest } from "../../../src/bundle/manifest.ts";
import { Completion } from "../../../src/move/receive/completion.ts";
import type { CompleteRecord } from "../../../src/move/receive/inbox-records.ts";

const bundle = (id: string) => ({ id, subject: "example.org" }) as Manifest;

async function completion() {
  const stored = new Map<"record", CompleteRecord>();
  const records = {
    complete: () => Promise.resolve(stored.get("record")),
    saveComplete: (record: CompleteRecord) => Promise.resolve(void stored.set("record", record)),
    removeComplete: () => Promise.resolve(void stored.delete("record")),
  };
  const opened = new Completion(records, { now: () => Date.UTC(2026, 0, 2) });
  await opened.load();
  return { opened, stored };
}

test("a bundle for which the hook was run is not announced again, also after a start", async () => {
  const { opened, stored } = await completion();
  const expected = { bundle: "a", subject: "example.org", at: "2026-01-02T00:00:00.000Z", told: false };
  assert.deepEqual(await opened.reached(bundle("a")), expected);
  assert.deepEqual(await opened.reached(bundle("a")), expected, "until the hook was run");
  await opened.told("a");
  assert.equal(stored.get("record")?.told, true);
  assert.equal(await opened.reached(bundle("a")), undefined);
});

test("a hook that ends after something was taken away, or for an earlier bundle, says nothing of what is there now", async () => {
  const { opened, stored } = await completion();
  await opened.reached(bundle("a"));
  await opened.lost();
  await opened.told("a");
  assert.equal(stored.get("record"), undefined);
  await opened.reached(bundle("b"));
  await opened.told("a");
  assert.equal(stored.get("record")?.told, false);
  assert.equal((await opened.reached(bundle("b")))?.bundle, "b");
});
