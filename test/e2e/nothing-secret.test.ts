import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { DATABASE_PASSWORD, exportTo, makeOldServer, type OldServer } from "../support/old-server.ts";
import { filesBelow, watchProcesses } from "../support/secrets.ts";
import { synlift, synliftWell } from "../support/synlift.ts";

// Nothing secret outside the encryption, while an export runs and after it; what it makes opens with plain programs;
// and a passphrase that is none is refused before anything is written.

const PASSPHRASE = "a passphrase that nobody else uses";

let old: OldServer;
let work: string;
let secrets: Record<string, string>;

before(async () => {
  old = await makeOldServer({ stopped: true });
  work = temporaryFolder("secret");
  const settings = readFileSync(old.home.configFile, "utf8");
  secrets = {
    passphrase: PASSPHRASE,
    "the database's password": DATABASE_PASSWORD.slice(0, 12),
    "the signing key": readFileSync(old.home.signingKeyPath, "utf8").trim().split(" ")[2]!,
    "the registration secret": old.home.registrationSharedSecret,
    "the macaroon secret": /macaroon_secret_key: *["']?([^"'\n]+)/.exec(settings)![1]!,
  };
});

after(() => old.cluster.stop());

function passphraseFile(name: string, content: string): string {
  const path = join(work, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

/** What lies in plain sight while it runs: environments of all processes, and every file in these folders. */
function watchPlaces(folders: readonly string[]): { stop(): Map<string, string> } {
  const seen = new Map<string, string>();
  const look = () => {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) keep(`/proc/${pid}/environ`);
    for (const folder of folders) for (const path of below(folder)) keep(path);
  };
  const keep = (path: string) => {
    try {
      // A named pipe would give us what others are to read.
      if (!lstatSync(path).isFile()) return;
      // The programs of PostgreSQL are given the database's password, and need it.
      const text = readFileSync(path, "latin1").replace(/^PGPASSWORD=[^\0]*|\0PGPASSWORD=[^\0]*/g, "");
      if (seen.get(path)?.includes(text) !== true) seen.set(path, (seen.get(path) ?? "") + text);
    } catch {
      // Gone in between.
    }
  };
  const timer = setInterval(look, 25);
  return {
    stop() {
      look();
      clearInterval(timer);
      return seen;
    },
  };
}

function below(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  } catch {
    // A folder in it went while it was listed.
    return [];
  }
}

test("no secret and nothing plain is seen in arguments, environments, temporary files or the bundle's folder", async () => {
  const [out, temporary] = [join(work, "bundle"), join(work, "temporary")];
  for (const folder of [out, temporary]) mkdirSync(folder, { mode: 0o700 });
  const [processes, places] = [watchProcesses(), watchPlaces([out, temporary])];
  const key = ["--passphrase-file", passphraseFile("passphrase", `${PASSPHRASE}\n`)];
  const ran = await synliftWell([...exportTo(old, out), ...key, "--split", "20k"], {
    env: { TMPDIR: temporary },
  });
  const seen = places.stop();
  seen.set("arguments", processes.stop().join("\n"));
  seen.set("what it said", ran.stdout + ran.stderr);
  assert.ok([...seen.keys()].some((path) => path.endsWith("manifest.json")));
  assert.ok([...seen.keys()].some((path) => path.startsWith("/proc/")));
  const plain = { "the dump": "PostgreSQL database dump", "a table": "CREATE TABLE public.events" };
  for (const [path, text] of seen)
    for (const [name, secret] of Object.entries({ ...secrets, ...plain })) {
      // OPENING.txt and the journal name things; only their content is secret.
      if (name in plain && !path.startsWith(work)) continue;
      assert.ok(!text.includes(secret), `${name} in ${path}`);
    }
  assert.deepEqual(filesBelow(temporary), [], "nothing is left behind");
});

test("the guide's commands open every artifact from its parts", () => {
  const home = temporaryFolder("gpg");
  chmodSync(home, 0o700);
  const file = passphraseFile("passphrase", `${PASSPHRASE}\n`);
  const opened = (artifact: string, then: string) => {
    const parts = `cat ${join(work, "bundle", artifact)}.part-*`;
    const gpg = `gpg --homedir ${home} -q --batch --pinentry-mode loopback --passphrase-file ${file} -d`;
    const script = `set -o pipefail; ${parts} | ${gpg} | gunzip | ${then}`;
    return execFileSync("bash", ["-c", script], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  };
  const dump = opened("customer_db_export.sql.gz.gpg", "cat");
  assert.match(dump, /CREATE TABLE public\.events/);
  assert.match(dump.slice(-400), /PostgreSQL database dump complete/);
  const media = opened("customer_backup_media_export.tar.gz.gpg", "tar -t").split("\n");
  assert.ok(media.filter((name) => name.startsWith("local_content/")).length >= old.people.media.length);
  assert.match(opened("customer_config_export.tar.gz.gpg", "tar -t"), /homeserver\.yaml/);
});

for (const [name, content, says] of [
  ["of no bytes", "", /is empty/],
  ["with a line break in it", "two\nlines\n", /more than one line/],
] as const) {
  test(`a passphrase file ${name} is refused before anything is written`, async () => {
    const out = join(work, "refused");
    const ran = await synlift([...exportTo(old, out), "--passphrase-file", passphraseFile("bad", content)]);
    assert.ok(ran.code !== 0 && ran.code !== 1, ran.stderr);
    assert.match(ran.stderr, says);
    assert.throws(() => readdirSync(out), { code: "ENOENT" });
  });
}
