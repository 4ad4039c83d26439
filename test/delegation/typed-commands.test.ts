import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { delegationCheckCommand } from "../../src/commands/delegation-check.ts";
import { delegationFilesCommand } from "../../src/commands/delegation-files.ts";
import { COMMANDS } from "../../src/commands/index.ts";
import { commandLine } from "../../src/commands/menu.ts";
import { checkCommand, filesCommand } from "../../src/delegation/typed-commands.ts";
import { signingKey } from "./check/signed.ts";

/** What the program makes of a command that a person pastes into a shell. */
function typed(command: string): Record<string, unknown> {
  const words = execFileSync("sh", ["-c", `for word in ${command}; do printf '%s\\0' "$word"; done`], {
    encoding: "utf8",
  });
  let given: Record<string, unknown> = {};
  const choose = (chosen: { given: Record<string, unknown> }) => (given = chosen.given);
  const line = commandLine(COMMANDS, choose, { out: () => undefined, err: () => undefined });
  line.parse(words.split("\0").slice(1, -1), { from: "user" });
  return given;
}

test("the command that is told can be typed, and has everything filled in", () => {
  const { id, publicKey } = signingKey(3);
  const known = {
    serverName: "example.org",
    clientUrl: "https://matrix.example.org",
    federation: "matrix.example.org:443",
  };
  const check = delegationCheckCommand.parse(typed(checkCommand({ ...known, keys: [{ id, publicKey }] })));
  assert.equal(check.argument, "example.org");
  assert.deepEqual(check.signingKey, [{ id, publicKey }]);
  assert.deepEqual(
    [check.clientUrl, check.federation, check.watch],
    [known.clientUrl, known.federation, 7_200_000],
  );
  const when = "2026-12-01 02:00 UTC";
  const files = delegationFilesCommand.parse(typed(filesCommand(known, { address: "2001:db8::7", when })));
  assert.deepEqual([files.address, files.when], [["2001:db8::7"], Date.UTC(2026, 11, 1, 2)]);
});

test("wrong options of the check are refused, and a line of the key file is not repeated", () => {
  const refused = (given: Record<string, unknown>) => {
    try {
      delegationCheckCommand.parse({ argument: "example.org", ...given });
    } catch (error) {
      return error as Error & { code: string; hint?: string };
    }
    throw new Error(`${JSON.stringify(given)} is taken`);
  };
  for (const given of [
    { watch: "soon" },
    { every: "0" },
    { timeout: "-1s" },
    { at: ["matrix.example.org"] },
    { address: ["192.0.2.256"] },
    { clientUrl: "ftp://example.org" },
    { federation: "example.org:0" },
    { resolver: ["one.one.one.one"] },
    { login: "alice" },
    { passwordFile: "/root/password" },
    { argument: "" },
  ])
    assert.equal(refused(given).code, "bad-usage", JSON.stringify(given));
  const secret = refused({ signingKey: ["ed25519 a_x c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI"] });
  assert.doesNotMatch(`${secret.message} ${secret.hint ?? ""}`, /c2VjcmV0/);
  const address = refused({ clientUrl: "https://alice:hunter2@example.org" });
  assert.doesNotMatch(`${address.message} ${address.hint ?? ""}`, /hunter2/);
});
