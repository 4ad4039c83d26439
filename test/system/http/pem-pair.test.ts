import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MigrationError } from "../../../src/errors.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { readPemPair } from "../../../src/system/http/pem-pair.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { TestAuthority } from "../../support/test-authority.ts";

const folder = temporaryFolder("pem-pair");
const authority = new TestAuthority();
const [own, other] = [authority.sign(["a.example.org"]), authority.sign(["b.example.org"])];
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const certificate = file("fullchain.pem", own.cert + authority.pem);
const key = file("privkey.pem", own.key);
const locked = join(folder, "locked.pem");
execFileSync("openssl", ["pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked], {
  stdio: "pipe",
});

test("a certificate with its chain and its key are a pair", async () => {
  const pair = await readPemPair({ certificate, key }, realFiles);
  assert.equal(pair.certificate, own.cert + authority.pem);
});

const FAULTS: readonly (readonly [string, { certificate: string; key: string }, RegExp])[] = [
  [
    "the key of another certificate",
    { certificate, key: file("other.pem", other.key) },
    /other\.pem is not that of/,
  ],
  ["a key with a passphrase", { certificate, key: locked }, /locked\.pem .* without a passphrase/],
  [
    "the files in the wrong order",
    { certificate: key, key: certificate },
    /privkey\.pem does not begin with a cert/,
  ],
  [
    "a key file without a key",
    { certificate, key: file("empty.pem", "") },
    /empty\.pem contains no private key/,
  ],
  [
    "the authority's certificate before the server's",
    { certificate: file("reversed.pem", authority.pem + own.cert), key },
    /not that of the first certificate in .*reversed\.pem/,
  ],
  [
    "a chain that is damaged",
    {
      certificate: file(
        "damaged.pem",
        `${own.cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
      ),
      key,
    },
    /the chain in .*damaged\.pem/,
  ],
];

for (const [what, paths, words] of FAULTS)
  test(`${what}: the file is named, with what to give instead`, async () => {
    await assert.rejects(readPemPair(paths, realFiles), (error) => {
      assert.ok(error instanceof MigrationError, String(error));
      assert.equal(error.code, "certificate-unusable");
      assert.match(error.message, words);
      assert.ok(error.hint);
      assert.ok(!error.message.includes(own.key.split("\n")[1]!));
      return true;
    });
  });
