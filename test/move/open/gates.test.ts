import assert from "node:assert/strict";
import { test } from "node:test";
import { acceptFindings, acceptStartChanges, gateFailure } from "../../../src/move/open/gates.ts";
import type { Finding } from "../../../src/report/finding.ts";

const blocker = (id: string): Finding => ({ id, level: "blocker", sentence: `${id} fails` });
const levels = (findings: readonly Finding[]) => findings.map(({ id, level }) => `${id} ${level}`);
const started = (at: string | null) => ({ started: at }) as Parameters<typeof acceptStartChanges>[1];

test("what makes the new server the old one cannot be accepted, whatever else is", () => {
  for (const id of [
    "signing-key",
    "signing-key-published",
    "server-name",
    "row-counts",
    "state-database",
    "mas-secret:secrets.encryption",
    "old-server",
  ])
    assert.throws(() => acceptFindings([], ["config-files", id]), {
      code: "bad-usage",
      message: `--accept ${id}: this gate cannot be accepted`,
    });
});

test("an accepted blocker becomes a note that says so; others, and what was no blocker, stay as they are", () => {
  const found: Finding[] = [
    blocker("config-files"),
    blocker("sequences"),
    { id: "media-store", level: "ok", sentence: "well" },
  ];
  const accepted = acceptFindings(found, ["config-files", "media-store"]);
  assert.deepEqual(levels(accepted), ["config-files note", "sequences blocker", "media-store ok"]);
  assert.equal(accepted[0]!.sentence, "config-files fails (accepted)");
  assert.deepEqual(accepted.slice(1), found.slice(1));
});

test("a server that was started once may have written: only what a start changes becomes a note", () => {
  const changed = ["row-counts", "sequences", "stream-positions", "schema", "one-time-keys", "remote-media"];
  const found = [...changed, "signing-key", "media-files"].map(blocker);
  const at = "2026-01-02T03:04:05.000Z";
  const after = acceptStartChanges(found, started(at));
  assert.deepEqual(levels(after), [
    ...changed.map((id) => `${id} note`),
    "signing-key blocker",
    "media-files blocker",
  ]);
  assert.match(after[0]!.sentence, /^row-counts fails: every gate passed on 2026-01-02T03:04:05\.000Z, and/);
  assert.deepEqual(acceptStartChanges(found, started(null)), found);
  const well: Finding[] = [{ id: "row-counts", level: "ok", sentence: "equal" }];
  assert.deepEqual(acceptStartChanges(well, started(at)), well);
});

test("a failed gate is an error that names all of them; without one there is none", () => {
  assert.equal(gateFailure([{ id: "schema", level: "warning", sentence: "older" }]), undefined);
  const error = gateFailure([
    blocker("schema"),
    { id: "x", level: "ok", sentence: "" },
    blocker("sequences"),
  ]);
  assert.equal(error?.code, "gate-failed");
  assert.equal(error.message, "the new server stays fenced: schema, sequences");
  assert.match(error.hint ?? "", /how to fix each/);
});
