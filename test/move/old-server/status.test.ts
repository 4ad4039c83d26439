import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LOCK, MANIFEST } from "../../../src/bundle/layout.ts";
import { Journal } from "../../../src/journal/journal.ts";
import { acquireLock } from "../../../src/journal/lock.ts";
import { HANDED_OVER, SENT_DIRECTLY } from "../../../src/move/old-server/journal-facts.ts";
import { describeStatus, statusDetails, statusFindings } from "../../../src/move/old-server/status-text.ts";
import { type MoveStatus, readMoveStatus } from "../../../src/move/old-server/status.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import type { System } from "../../../src/system/system.ts";
import { matchesGolden } from "../../report/golden.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { outcomeText } from "../../support/outcome-text.ts";

const STATUS: MoveStatus = {
  folder: "/srv/move",
  subject: "old.example",
  purpose: "move",
  state: { kind: "interrupted" },
  sealed: false,
  sentDirectly: false,
  handedOver: undefined,
  outageSince: "2026-11-02T02:00:00.000Z",
  fenced: true,
  steps: [
    {
      id: "export/database",
      outcome: { name: "customer_db_export.sql.gz.gpg", size: 5 * 1024 ** 2 },
      at: "2026-11-02T02:03:00.000Z",
    },
    { id: "stop", outcome: {}, at: "2026-11-02T02:01:00.000Z" },
  ],
  journalFindings: [],
  fenceFindings: [{ id: "fence", level: "ok", sentence: "old.example is fenced on this host" }],
  followFindings: [],
};

const HOLDER = { pid: 7, host: "old-host", since: "2026-11-02T01:59:00.000Z", start: "1" };
const AT = "2026-11-02T02:30:00.000Z";

const OUTCOMES: Readonly<Record<string, Partial<MoveStatus>>> = {
  running: {
    state: {
      kind: "running",
      holder: HOLDER,
      progress: { label: "media", unit: "bytes", done: 1024 ** 3, total: 4 * 1024 ** 3, at: AT },
    },
  },
  sealed: { state: { kind: "sealed" }, sealed: true },
  "handed-over": { state: { kind: "handed-over", at: AT }, sentDirectly: true, handedOver: AT },
  "rolled-back": { state: { kind: "rolled-back", at: AT }, fenced: false, outageSince: undefined },
  interrupted: { purpose: "rehearsal", fenced: false, fenceFindings: [], outageSince: undefined },
  "interrupted-direct": { sentDirectly: true },
  following: {
    state: { kind: "following" },
    fenced: false,
    steps: [],
    fenceFindings: [],
    outageSince: undefined,
    followFindings: [
      {
        id: "follow-recorded",
        level: "note",
        sentence: "the database of old.example is prepared for a copy that follows",
        evidence: ["to be undone: the role synlift_follow is dropped"],
      },
    ],
  },
};

for (const [name, more] of Object.entries(OUTCOMES))
  test(`the status of a move that is ${name} reads as it should`, () => {
    const status = { ...STATUS, ...more };
    matchesGolden(
      `status-${name}.txt`,
      outcomeText({
        findings: statusFindings(status),
        details: statusDetails(status),
        lines: describeStatus(status),
      }),
    );
  });

test("the state of a move follows from what is in its folder, and reading it changes nothing", async () => {
  const folder = temporaryFolder("status");
  const machine = machineWith();
  const system = { files, machine } as unknown as System;
  await assert.rejects(readMoveStatus(folder, system), { code: "bundle-incomplete" });

  const journal = await Journal.open(join(folder, "journal.json"), files);
  await journal.setFact("subject", "old.example");
  const kind = async () => (await readMoveStatus(folder, system)).state.kind;
  assert.equal(await kind(), "interrupted");

  await journal.setFact(SENT_DIRECTLY, "to another host");
  await journal.setFact(HANDED_OVER, AT);
  const sent = await readMoveStatus(folder, system);
  assert.deepEqual([sent.state, sent.sentDirectly], [{ kind: "handed-over", at: AT }, true]);

  writeFileSync(join(folder, MANIFEST), "{}");
  assert.equal(await kind(), "sealed");
  const held = await acquireLock(join(folder, LOCK), files, machine);
  const running = await readMoveStatus(folder, system);
  assert.deepEqual([running.state.kind, running.sealed], ["running", true]);
  await held.release();
  assert.equal(await kind(), "sealed");
});
