import assert from "node:assert/strict";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { Homeserver } from "../../../src/homeserver/homeserver.ts";
import { readHomeserver } from "../../../src/homeserver/read.ts";
import { packSigningKey } from "../../../src/homeserver/signing-key/export.ts";
import { inspectSigningKey } from "../../../src/homeserver/signing-key/inspect.ts";
import { parseKeyFile } from "../../../src/homeserver/signing-key/key-file.ts";
import { checkExistingKey } from "../../../src/homeserver/signing-key/restore.ts";
import { verifySigningKey } from "../../../src/homeserver/signing-key/verify.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { folderWith, MINIMUM } from "../../support/folder-with.ts";

/** Written by signedjson 1.1.4 (`write_signing_keys`), with the public keys it derives. */
const FIRST = {
  line: "ed25519 a_test AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
  key: { id: "ed25519:a_test", publicKey: "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg" },
};
const SECOND = {
  line: "ed25519 b_2 ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM",
  key: { id: "ed25519:b_2", publicKey: "C7w0aldmfDgBIL2cf9flHSxf3+o3zS9b9AWyxr9vLXg" },
};
/** The key of the Matrix specification's appendix on signing. */
const SPECIFICATION = {
  line: "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1",
  key: { id: "ed25519:1", publicKey: "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI" },
};

async function withKey(t: TestContext, key: string | undefined, more = ""): Promise<Homeserver> {
  const folder = folderWith(t, {
    "homeserver.yaml": `${MINIMUM}${more}`,
    ...(key === undefined ? {} : { "example.org.signing.key": key }),
  });
  return readHomeserver({ configPaths: ["homeserver.yaml"], workingFolder: folder }, realFiles);
}

const levels = (findings: readonly { id: string; level: string }[]) =>
  findings.map(({ id, level }) => `${id} ${level}`);

test("the public keys are those that signedjson derives", () => {
  const { keys, badLines } = parseKeyFile(`${FIRST.line}\n\n  \n${SECOND.line}\r\n${SPECIFICATION.line}`);
  assert.deepEqual(keys, [FIRST.key, SECOND.key, SPECIFICATION.key]);
  assert.deepEqual(badLines, []);
});

test("a line that signedjson refuses is a bad line", () => {
  const seed = SPECIFICATION.line.split(" ")[2]!;
  const bad = [
    "# comment",
    "# a comment",
    "ed25519 a",
    `rsa a ${seed}`,
    "ed25519 a AAAA",
    `ed25519 a ${seed} x`,
    seed,
  ];
  for (const line of bad) assert.deepEqual(parseKeyFile(`\n${line}\n`), { keys: [], badLines: [2] }, line);
});

test("the inventory gets the public half and nothing of the private one", async (t) => {
  const section = await packSigningKey(await withKey(t, `${FIRST.line}\n`), realFiles);
  assert.deepEqual(section, { keys: [FIRST.key], kind: "file", name: "example.org.signing.key" });
  const inline = await packSigningKey(
    await withKey(t, undefined, `signing_key: ${SECOND.line}\n`),
    realFiles,
  );
  assert.deepEqual(inline, { keys: [SECOND.key], kind: "inline" });
});

test("a missing key says that Synapse would make another one", async (t) => {
  const homeserver = await withKey(t, undefined);
  await assert.rejects(packSigningKey(homeserver, realFiles), {
    code: "signing-key-missing",
    hint: /silently generates a new key/,
  });
  const [finding] = await inspectSigningKey(homeserver, realFiles);
  assert.equal(finding?.level, "blocker");
});

test("a key that others may read and one that can be guessed are warned of", async (t) => {
  const homeserver = await withKey(t, `${SPECIFICATION.line.replace(" 1 ", " 0 ")}\n`);
  assert.deepEqual(levels(await inspectSigningKey(homeserver, realFiles)), [
    "signing-key ok",
    "signing-key-weak warning",
  ]);
  chmodSync(join(homeserver.configFolder, "example.org.signing.key"), 0o644);
  assert.deepEqual(levels(await inspectSigningKey(homeserver, realFiles)), [
    "signing-key ok",
    "signing-key-weak warning",
    "signing-key-mode warning",
  ]);
});

test("a line that cannot be read is told by its number, never by what it holds", async (t) => {
  const homeserver = await withKey(t, `${FIRST.line}\n${SECOND.line} c3VycGx1cw\n`);
  const findings = await inspectSigningKey(homeserver, realFiles);
  assert.deepEqual(levels(findings), ["signing-key blocker"]);
  assert.match(findings[0]!.sentence, /line 2$/);
  assert.doesNotMatch(JSON.stringify(findings), /ZGVm|c3Vy/);
  await assert.rejects(packSigningKey(homeserver, realFiles), { code: "signing-key-missing" });
});

test("the gates pass for the same key and stop for another", async (t) => {
  const section = await packSigningKey(await withKey(t, FIRST.line), realFiles);
  const same = await withKey(t, `\n${FIRST.line}\n`);
  const shown = { [FIRST.key.id]: FIRST.key.publicKey };
  assert.deepEqual(levels(await verifySigningKey(section, same, realFiles, shown)), [
    "signing-key ok",
    "signing-key-published ok",
  ]);
  assert.deepEqual(levels(await verifySigningKey(section, same, realFiles)), ["signing-key ok"]);

  for (const other of [
    SECOND.line,
    `${FIRST.line}\n${SECOND.line}`,
    FIRST.line.replace("a_test", "a_else"),
    "nonsense",
    undefined,
  ]) {
    const homeserver = await withKey(t, other);
    assert.deepEqual(
      levels(await verifySigningKey(section, homeserver, realFiles)),
      ["signing-key blocker"],
      other,
    );
  }
  for (const published of [
    {},
    { [FIRST.key.id]: SECOND.key.publicKey },
    { ...shown, [SECOND.key.id]: SECOND.key.publicKey },
  ]) {
    assert.equal((await verifySigningKey(section, same, realFiles, published))[1]?.level, "blocker");
  }
});

test("of several keys all must be there, and the gate shows both sides and what to do", async (t) => {
  const section = await packSigningKey(await withKey(t, `${FIRST.line}\n${SECOND.line}`), realFiles);
  const one = await withKey(t, `${FIRST.line}\n${SPECIFICATION.line}`);
  const [gate] = await verifySigningKey(section, one, realFiles);
  assert.equal(gate?.level, "blocker");
  const lines = (keys: { id: string; publicKey: string }[]) =>
    keys.map((key) => `${key.id} ${key.publicKey}`);
  assert.deepEqual(gate.evidence, [
    ...lines([FIRST.key, SECOND.key]).map((line) => `at the source: ${line}`),
    ...lines([FIRST.key, SPECIFICATION.key]).map((line) => `now: ${line}`),
  ]);
  assert.match(gate.hint!, /^put the key of the old server in place/);

  // The right keys with a line that Synapse cannot read: it would not start.
  const broken = await withKey(t, `${FIRST.line}\n${SECOND.line}\nnonsense\n`);
  assert.deepEqual(await verifySigningKey(section, broken, realFiles), [
    {
      id: "signing-key",
      level: "blocker",
      sentence: "the signing key on this host cannot be read",
      hint: "put the key of the old server in place before the new one is started for the first time",
    },
  ]);
  const missing = await verifySigningKey(section, await withKey(t, undefined), realFiles);
  assert.match(missing[0]!.sentence, /example\.org\.signing\.key/);
  assert.ok(missing[0]!.hint);
});

test("an error that nobody expected is not taken for a missing key", async (t) => {
  const section = await packSigningKey(await withKey(t, FIRST.line), realFiles);
  const failing = { ...realFiles, readText: () => Promise.reject(new TypeError("a fault in the program")) };
  await assert.rejects(verifySigningKey(section, await withKey(t, FIRST.line), failing), TypeError);
});

test("a key is never written over another", async (t) => {
  const folder = folderWith(t, { key: FIRST.line });
  const bytes = (text: string) => new TextEncoder().encode(text);
  assert.equal(await checkExistingKey(join(folder, "key"), bytes(FIRST.line), realFiles), "same");
  assert.equal(await checkExistingKey(join(folder, "none"), bytes(FIRST.line), realFiles), "absent");
  await assert.rejects(checkExistingKey(join(folder, "key"), bytes(SECOND.line), realFiles), {
    code: "target-not-empty",
  });
});
