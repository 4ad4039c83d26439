import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { type Digest, reportDigest } from "../../src/pipeline/digest.ts";
import { decryptWith, EncryptionAhead, encryptWith } from "../../src/pipeline/encrypt.ts";
import { compose } from "../../src/pipeline/transform.ts";
import { ownGpg } from "../../src/system/gpg/gpg.ts";
import { breaksAfter, BROKEN, chunked, collect, cut, flipped, noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, PASSPHRASE, programsBefore, programsWith, QUICK_GPG } from "../support/real-world.ts";

const lock = lockWith();
/** With all the work on the passphrase. */
const asInLife = lockWith(PASSPHRASE, programsWith());
const thereAndBack = compose(encryptWith(lock), decryptWith(lock));

test("what goes in comes back, however it was cut into chunks", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 70_000 }), { maxLength: 4 }), async (chunks) => {
      assert.deepEqual(await collect(thereAndBack(chunked(...chunks))), Buffer.concat(chunks));
    }),
    { numRuns: 5 },
  );
});

test("passphrases with spaces, quotes, letters of all scripts and of the greatest length open what they closed", async () => {
  for (const passphrase of [
    " leading and trailing ",
    "ünïcödé 密码 🦊",
    "-",
    "a".repeat(255),
    '$(touch /tmp/x) `id` "\\n',
  ]) {
    const own = lockWith(passphrase);
    assert.equal(
      (await collect(compose(encryptWith(own), decryptWith(own))(chunked("open")))).toString(),
      "open",
    );
  }
});

test("what is written is ciphertext: nothing of the plain text is in it", async () => {
  const secret = "a line that must not be seen anywhere";
  const sealed = await collect(encryptWith(lock)(chunked(`${secret}\n`.repeat(3000))));
  assert.equal(sealed.includes(secret), false);
  assert.equal(sealed.includes(secret.slice(0, 12)), false);
  assert.ok(sealed.length > secret.length * 3000, "gpg does not compress what is compressed already");
});

test("a passphrase that a person chose is slow to guess, and a random one costs no time", async () => {
  const folder = temporaryFolder("counts");
  for (const [isRandom, count] of [
    [false, "65011712"],
    [true, "65536"],
  ] as const) {
    const path = join(folder, count);
    writeFileSync(path, await collect(encryptWith({ ...asInLife, isRandom })(chunked("x"))));
    const args = ["--homedir", folder, "--batch", "--list-packets", "--list-only", path];
    const { stdout } = spawnSync("gpg", args, { encoding: "utf8" });
    assert.match(stdout, new RegExp(`s2k 3, hash 10[^]*count ${count} `));
  }
});

test("a plain gpg opens it, with nothing of ours", async () => {
  const folder = temporaryFolder("plain-gpg");
  writeFileSync(join(folder, "P"), `${PASSPHRASE}\n`);
  writeFileSync(
    join(folder, "message.gpg"),
    await collect(encryptWith(asInLife)(chunked("for everybody\n"))),
  );
  const args = ["--homedir", folder, "--batch", "--passphrase-file", join(folder, "P")];
  assert.equal(
    execFileSync("gpg", [...args, "-d", join(folder, "message.gpg")], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    }),
    "for everybody\n",
  );
  const { stderr } = spawnSync("gpg", [...args, "--list-packets", "--verbose", join(folder, "message.gpg")], {
    encoding: "utf8",
  });
  assert.match(stderr, /AES256/);
  spawnSync("gpgconf", ["--homedir", folder, "--kill", "all"]);
});

test("a wrong passphrase says so and gives nothing away", async () => {
  const sealed = await collect(encryptWith(asInLife)(chunked("secret")));
  const wrong = lockWith("another one entirely");
  await assert.rejects(
    collect(decryptWith(wrong)(chunked(sealed))),
    (error: Error & { code: string; hint: string }) => {
      assert.equal(error.code, "passphrase-wrong");
      assert.doesNotMatch(
        `${error.stack ?? ""} ${error.hint} ${String(error.cause)}`,
        /another one|correct horse/,
      );
      return true;
    },
  );
});

test("a flipped bit is an error, though the bytes before it have come out", async () => {
  const sealed = flipped(await collect(encryptWith(lock)(chunked(noise(600_000)))), 400_000);
  const out: Uint8Array[] = [];
  await assert.rejects(
    async () => {
      for await (const chunk of decryptWith(lock)(chunked(sealed))) out.push(chunk);
    },
    { code: "program-failed", message: /gpg failed with exit code 2/ },
  );
  assert.ok(out.length > 0);
});

test("a message that was cut off is an error, wherever it was cut", async () => {
  const sealed = await collect(encryptWith(lock)(cut(noise(200_000), 10_000)));
  for (const length of [0, 1, 50, 100_000, sealed.length - 20, sealed.length - 1])
    await assert.rejects(
      collect(decryptWith(lock)(chunked(sealed.subarray(0, length)))),
      { code: "program-failed" },
      `${length} bytes`,
    );
});

test("a message with more bytes after its end is an error", async () => {
  const sealed = await collect(encryptWith(lock)(chunked("well")));
  await assert.rejects(collect(decryptWith(lock)(chunked(sealed, noise(500)))), { code: "program-failed" });
});

test("a source that breaks breaks the pipeline, and nothing is measured", async () => {
  const seen: Digest[] = [];
  const pipeline = compose(
    reportDigest((m) => seen.push(m)),
    encryptWith(lock),
    reportDigest((m) => seen.push(m)),
  );
  await assert.rejects(collect(pipeline(breaksAfter("half a dump"))), new Error(BROKEN));
  assert.equal(seen.length, 0);
  await collect(pipeline(chunked("a whole dump")));
  assert.equal(seen.length, 2);
  assert.equal(seen[0]!.size, 12);
});

test("no agent is started, and nothing of a person's own gpg is touched", async () => {
  const [temporary, person] = [temporaryFolder("gpg-temporary"), temporaryFolder("person")];
  mkdirSync(join(person, ".gnupg"), { mode: 0o700 });
  writeFileSync(join(person, ".gnupg", "gpg.conf"), "this option does not exist\n");
  const owned = ownGpg(programsWith({ HOME: person }), temporary);
  const own = { gpg: owned.gpg, passphrase: PASSPHRASE };
  assert.equal((await collect(compose(encryptWith(own), decryptWith(own))(chunked("x")))).toString(), "x");

  const [home] = readdirSync(temporary);
  assert.ok(home, "gpg had a home of its own");
  const left = readdirSync(join(temporary, home), { recursive: true, encoding: "utf8" });
  assert.deepEqual(
    left.filter((name) => /^S\.|\.lock$|secring|private-keys/.test(name)),
    [],
  );
  const agents = spawnSync("pgrep", ["-f", temporary], { encoding: "utf8" }).stdout;
  assert.equal(agents, "", "no process knows of that home");
  assert.deepEqual(readdirSync(join(person, ".gnupg")), ["gpg.conf"]);

  owned.close();
  owned.close();
  assert.deepEqual(readdirSync(temporary), []);
});

/** Each gpg that is started writes a line to the log. */
function counted(script = QUICK_GPG) {
  const log = join(temporaryFolder("log"), "started");
  writeFileSync(log, "");
  const keys = lockWith(PASSPHRASE, programsBefore({ gpg: `echo started >> ${log}; ${script}` }));
  return { keys, started: () => readFileSync(log, "utf8").split("\n").length - 1 };
}

const decrypted = async (sealed: Uint8Array) =>
  (await collect(decryptWith(lock)(chunked(sealed)))).toString();

test("a gpg that was started before encrypts one message, and the next message has another one", async () => {
  const { keys, started } = counted();
  const ahead = new EncryptionAhead(keys);
  ahead.prepare();
  ahead.prepare();
  const sealed = [];
  for (const text of ["first", "second"]) sealed.push(await collect(ahead.encrypt(Buffer.from(text))));
  assert.deepEqual(await Promise.all(sealed.map(decrypted)), ["first", "second"]);
  assert.equal(started(), 2);
  await ahead.end();
});

test("a gpg that waits and is not needed ends, and leaves no message", async () => {
  const { keys, started } = counted();
  const ahead = new EncryptionAhead(keys);
  await ahead.end();
  ahead.prepare();
  await ahead.end();
  await ahead.end();
  assert.ok(started() <= 1);
  assert.equal(await decrypted(await collect(ahead.encrypt(Buffer.from("later")))), "later");
});

test("a gpg that was killed while it waited costs no message", async () => {
  const folder = temporaryFolder("once");
  const { keys, started } = counted(`mkdir ${join(folder, "tried")} 2>/dev/null && exit 3; ${QUICK_GPG}`);
  const ahead = new EncryptionAhead(keys);
  ahead.prepare();
  assert.equal(await decrypted(await collect(ahead.encrypt(Buffer.from("kept")))), "kept");
  assert.equal(started(), 2);
});

test("a gpg that never works is an error, with what it said", async () => {
  const { keys } = counted("echo no entropy >&2; exit 2");
  const ahead = new EncryptionAhead(keys);
  ahead.prepare();
  await assert.rejects(collect(ahead.encrypt(Buffer.from("x"))), {
    code: "program-failed",
    message: /no entropy/,
  });
});
