import { test } from "node:test";
import { MigrationError } from "../../../src/errors.ts";
import { describeRollback, rollbackDetails } from "../../../src/move/rollback/result-text.ts";
import type { FinishedRollback, RollbackResult } from "../../../src/move/rollback/run.ts";
import { matchesGolden } from "../../report/golden.ts";
import { outcomeText } from "../../support/outcome-text.ts";

const UNDONE: FinishedRollback = {
  kind: "undone",
  subject: "old.example",
  folder: "/srv/move",
  findings: [],
  changes: ["systemctl unmask matrix-synapse.service", "systemctl start matrix-synapse.service"],
  leftToDo: [],
  readOnly: false,
  started: true,
  failure: undefined,
  followFailure: undefined,
  sentDirectly: false,
  databaseFollows: false,
  copy: "none",
  changed: true,
  startedEarlier: undefined,
  alive: true,
  outageSeconds: 754,
};

const LEFT = "systemctl unmask matrix-synapse.service: it failed";

const OUTCOMES: Readonly<Record<string, RollbackResult>> = {
  "dry-run": {
    kind: "dry-run",
    subject: "old.example",
    folder: "/srv/move",
    findings: [],
    changes: UNDONE.changes,
  },
  "serves-again": UNDONE,
  unfollowed: {
    kind: "unfollowed",
    subject: "old.example",
    folder: "/srv/move",
    findings: [],
    changes: ["the role synlift_follow is dropped"],
    leftToDo: [],
    followFailure: undefined,
  },
  "not-unfollowed": {
    kind: "unfollowed",
    subject: "old.example",
    folder: "/srv/move",
    findings: [],
    changes: ["the role synlift_follow is dropped"],
    leftToDo: ["the role synlift_follow is dropped: something in PostgreSQL belongs to the role"],
    followFailure: new MigrationError("fence-failed", "something is left"),
  },
  "sent-directly": { ...UNDONE, sentDirectly: true, outageSeconds: undefined },
  "copy-ended": { ...UNDONE, copy: "ended" },
  "sent-copy-ended": { ...UNDONE, sentDirectly: true, copy: "ended" },
  "followed-ended": { ...UNDONE, sentDirectly: true, databaseFollows: true, copy: "ended" },
  "followed-kept": { ...UNDONE, sentDirectly: true, databaseFollows: true, copy: "prepared" },
  "nothing-left": {
    kind: "unfollowed",
    subject: "old.example",
    folder: "/srv/move",
    findings: [],
    changes: [],
    leftToDo: [],
    followFailure: undefined,
  },
  "read-only": { ...UNDONE, readOnly: true, started: false, alive: false, leftToDo: [LEFT] },
  "does-not-answer": {
    ...UNDONE,
    started: false,
    alive: false,
    outageSeconds: undefined,
    failure: new MigrationError("start-failed", "it did not answer"),
  },
  "started-earlier": {
    ...UNDONE,
    started: false,
    changes: [],
    startedEarlier: "2026-11-02T03:00:00.000Z",
    outageSeconds: undefined,
  },
  "to-be-started": { ...UNDONE, started: false, alive: false, changed: false, outageSeconds: undefined },
};

for (const [name, result] of Object.entries(OUTCOMES))
  test(`a rollback that ends as "${name}" reads as it should`, () => {
    const { findings } = result;
    matchesGolden(
      `rollback-${name}.txt`,
      outcomeText({ findings, details: rollbackDetails(result), lines: describeRollback(result) }),
    );
  });
