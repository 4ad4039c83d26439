import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { synlift } from "../support/synlift.ts";

// What a person types and reads, to the letter. After a change that is meant: GOLDEN=write, and read the diff.

const GOOD = fileURLToPath(new URL("../vectors/v1/good/bundle", import.meta.url));

// Of the same length everywhere, as lines are wrapped.
const folder = mkdtempSync("/tmp/synlift-cli-");
after(() => {
  rmSync(folder, { recursive: true });
});
cpSync(GOOD, join(folder, "bundle"), { recursive: true });
cpSync(GOOD, join(folder, "damaged"), { recursive: true });
writeFileSync(join(folder, "damaged", "customer_db_export.sql.gz.gpg.part-aa"), "x");
writeFileSync(join(folder, "passphrase"), "these vectors must open for ever\n");
writeFileSync(join(folder, "wrong"), "these vectors must never open\n");
writeFileSync(join(folder, "two-lines"), "one\ntwo\n");
writeFileSync(join(folder, "empty"), "");
writeFileSync(join(folder, "token"), "syt_an-administrators-token\n");
writeFileSync(join(folder, "broken.yaml"), 'server_name: a.example\npassword_config:\n  pepper: "secret\n');
writeFileSync(
  join(folder, "sqlite.yaml"),
  "server_name: a.example\nreport_stats: no\ndatabase:\n  name: sqlite3\n  args: {database: /nowhere/homeserver.db}\n",
);

const CONVERSATIONS: Record<string, string[]> = {
  "no-command": [],
  "unknown-command": ["migrate"],
  help: ["--help"],
  "users-notify-without-token": ["users", "--config", "sqlite.yaml", "--notify"],
  "users-when-for-nobody": [
    "users",
    "--config",
    "sqlite.yaml",
    "--when",
    "tomorrow",
    "--coverage-days",
    "-1",
  ],
  "users-without-database": ["users", "--config", "sqlite.yaml"],
  "users-notices-not-set-up": [
    ...["users", "--config", "sqlite.yaml", "--notify", "--announce", "announced"],
    ...["--token-file", "token"],
  ],
  "export-without-anything": ["export"],
  "export-broken-configuration": ["export", "--config", "broken.yaml", "--out", "out"],
  "export-without-configuration": ["export", "--config", "no.yaml", "--out", "out"],
  "export-odd-size": ["export", "--config", "sqlite.yaml", "--out", "out", "--split", "huge"],
  "status-of-nothing": ["status", "--out", "nothing"],
  "verify-with-key": ["verify", "bundle", "--passphrase-file", "passphrase"],
  "verify-without-key": ["verify", "bundle", "--without-key"],
  "verify-damaged": ["verify", "damaged", "--passphrase-file", "passphrase"],
  "verify-wrong-passphrase": ["verify", "bundle", "--passphrase-file", "wrong"],
  "verify-two-lines": ["verify", "bundle", "--passphrase-file", "two-lines"],
  "verify-empty-passphrase": ["verify", "bundle", "--passphrase-file", "empty"],
  "verify-two-sources": [
    "verify",
    "bundle",
    "--passphrase-file",
    "passphrase",
    "--passphrase-command",
    "echo x",
  ],
  "verify-nothing": ["verify", "nothing"],
  "restore-password-in-address": [
    "restore",
    "bundle",
    "--passphrase-file",
    "passphrase",
    "--database",
    "postgresql://me:hunter2@db/mine",
    "--config-dir",
    "c",
    "--media-dir",
    "m",
  ],
  "restore-without-passphrase": [
    "restore",
    "bundle",
    "--database",
    "dbname=mine",
    "--config-dir",
    "c",
    "--media-dir",
    "m",
  ],
  "open-nothing": ["open", "--config-dir", "nothing", "--passphrase-file", "passphrase"],
  "json-wrong-option": ["verify", "--nope", "--json"],
};

for (const [name, args] of Object.entries(CONVERSATIONS)) {
  test(`the conversation "${name}" reads as it should`, async () => {
    const { code, stdout, stderr } = await synlift(args, { folder });
    const said = [
      `$ synlift ${args.join(" ")}`,
      `exit code ${code ?? "none"}`,
      "-- standard output",
      stdout,
      "-- standard error",
      stderr,
    ].join("\n");
    const neutral = said
      .replaceAll(folder, "/work-folder")
      .replace(/"time":"[^"]*"/g, '"time":"…"')
      .replace(/ in \d+(\.\d)? s(, [\d.]+ \w+\/s)?/g, " in 0 s");
    const path = fileURLToPath(new URL(`${name}.txt`, import.meta.url));
    if (process.env["GOLDEN"] === "write") writeFileSync(path, neutral);
    assert.ok(existsSync(path), `${path} is missing`);
    assert.equal(neutral, readFileSync(path, "utf8"));
  });
}

test("no conversation changed the bundle", () => {
  assert.ok(Object.keys(CONVERSATIONS).length > 10);
  assert.equal(existsSync(join(folder, "out")), false);
});
