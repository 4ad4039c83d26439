import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readRecipients } from "../../src/bundle/recipients.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { ownGpg } from "../../src/system/gpg/gpg.ts";
import type { System } from "../../src/system/system.ts";
import { asNobody } from "../support/as-nobody.ts";
import { noise } from "../support/bytes.ts";
import { machineWith } from "../support/fake-machine.ts";
import { KeyHome } from "../support/gpg-keys.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";

const keys = new KeyHome();
const DAY = 24 * 3600 * 1000;
let good: string;

before(() => {
  good = keys.make("good");
});
after(() => {
  keys.close();
});

function systemWith(env: Record<string, string> = {}): System & { temporary: string } {
  const programs = programsWith({ GNUPGHOME: keys.folder, ...env });
  const temporary = temporaryFolder("gpg-homes");
  const { gpg } = ownGpg(programs, temporary);
  const system = { files: realFiles, programs, gpg, machine: machineWith(), temporary };
  return system as unknown as System & { temporary: string };
}

const read = (...given: string[]) => readRecipients(given, systemWith());
const refused = (given: string, message: RegExp) =>
  assert.rejects(read(given), (error: Error & { code: string; hint?: string }) => {
    assert.equal(error.code, "recipient-key-invalid", error.message);
    assert.match(error.message, message);
    assert.ok(error.hint, "it says what to do");
    return true;
  });

test("a key is taken from a file, armoured or binary, and by its fingerprint from the person's keyring", async () => {
  const spaced = good.replace(/(.{4})/g, "$1 ").trim();
  for (const given of [
    keys.publicKey("good"),
    keys.binaryKey("good"),
    good,
    spaced,
    `0x${good.toLowerCase()}`,
  ]) {
    const { fingerprints, findings } = await read(given);
    assert.deepEqual(fingerprints, [good], given);
    assert.deepEqual(
      findings.map(({ id, level }) => [id, level]),
      [["recipient", "ok"]],
    );
    assert.match(findings[0]!.sentence, /^good <good@example.org> \([0-9A-F]{40}\) can open the bundle$/);
  }
});

test("the fingerprint of a subkey stands for its key", async () => {
  const listing = await systemWith().programs.run({
    name: "gpg",
    args: ["--with-colons", "--list-keys", good],
  });
  const subkey = [...listing.matchAll(/^fpr:+([0-9A-F]{40}):/gm)][1]![1]!;
  assert.deepEqual((await read(subkey)).fingerprints, [good]);
});

test("several are in a fixed order, each once, RSA among them", async () => {
  const rsa = keys.make("rsa", { algorithm: "rsa2048", usage: "sign,cert" });
  keys.add(rsa, "rsa2048", "encr", "never");
  const { fingerprints } = await read(keys.publicKey("rsa"), good, keys.publicKey("good"));
  assert.deepEqual(fingerprints, [good, rsa].sort());
});

test("an expired key is refused, with the day", async () => {
  keys.make("expired", { expires: "30d", at: "20200101T000000" });
  await refused(keys.publicKey("expired"), /pub\.asc: the key [0-9A-F]{40} expired on 2020-01-31$/);
  await refused(keys.fingerprint("expired"), /^the key [0-9A-F]{40} expired on 2020-01-31$/);
});

test("a key whose part for encryption expired is refused, though it still signs", async () => {
  const key = keys.make("half", { algorithm: "ed25519", usage: "sign,cert", at: "20200101T000000" });
  keys.add(key, "cv25519", "encr", "10d", "20200101T000000");
  await refused(keys.publicKey("half"), /expired on 2020-01-11$/);
});

test("a revoked key is refused", async () => {
  keys.revoke(keys.make("revoked"));
  await refused(keys.publicKey("revoked"), /is revoked$/);
});

test("a key that its owner disabled is refused where that is known", async () => {
  const key = keys.make("disabled");
  keys.disable(key);
  await refused(key, /is disabled$/);
});

test("a key that only signs is refused", async () => {
  keys.make("signs", { algorithm: "ed25519", usage: "sign" });
  await refused(keys.publicKey("signs"), /has no encryption subkey/);
});

test("a key whose encryption subkey is not valid yet is refused with gpg's own reason", async () => {
  const key = keys.make("early", { algorithm: "ed25519", usage: "sign,cert" });
  const nextYear = new Date(Date.now() + 400 * DAY).toISOString().replaceAll(/[-:]|\.\d+Z/g, "");
  keys.add(key, "cv25519", "encr", "10d", nextYear);
  await refused(keys.publicKey("early"), /gpg cannot encrypt to [0-9A-F]{40}/);
});

test("a key that ends within two weeks is taken, with a warning", async () => {
  const key = keys.make("soon", { expires: "10d" });
  const { fingerprints, findings } = await read(keys.publicKey("soon"));
  assert.deepEqual(fingerprints, [key]);
  assert.equal(findings[0]!.id, "recipient-expiring");
  assert.equal(findings[0]!.level, "warning");
  assert.match(findings[0]!.sentence, /expires on 20\d\d-\d\d-\d\d$/);
  assert.ok(findings[0]!.hint);
  keys.make("later", { expires: "20d" });
  assert.equal((await read(keys.publicKey("later"))).findings[0]!.level, "ok");
});

test("several keys in one file, and a secret key, are refused", async () => {
  await refused(keys.publicKey("good", "rsa"), /contains 2 keys$/);
  const secret = keys.secretKey("good");
  await refused(secret, /is a secret key/);
  const system = systemWith();
  await assert.rejects(readRecipients([secret], system));
  const homes = readdirSync(system.temporary, { recursive: true, encoding: "utf8" });
  assert.deepEqual(
    homes.filter((name) => /private-keys|\.key$/.test(name)),
    [],
    "and is not taken in",
  );
});

test("what is no key is refused: garbage, an empty file, half a key, a folder, a huge file, an unknown fingerprint", async () => {
  const folder = temporaryFolder("no-keys");
  const file = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const whole = await realFiles.readText(keys.publicKey("good"));
  await refused(file("garbage", noise(5000)), /garbage contains no OpenPGP public key$/);
  await refused(file("empty", ""), /empty contains no OpenPGP public key$/);
  await refused(file("text", "good@example.org\n"), /text contains no OpenPGP public key$/);
  await refused(file("half", whole.slice(0, 150)), /half/);
  await refused(file("huge", noise(5 * 1024 * 1024)), /huge is too large for a public key$/);
  await refused(folder, /is not a regular file$/);
  await refused("0123456789ABCDEF0123456789ABCDEF01234567", /your keyring has no key 0123/);
  await assert.rejects(read(join(folder, "gone.asc")), { code: "file-missing" });
});

test("a file that may not be read says so", async () => {
  const path = keys.publicKey("good");
  chmodSync(path, 0o000);
  const system = systemWith();
  await asNobody(() => assert.rejects(readRecipients([path], system), { code: "permission-denied" }));
});

test("nothing of the person's gpg is touched, also where it was never used", async () => {
  const person = temporaryFolder("person");
  const system = systemWith({ HOME: person, GNUPGHOME: "" });
  await assert.rejects(readRecipients([good], system), { code: "recipient-key-invalid" });
  assert.deepEqual(readdirSync(person), []);
  mkdirSync(join(person, ".gnupg"), { mode: 0o700 });
  await assert.rejects(readRecipients([good], system), { code: "recipient-key-invalid" });
  assert.deepEqual(readdirSync(join(person, ".gnupg")), []);
});

test("an agent that is stuck or cannot be started does not matter", async () => {
  const home = temporaryFolder("stuck");
  chmodSync(home, 0o700);
  await systemWith().programs.run({
    name: "gpg",
    args: ["--homedir", home, "--batch", "--quiet", "--no-autostart", "--import", keys.publicKey("good")],
  });
  let asked = 0;
  const agent = createServer(() => asked++).listen(join(home, "S.gpg-agent"));
  try {
    const env = { GNUPGHOME: home, GPG_AGENT_INFO: `${join(home, "S.gpg-agent")}:1:1` };
    assert.deepEqual((await readRecipients([good], systemWith(env))).fingerprints, [good]);
    assert.equal(asked, 0, "it was not even asked");
  } finally {
    agent.close();
  }
});
