import assert from "node:assert/strict";
import { createPrivateKey, sign } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { canonicalJson } from "../../../src/delegation/signed-json.ts";
import { readHomeserver } from "../../../src/homeserver/read.ts";
import { inspectSigningKey } from "../../../src/homeserver/signing-key/inspect.ts";
import type { Finding } from "../../../src/report/finding.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { realHttp } from "../../../src/system/http/http.ts";
import { folderWith, MINIMUM } from "../../support/folder-with.ts";

/** As signedjson derives them. */
const FIRST = {
  line: "ed25519 a_test AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
  id: "ed25519:a_test",
  publicKey: "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
};
const SECOND = {
  line: "ed25519 b_2 ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM",
  id: "ed25519:b_2",
  publicKey: "C7w0aldmfDgBIL2cf9flHSxf3+o3zS9b9AWyxr9vLXg",
};
type Key = typeof FIRST;

const NOW = Date.parse("2026-12-01T12:00:00Z");

function signature(key: Key, text: string): string {
  const seed = Buffer.from(key.line.split(" ")[2]!, "base64");
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const secret = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  return sign(undefined, Buffer.from(text), secret).toString("base64").replace(/=+$/, "");
}

/** The answer of a server with these keys; `tamper` changes it after it was signed. */
function answer(keys: readonly Key[], tamper: object = {}): string {
  const signed = {
    server_name: "example.org",
    valid_until_ts: NOW + 1000,
    verify_keys: Object.fromEntries(keys.map(({ id, publicKey }) => [id, { key: publicKey }])),
    old_verify_keys: {},
  };
  const text = canonicalJson(signed)!;
  const signatures = { "example.org": Object.fromEntries(keys.map((key) => [key.id, signature(key, text)])) };
  return JSON.stringify({ ...signed, signatures, ...tamper });
}

async function inspected(
  t: TestContext,
  given: { key?: string; more?: string; body?: string; url?: string },
) {
  const folder = folderWith(t, {
    "homeserver.yaml": `${MINIMUM}${given.more ?? ""}`,
    "example.org.signing.key": given.key ?? `${FIRST.line}\n`,
  });
  let url = given.url ?? "http://127.0.0.1:1";
  if (given.body !== undefined) {
    const server = createServer((_, response) => response.end(given.body));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const homeserver = await readHomeserver(
    { configPaths: ["homeserver.yaml"], workingFolder: folder },
    realFiles,
  );
  const findings = await inspectSigningKey(homeserver, realFiles, {
    http: realHttp,
    signal: new AbortController().signal,
    now: NOW,
    url,
  });
  return findings.filter(({ id }) => id !== "signing-key");
}

const told = (findings: readonly Finding[]) => findings.map(({ id, level }) => `${id} ${level}`);

test("the key in the file is the one that the server shows", async (t) => {
  assert.deepEqual(told(await inspected(t, { body: answer([FIRST]) })), ["signing-key-published ok"]);
  const both = `${FIRST.line}\n${SECOND.line}\n`;
  assert.deepEqual(told(await inspected(t, { key: both, body: answer([SECOND, FIRST]) })), [
    "signing-key-published ok",
  ]);
});

test("a server that shows another key, or one more, stops the move", async (t) => {
  const renamed = { ...SECOND, id: FIRST.id };
  for (const keys of [[SECOND], [FIRST, SECOND], [renamed]]) {
    const [finding] = await inspected(t, { body: answer(keys) });
    assert.deepEqual([finding?.id, finding?.level], ["signing-key-published", "blocker"]);
    assert.ok(finding?.evidence?.some((line) => line.includes(SECOND.publicKey)));
  }
});

test("a key that is in the file and not shown yet is a warning", async (t) => {
  const key = `${FIRST.line}\n${SECOND.line}\n`;
  assert.deepEqual(told(await inspected(t, { key, body: answer([FIRST]) })), [
    "signing-key-published warning",
  ]);
});

test("a server that is down, or another one, cannot be compared with", async (t) => {
  assert.deepEqual(told(await inspected(t, {})), ["signing-key-published note"]);
  assert.deepEqual(told(await inspected(t, { body: "<html>" })), ["signing-key-published note"]);
  assert.deepEqual(told(await inspected(t, { body: '{"server_name":"example.org"}' })), [
    "signing-key-published note",
  ]);
  const other = answer([FIRST], { server_name: "other.org" });
  assert.deepEqual(told(await inspected(t, { body: other })), ["signing-key-published warning"]);
});

test("an answer that was changed after it was signed is noticed", async (t) => {
  const late = answer([FIRST], { valid_until_ts: NOW + 2000 });
  const notSigned = ["signing-key-published ok", "signing-key-signature warning"];
  assert.deepEqual(told(await inspected(t, { body: late })), notSigned);
  assert.deepEqual(told(await inspected(t, { body: answer([FIRST], { signatures: {} }) })), notSigned);
  assert.deepEqual(
    told(await inspected(t, { body: answer([FIRST], { signatures: { "example.org": 7 } }) })),
    notSigned,
  );
  assert.deepEqual(told(await inspected(t, { body: answer([FIRST], { unsigned: { age: 1 } }) })), [
    notSigned[0]!,
  ]);
});

test("a key that stops at nothing readable is told as that, not as one that differs", async (t) => {
  assert.deepEqual(told(await inspected(t, { key: "nonsense\n", body: answer([FIRST]) })), []);
});

const oldKey = (key: string, expired: string, id = "ed25519:old") =>
  `old_signing_keys: {"${id}": {key: "${key}", expired_ts: ${expired}}}\n`;

async function oldKeys(t: TestContext, more: string): Promise<Finding[]> {
  return (await inspected(t, { more, body: answer([FIRST]) })).filter(
    ({ id }) => id !== "signing-key-published",
  );
}

test("old keys are listed, with the time until which they were used", async (t) => {
  const [finding, ...more] = await oldKeys(t, oldKey(SECOND.publicKey, "1700000000000"));
  assert.deepEqual(more, []);
  assert.deepEqual([finding?.id, finding?.level], ["old-signing-keys", "note"]);
  assert.deepEqual(finding?.evidence, ["ed25519:old, until 2023-11-14T22:13:20.000Z"]);
  assert.deepEqual(await oldKeys(t, "old_signing_keys: {}\n"), []);
  assert.deepEqual(await oldKeys(t, "old_signing_keys:\n"), []);
});

test("an old key that is in use, or whose time is wrong, is a warning", async (t) => {
  const sentences: Record<string, RegExp> = {
    [oldKey(FIRST.publicKey, "1700000000000")]: /is the key that is in use, ed25519:a_test/,
    [oldKey(SECOND.publicKey, "1700000000000", FIRST.id)]: /has the id of the key in use/,
    [oldKey(SECOND.publicKey, "1700000000")]: /is a time in 1970/,
    [oldKey(SECOND.publicKey, String(NOW + 1000))]: /is in the future/,
  };
  for (const [more, sentence] of Object.entries(sentences)) {
    const [, finding] = await oldKeys(t, more);
    assert.equal(finding?.level, "warning", more);
    assert.match(finding.sentence, sentence);
    assert.match(finding.id, /^old-signing-key:ed25519:/);
  }
});

test("an old key that Synapse cannot read is a blocker, as it would not start", async (t) => {
  for (const more of [
    oldKey("not base64!", "1700000000000"),
    oldKey("AAAA", "1700000000000"),
    oldKey(SECOND.publicKey, "1700000000000", "rsa:1"),
    oldKey(SECOND.publicKey, "soon"),
    'old_signing_keys: {"ed25519:a": 7}\n',
    "old_signing_keys: [a]\n",
  ])
    assert.equal((await oldKeys(t, more)).at(-1)?.level, "blocker", more);
});

test("how long others keep the key is told where it is longer than usual", async (t) => {
  for (const [interval, days] of [
    ["7d", 7],
    ["2w", 14],
    ["259200000", 3],
  ] as const)
    assert.match(
      (await oldKeys(t, `key_refresh_interval: ${interval}\n`))[0]!.sentence,
      new RegExp(` ${days} days`),
    );
  for (const interval of ["1d", "24h", "3600s", "[no]"])
    assert.deepEqual(await oldKeys(t, `key_refresh_interval: ${interval}\n`), []);
});

test("the canonical form is the one of the specification", () => {
  assert.equal(
    canonicalJson({ one: 1, two: "Two", b: [{ z: null, a: true }] }),
    '{"b":[{"a":true,"z":null}],"one":1,"two":"Two"}',
  );
  assert.equal(canonicalJson({ 本: 2, 日: 1 }), '{"日":1,"本":2}');
  assert.equal(canonicalJson({ "\uFF21": 1, "\u{1F98A}": 2 }), '{"\uFF21":1,"\u{1F98A}":2}');
});
