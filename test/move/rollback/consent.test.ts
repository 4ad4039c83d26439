import assert from "node:assert/strict";
import { test } from "node:test";
import { rollbackCommand } from "../../../src/commands/rollback.ts";
import { confirmRollback, type RollbackRequest } from "../../../src/move/rollback/consent.ts";

const going: RollbackRequest = {
  ...{
    subject: "old.example",
    folder: "/srv/move",
    newServer: { state: "unknown", why: [] },
    complete: true,
    machineUnknown: undefined,
  },
  ...{ lines: ["systemctl start synapse"], yes: false, force: false, dryRun: false },
};

/** Somebody who answers, or nobody; and what they were asked. */
function terminalOf(answer: boolean | undefined) {
  const asked: string[] = [];
  const terminal = {
    interactive: answer !== undefined,
    confirm: (question: string) => {
      asked.push(question);
      return Promise.resolve(answer === true);
    },
  } as Parameters<typeof confirmRollback>[1]["terminal"];
  return { asked, terminal };
}

const levels = (findings: readonly { id: string; level: string }[]) =>
  findings.map(({ id, level }) => `${id} ${level}`);

test("once everything is packed a person is asked, with what would be done and why it is asked", async () => {
  const { asked, terminal } = terminalOf(true);
  assert.deepEqual(levels(await confirmRollback(going, { terminal })), ["new-server-unknown warning"]);
  assert.equal(asked.length, 1);
  for (const part of ["old.example", "/srv/move", "may already be open", "systemctl start synapse"])
    assert.ok(asked[0]!.includes(part), part);
});

test("a no, and nobody to ask, are each a refusal that says what to do", async () => {
  await assert.rejects(confirmRollback(going, terminalOf(false)), {
    code: "already-opened",
    message: /you answered no/,
  });
  await assert.rejects(confirmRollback(going, terminalOf(undefined)), {
    code: "bad-usage",
    hint: /--target.*--yes/,
  });
});

test("nobody is asked when the answer was given, when it is only looked, and while nothing has left the host", async () => {
  for (const given of [{ yes: true }, { force: true }, { dryRun: true }])
    assert.deepEqual(levels(await confirmRollback({ ...going, ...given }, terminalOf(undefined))), [
      "new-server-unknown warning",
    ]);
  assert.deepEqual(await confirmRollback({ ...going, complete: false }, terminalOf(undefined)), []);
  assert.deepEqual(
    await confirmRollback({ ...going, newServer: { state: "closed" } }, terminalOf(undefined)),
    [],
  );
});

test("an address that does not answer proves nothing, so somebody is asked although nothing is complete", async () => {
  const there = { state: "unknown", why: ["https://new.example.org did not answer"] } as const;
  const { asked, terminal } = terminalOf(true);
  const [finding] = await confirmRollback({ ...going, complete: false, newServer: there }, { terminal });
  assert.match(finding!.sentence, /did not answer/);
  assert.equal(asked.length, 1);
});

test("a server that is open is passed over by --force alone", async () => {
  const open = { ...going, newServer: { state: "opened", how: "it was opened" } as const };
  await assert.rejects(confirmRollback({ ...open, yes: true }, terminalOf(true)), { code: "already-opened" });
  assert.deepEqual(levels(await confirmRollback({ ...open, force: true }, terminalOf(undefined))), [
    "new-server-open warning",
  ]);
});

test("an address without its scheme is answered with the one it needs", () => {
  for (const target of ["new.example.org", "new.example.org:8448"])
    assert.throws(() => rollbackCommand.parse({ out: "/srv/move", target }), /begin with https:\/\//);
});

const machineUnknown = {
  id: "machine-unknown",
  level: "warning",
  sentence: "the record of the fence does not say on which machine old.example was fenced",
  hint: "make sure that this is the old host",
} as const;

test("where a record does not say on which machine it holds, that is asked before anything is undone", async () => {
  const closed = { ...going, newServer: { state: "closed" }, machineUnknown } as const;
  const { asked, terminal } = terminalOf(true);
  assert.deepEqual(await confirmRollback(closed, { terminal }), [machineUnknown]);
  assert.match(asked.join(), /on which machine.*\n.*systemctl start synapse.*\n.*on this host/s);
  await assert.rejects(confirmRollback(closed, terminalOf(false)), { code: "other-machine" });
  await assert.rejects(confirmRollback(closed, terminalOf(undefined)), {
    code: "bad-usage",
    message: /on which machine/,
    hint: /make sure that this is the old host.*--yes/,
  });
  for (const given of [{ yes: true }, { force: true }, { dryRun: true }])
    assert.deepEqual(await confirmRollback({ ...closed, ...given }, terminalOf(undefined)), [machineUnknown]);
});
