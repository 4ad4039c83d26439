import assert from "node:assert/strict";
import { test } from "node:test";
import { toAskAgain } from "../../../src/move/old-server/ask-state.ts";

const kept = (senderCommand: string) =>
  toAskAgain({ address: "ssh://old.example", senderCommand, folder: "synlift-move" }, "/root/synlift-move")
    ?.senderCommand;

test("of the command on the old host only what starts synlift is kept", () => {
  assert.equal(kept("synlift pull-sender"), "synlift pull-sender");
  assert.equal(
    kept(
      "sudo /opt/node --max-old-space-size=512 '/opt/a b/main.ts' pull-sender --stop-command 'x --token=1'",
    ),
    "sudo /opt/node --max-old-space-size=512 '/opt/a b/main.ts' pull-sender",
  );
  assert.equal(kept("synlift follow-source --config /etc/a.yaml"), "synlift follow-source");
  assert.equal(kept("/root/send-it"), "/root/send-it");
  assert.equal(
    kept("sh -c 'exec synlift pull-sender \"$@\"' --"),
    "sh -c 'exec synlift pull-sender \"$@\"' --",
  );
});

test("a command that sets a variable is not kept, as that may be a secret", () => {
  assert.equal(kept("PGPASSWORD=x synlift pull-sender"), undefined);
  assert.equal(kept("env A=1 PGPASSWORD='x y' synlift pull-sender --config /a"), undefined);
  assert.equal(kept("PGPASSWORD=x /root/send-it"), undefined);
});

test("it is asked in the folder that the old host has named, by the way that was given", () => {
  const oldHost = {
    address: "ssh://a@old.example:22",
    sshConfig: "/root/config",
    senderCommand: "synlift pull-sender",
  };
  assert.deepEqual(toAskAgain({ ...oldHost, folder: "move" }, "/root/move"), {
    ...oldHost,
    folder: "/root/move",
  });
});
