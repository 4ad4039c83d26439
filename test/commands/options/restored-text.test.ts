import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { openCommandText } from "../../../src/commands/options/restored-text.ts";

/** What a shell takes the command for. */
const words = (command: string) =>
  execFileSync("sh", ["-c", `printf '%s\\n' ${command}`], { encoding: "utf8" })
    .trim()
    .split("\n");

test("what is typed after a restore opens the inventory with what opened the bundle, from any folder", () => {
  const command = openCommandText(
    "/srv/it's new",
    { passphraseFile: "my move.passphrase", gpgHome: "/root/$keys" },
    "/root",
  );
  assert.deepEqual(words(command), [
    ...["synlift", "open", "--config-dir", "/srv/it's new"],
    ...["--passphrase-file", "/root/my move.passphrase", "--gpg-home", "/root/$keys"],
  ]);
});

test("a passphrase that was asked for is asked for again, and one of a command or descriptor is only named", () => {
  assert.equal(openCommandText("/etc/x", {}, "/"), "synlift open --config-dir /etc/x");
  const told = openCommandText("/etc/x", { passphraseCommand: "echo secret" }, "/");
  assert.equal(told, "synlift open --config-dir /etc/x, and --passphrase-command again");
  assert.match(openCommandText("/etc/x", { passphraseFd: 3 }, "/"), /, and --passphrase-fd again$/);
});
