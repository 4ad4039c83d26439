import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import type { RestoreResult } from "../../../src/move/restore/restore-bundle.ts";
import { describeRestore, openCommandText } from "../../../src/move/restore/result-text.ts";
import { matchesGolden } from "../../report/golden.ts";

/** What a shell takes the command for. */
const words = (command: string) =>
  execFileSync("sh", ["-c", `printf '%s\\n' ${command}`], { encoding: "utf8" })
    .trim()
    .split("\n");

const RESTORED: Extract<RestoreResult, { kind: "restored" }> = {
  kind: "restored",
  findings: [],
  key: { file: "/root/move.passphrase" },
  server: {
    id: "0b0e",
    serverName: "example.org",
    databases: [{ engine: "postgres", address: { parameters: { dbname: "synapse", host: "127.0.0.1" } } }],
    configDir: "/etc/matrix-synapse",
    mediaDir: "/var/lib/matrix-synapse/media",
    masConfigPaths: [],
  },
};

const OUTCOMES: Record<string, RestoreResult> = {
  "dry-run": { kind: "dry-run", findings: [], compose: false },
  "dry-run-compose": { kind: "dry-run", findings: [], compose: true },
  restored: RESTORED,
  "restored-sqlite": {
    ...RESTORED,
    key: { command: "pass show move" },
    server: {
      ...RESTORED.server,
      databases: [{ engine: "sqlite", path: "/var/lib/matrix-synapse/homeserver.db" }],
    },
  },
  "restored-with-mas": {
    ...RESTORED,
    key: { gpgHome: "/root/.gnupg", descriptor: 3 },
    server: {
      ...RESTORED.server,
      databases: [
        ...RESTORED.server.databases,
        { engine: "postgres", address: { parameters: { dbname: "state", host: "127.0.0.1" } } },
        { engine: "postgres", address: { parameters: { dbname: "mas", host: "127.0.0.1" } } },
      ],
      masConfigPaths: ["/etc/matrix-synapse/mas/config.yaml"],
    },
  },
};

for (const [name, result] of Object.entries(OUTCOMES))
  test(`the text of a restore: ${name}`, () => {
    matchesGolden(`restore-${name}.txt`, `${describeRestore(result).join("\n")}\n`);
  });

test("the command shown after a restore opens the inventory with the key that opened the bundle", () => {
  const command = openCommandText("/srv/it's new", {
    file: "/root/my move.passphrase",
    gpgHome: "/root/$keys",
  });
  assert.deepEqual(words(command), [
    ...["synlift", "open", "--config-dir", "/srv/it's new"],
    ...["--passphrase-file", "/root/my move.passphrase", "--gpg-home", "/root/$keys"],
  ]);
});

test("a passphrase that was asked for is asked for again, and one of a command or descriptor is only named", () => {
  assert.equal(openCommandText("/etc/x", {}), "synlift open --config-dir /etc/x");
  const text = openCommandText("/etc/x", { command: "echo secret" });
  assert.equal(text, "synlift open --config-dir /etc/x, and --passphrase-command again");
  assert.match(openCommandText("/etc/x", { descriptor: 3 }), /, and --passphrase-fd again$/);
});
