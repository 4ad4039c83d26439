// Made test/vectors/v1/recipient, once, with a key of its own: node test/vectors/make-recipient.ts. It refuses to run again.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { generatePassphrase } from "../../src/bundle/passphrase.ts";
import { chunked, collect } from "../support/bytes.ts";
import { machineWith } from "../support/fake-machine.ts";
import { KeyHome } from "../support/gpg-keys.ts";
import { lockWith, programsWith } from "../support/real-world.ts";
import { makeSmallBundle } from "../support/small-bundle.ts";

const folder = fileURLToPath(new URL("v1/recipient/", import.meta.url));
if (existsSync(folder)) throw new Error(`${folder} is there already: a vector is never made again`);

process.umask(0o022);
const bundle = join(folder, "bundle");
const secretKey = "secret-key-for-tests-only.asc";
mkdirSync(bundle, { recursive: true });
const keys = new KeyHome();
try {
  const recipients = [keys.make("for-tests-only")];
  copyFileSync(keys.secretKey("for-tests-only"), join(folder, secretKey));
  // A working passphrase that nobody keeps.
  const machine = machineWith();
  const lock = lockWith(
    generatePassphrase((bytes) => machine.random(bytes)),
    programsWith(),
  );
  const publicKey = readFileSync(keys.publicKey("for-tests-only"));
  await collect(lock.gpg(["--import"], undefined, chunked(publicKey)));
  await makeSmallBundle({ folder: bundle, lock: { ...lock, recipients }, partSize: 900, mediaSize: 700 });
} finally {
  keys.close();
}
writeFileSync(join(folder, "expected.json"), `${JSON.stringify({ code: null, secretKey }, null, 2)}\n`);
