import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { JSON_VERSION, schemaFileOf, SCHEMAS } from "../../scripts/json-files.ts";
import { COMMANDS } from "../../src/commands/index.ts";
import { assertJsonContract, publishedSchema } from "../support/json-contract.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { type Ran, synlift } from "../support/synlift.ts";

// What scripts read: every command's output is as the schemas in docs/json/ say. Every other test that runs a command with
// --json checks that, too (test/support/synlift.ts); here each command is run to a result, if only a small one.

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUNDLE = join(ROOT, "test/vectors/v1/sqlite/bundle");
const folder = temporaryFolder("json");
const at = (...names: string[]) => join(folder, ...names);
const KEY = ["--passphrase-file", at("passphrase")];
const CONFIG = ["--config", at("homeserver.yaml"), "--working-directory", at()];
const NOBODY = ["--resolver", "127.0.0.1:1"];

const answer = createServer((_, response) => {
  response.writeHead(503, { "Retry-After": "60", "Content-Type": "application/json" });
  response.end("{}");
});
let url: string;

/** In this order: a bundle is carried, looked at and taken away. Those that need servers are run where these are. */
const RUNS: Readonly<Record<string, (() => readonly string[]) | { readonly elsewhere: string }>> = {
  standing: () => ["standing", "--out", at("none"), "--config-dir", at("none")],
  verify: () => ["verify", BUNDLE, ...KEY],
  send: () => ["send", at("bundle"), at("sent")],
  fetch: () => ["fetch", at("sent"), "--out", at("fetched")],
  plan: () => ["plan", ...CONFIG, ...NOBODY, "--out", at("move")],
  report: () => [
    "report",
    "--redact",
    "--no-look",
    "--file",
    at("report.txt"),
    ...CONFIG,
    "--out",
    at("bundle"),
  ],
  "follow status": () => ["follow status", "--config-dir", at("none")],
  "follow stop": () => ["follow stop", "--config-dir", at("none")],
  cleanup: () => ["cleanup", "--out", at("fetched"), "--config-dir", at("config")],
  forward: () => ["forward", ...OLD_NEW, "--for", "nginx"],
  maintenance: () => ["maintenance", "--old", "https://old.example.org", "--for", "caddy"],
  "sign-out config": () => ["sign-out config", ...OLD_NEW, "--for", "nginx", "--soft", "--no-survey"],
  "sign-out test": () => ["sign-out test", url],
  "delegation show": () => ["delegation show", "old.invalid", ...NOBODY],
  "delegation files": () => [
    ...["delegation files", "old.invalid", ...NOBODY, "--client-url", "https://matrix.old.invalid"],
    ...["--federation", "matrix.old.invalid:443"],
    ...["--address", "192.0.2.7", "--when", "2027-01-02 03:00 UTC", "--out", at("delegation")],
  ],
  "delegation check": () => ["delegation check", "old.invalid", "--at", "127.0.0.1", ...NOBODY],
  "maintenance serve": { elsewhere: "test/commands/old-address.test.ts" },
  "sign-out serve": { elsewhere: "test/commands/old-address.test.ts" },
  users: { elsewhere: "test/e2e/users.test.ts" },
  "sign-out expire": { elsewhere: "test/e2e/users.test.ts" },
  export: { elsewhere: "test/e2e/supervisors.test.ts" },
  restore: { elsewhere: "test/e2e/move-sqlite.test.ts" },
  open: { elsewhere: "test/e2e/move-sqlite.test.ts" },
  "media check": { elsewhere: "test/e2e/media.test.ts" },
  status: { elsewhere: "test/e2e/stop-and-rollback.test.ts" },
  rollback: { elsewhere: "test/e2e/stop-and-rollback.test.ts" },
  port: { elsewhere: "test/e2e/port.test.ts" },
  pull: { elsewhere: "test/e2e/direct.test.ts" },
  follow: { elsewhere: "test/e2e/follow-standby.test.ts" },
  invite: { elsewhere: "test/e2e/receive.test.ts" },
  receive: { elsewhere: "test/e2e/receive.test.ts" },
  "media export": { elsewhere: "test/homeserver/media/media-repo/export.test.ts" },
};
const OLD_NEW = ["--old", "https://old.example.org", "--new", "https://new.example.org"];

before(async () => {
  writeFileSync(at("passphrase"), "these vectors must open for ever\n");
  cpSync(BUNDLE, at("bundle"), { recursive: true });
  mkdirSync(at("config"));
  writeFileSync(at("homeserver.yaml"), "server_name: old.invalid\nreport_stats: false\n");
  await new Promise<void>((resolve) => answer.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(answer.address() as AddressInfo).port}`;
});
after(() => answer.close());

const EXPECTED = COMMANDS.map(({ name }) => name).filter(
  (name) => name !== "pull-sender" && name !== "follow-source",
);

test("every command has a schema, and a run that is held against it", () => {
  const files = readdirSync(join(ROOT, SCHEMAS)).sort();
  assert.deepEqual(files, [...EXPECTED.map((name) => schemaFileOf({ name })), "events.schema.json"].sort());
  assert.deepEqual(Object.keys(RUNS).sort(), EXPECTED.toSorted(), "add the command to RUNS");
  for (const [name, run] of Object.entries(RUNS)) {
    if (typeof run === "function") continue;
    const text = readFileSync(join(ROOT, run.elsewhere), "utf8");
    const runs = name.split(" ").every((word) => text.includes(`"${word}"`)) || text.includes(`"${name}"`);
    assert.ok(runs && /--json|resultOf\(/.test(text), `${run.elsewhere} does not run ${name} with --json`);
  }
});

for (const [name, run] of Object.entries(RUNS)) {
  if (typeof run !== "function") continue;
  test(`the result of ${name} is as its schema says`, async () => {
    const ran = await synlift(
      [...run().flatMap((word) => (word === name ? word.split(" ") : [word])), "--json"],
      {
        folder,
      },
    );
    assert.match(ran.stdout, /^\{"type":"result"/m, ran.stderr);
    const result = JSON.parse(ran.stdout.trim()) as { command: string };
    assert.equal(result.command, name);
    publishedSchema(schemaFileOf({ name })).parse(result);
  });
}

test("a schema says which version of the contract it is of, and what its fields mean", () => {
  for (const name of EXPECTED) {
    const schema = JSON.parse(readFileSync(join(ROOT, SCHEMAS, schemaFileOf({ name })), "utf8")) as Record<
      string,
      string
    >;
    assert.equal(schema["$id"], `urn:synlift:json:v${JSON_VERSION}:${name.replace(" ", "-")}`);
    assert.equal(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  }
  const show = readFileSync(join(ROOT, SCHEMAS, "delegation-show.schema.json"), "utf8");
  assert.match(show, /"description": "The name that the certificate must be valid for\."/);
});

test("an output that is not as promised is refused, one with more fields is not", () => {
  const ran = (result: object): Ran => ({
    ...{ code: 0, signal: null, stderr: "" },
    stdout: `${JSON.stringify(result)}\n`,
  });
  const good = {
    ...{ type: "result", command: "open", exitCode: 0, level: "ok", findings: [] },
    counts: { ok: 0, note: 0, warning: 0, blocker: 0 },
    details: { opened: false, more: 1 },
    later: true,
  };
  assertJsonContract(ran(good));
  for (const wrong of [
    { ...good, details: {} },
    { ...good, details: { opened: "no" } },
    { ...good, level: "fatal" },
    { ...good, counts: undefined },
    { ...good, findings: [{ id: "a", level: "ok", sentence: "b", evidence: [] }] },
  ])
    assert.throws(() => {
      assertJsonContract(ran(wrong));
    }, JSON.stringify(wrong));
  assert.throws(() => {
    assertJsonContract({ ...ran({}), stdout: "" });
  }, /no result and no error/);
  assert.ok(existsSync(join(ROOT, "docs/json.md")));
});
