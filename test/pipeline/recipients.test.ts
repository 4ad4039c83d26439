import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { decryptWith, type EncryptionKeys, encryptWith } from "../../src/pipeline/encrypt.ts";
import { gpgWithHome } from "../../src/system/gpg/home.ts";
import { chunked, collect, flipped, noise } from "../support/bytes.ts";
import { KeyHome } from "../support/gpg-keys.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, programsBefore, programsWith, QUICK_GPG } from "../support/real-world.ts";

const first = new KeyHome();
const second = new KeyHome();
const stranger = new KeyHome();
const recipients = [first.make("first"), second.make("second")];
stranger.make("stranger");
after(() => {
  for (const home of [first, second, stranger]) home.close();
});

const working = await taking(lockWith("a working passphrase"));

/** The same lock, for our two recipients. */
async function taking(lock: EncryptionKeys): Promise<EncryptionKeys> {
  for (const path of [first.publicKey("first"), second.publicKey("second")])
    await collect(lock.gpg(["--import"], undefined, chunked(readFileSync(path))));
  return { ...lock, recipients };
}

const opening = (home: KeyHome, passphrase?: string): EncryptionKeys => ({
  gpg: gpgWithHome(home.folder, programsWith()),
  passphrase,
});

test("what is closed for two recipients each opens alone, and so does the working passphrase, whatever it is", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 100_000 }), async (content) => {
      const sealed = await collect(encryptWith(working)(chunked(content)));
      for (const lock of [opening(first), opening(second), working, lockWith("a working passphrase")])
        assert.deepEqual(await collect(decryptWith(lock)(chunked(sealed))), Buffer.from(content));
    }),
    { numRuns: 3 },
  );
});

test("without a secret key and without the working passphrase it stays closed", async () => {
  const sealed = await collect(encryptWith(working)(chunked("secret")));
  await assert.rejects(collect(decryptWith(lockWith("another"))(chunked(sealed))), {
    code: "passphrase-wrong",
  });
  await assert.rejects(collect(decryptWith(opening(stranger, "another"))(chunked(sealed))), {
    code: "secret-key-unusable",
  });
});

test("it is one message, of AES-256 and with integrity protection, that plain gpg opens with the secret key", async () => {
  const path = join(temporaryFolder("recipients"), "message.gpg");
  writeFileSync(path, await collect(encryptWith(working)(chunked("for two\n"))));
  const args = ["--homedir", first.folder, "--batch", "--no-tty"];
  assert.equal(spawnSync("gpg", [...args, "-d", path], { encoding: "utf8" }).stdout, "for two\n");
  const { stdout } = spawnSync("gpg", [...args, "--list-packets", path], { encoding: "utf8" });
  assert.equal(stdout.match(/^:pubkey enc packet/gm)?.length, 2);
  assert.match(stdout, /^:symkey enc packet: version 4, cipher 9, aead 0,\s*s2k 3, hash 10/m);
  assert.match(stdout, /^\tmdc_method: 2/m);
});

test("flipped bytes are an error for the secret key, too, and no word against the key", async () => {
  const sealed = await collect(encryptWith(working)(chunked(noise(300_000))));
  for (const at of [200_000, sealed.length - 10]) {
    await assert.rejects(
      collect(decryptWith(opening(first))(chunked(flipped(sealed, at)))),
      { code: "program-failed", message: /^gpg failed with exit code 2/ },
      `byte ${at}`,
    );
  }
});

test("a secret key with a passphrase opens with it, and a wrong one says so", async () => {
  const locked = new KeyHome();
  try {
    const fingerprint = locked.make("locked", { passphrase: "the key's own" });
    // What the agent remembers from making the key must not help.
    locked.close();
    const lock = lockWith("w", programsBefore({ gpg: QUICK_GPG }));
    await collect(lock.gpg(["--import"], undefined, chunked(readFileSync(locked.publicKey("locked")))));
    const sealed = await collect(encryptWith({ ...lock, recipients: [fingerprint] })(chunked("well")));
    await assert.rejects(collect(decryptWith(opening(locked, "wrong"))(chunked(sealed))), {
      code: "secret-key-unusable",
      hint: /--passphrase-file/,
    });
    await assert.rejects(collect(decryptWith(opening(locked))(chunked(sealed))), {
      code: "secret-key-unusable",
    });
    const opened = await collect(decryptWith(opening(locked, "the key's own"))(chunked(sealed)));
    assert.equal(opened.toString(), "well");
  } finally {
    locked.close();
  }
});
