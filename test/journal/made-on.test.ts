import assert from "node:assert/strict";
import { test } from "node:test";
import { madeElsewhere, otherMachineError, thisMachine } from "../../src/journal/made-on.ts";
import { hostIdOf } from "../../src/system/machine.ts";

const OLD = { hostId: hostIdOf("0123456789abcdef0123456789abcdef", "old.example"), hostname: "old.example" };

test("a record belongs to the machine that made it, and a clone under another name is another machine", () => {
  const madeOn = thisMachine(OLD);
  assert.equal(madeElsewhere(madeOn, OLD), undefined);
  assert.equal(madeElsewhere(undefined, OLD), undefined, "records of earlier versions do not say");
  const other = { hostId: hostIdOf("ff".repeat(16), "new.example"), hostname: "new.example" };
  assert.deepEqual(madeElsewhere(madeOn, other), madeOn);
  const clone = { ...OLD, hostname: "clone.example" };
  assert.deepEqual(madeElsewhere(madeOn, clone), madeOn);
  const error = otherMachineError("/srv/move/fence.json", madeOn, other);
  assert.deepEqual([error.code, /old\.example/.test(error.message)], ["other-machine", true]);
  assert.match(
    otherMachineError("/f", madeOn, clone).message,
    /clone\.example, which has the same machine id/,
  );
});

test("the id of a machine does not give away its machine-id, and is there without one", () => {
  const machineId = "0123456789abcdef0123456789abcdef";
  assert.match(OLD.hostId, /^[0-9a-f]{32}$/);
  assert.notEqual(OLD.hostId, machineId);
  assert.equal(hostIdOf(machineId, "renamed.example"), OLD.hostId);
  assert.notEqual(hostIdOf(undefined, "a.example"), hostIdOf(undefined, "b.example"));
});
