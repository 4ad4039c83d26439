import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { KeyHome } from "../support/gpg-keys.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { scriptsIn } from "../support/real-world.ts";
import { rowsToRestore } from "../support/restored.ts";
import { rowCounts } from "../support/row-counts.ts";
import { eventsOf, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A move to somebody who gave their public key. The tests are its steps, in order.

let old: OldServer;
let place: NewPlace;
let work: string;
let bundle: string;
let rows: ReadonlyMap<string, number>;
const provider = new KeyHome();
const stranger = new KeyHome();

before(async () => {
  provider.make("provider", { passphrase: "the key's own" });
  stranger.make("stranger");
  old = await makeOldServer({ stopped: true });
  place = await makeNewPlace(old.cluster, "new", await freePort());
  work = temporaryFolder("recipient");
  bundle = join(work, "bundle");
  rows = await rowsToRestore(old.cluster);
});

after(async () => {
  provider.close();
  stranger.close();
  if (existsSync(join(place.configDir, "homeserver.pid"))) execFileSync("sh", ["-c", place.stopCommand]);
  await old.server.stop();
  await old.cluster.stop();
});

const exported = (out: string, ...more: string[]) => [
  ...exportTo(old, out),
  ...["--already-stopped", "--no-fence", ...more],
];
const working = () => `${bundle}.working-passphrase`;
const WRITE = "write/customer_backup_media_export.tar.gz.gpg";

/** A file with the key's own passphrase, as an administrator gives it. */
function ownPassphrase(): string[] {
  const file = scriptsIn({});
  execFileSync("sh", ["-c", `umask 077; echo "the key's own" > ${file}/P`]);
  return ["--gpg-home", provider.folder, "--passphrase-file", join(file, "P")];
}

test("a key that cannot be used, or a passphrase beside it, ends the export before anything is written", async () => {
  stranger.make("signs", { algorithm: "ed25519", usage: "sign" });
  const refused = await synlift(exported(bundle, "--recipient", stranger.publicKey("signs")));
  assert.equal(refused.code, 52, refused.stderr);
  const key = provider.publicKey("provider");
  const both = await synlift(exported(bundle, "--recipient", key, "--passphrase-command", "echo x"));
  assert.equal(both.code, 2, both.stderr);
  assert.equal(existsSync(bundle), false);
  assert.equal(existsSync(working()), false);
});

test("killed on the way, it goes on without anybody's secret key, and without an agent that answers", async () => {
  const home = provider.folder;
  const args = exported(bundle, "--recipient", provider.fingerprint("provider"));
  // A gpg-agent that hangs when it is started, and one that hangs when it is asked.
  const stuck = scriptsIn({ "gpg-agent": "sleep 1000" });
  const env = { GNUPGHOME: home, PATH: [stuck, process.env["PATH"]].join(delimiter) };
  provider.close();
  const agent = createServer().listen(join(home, "S.gpg-agent"));
  try {
    const killed = await synlift(args, { env, killWhen: (said) => said.includes(`"${WRITE}"`) });
    assert.equal(killed.signal, "SIGKILL", killed.stderr);
    assert.equal(existsSync(working()), true);
    const again = await synliftWell(args, { env });
    const begun = eventsOf(again).flatMap(({ type, id }) => (type === "begin" ? [id] : []));
    assert.ok(!begun.includes("write/customer_db_export.sql.gz.gpg"), "the database is not dumped again");
    const { details, findings } = resultOf(again);
    assert.deepEqual(details["recipients"], [provider.fingerprint("provider")]);
    assert.ok(findings.some(({ id, level }) => id === "recipient" && level === "ok"));
  } finally {
    agent.close();
    rmSync(join(home, "S.gpg-agent"), { force: true });
  }
  assert.equal(existsSync(working()), false, "from here on only the recipient can open it");
  assert.equal(existsSync(`${bundle}.passphrase`), false);
});

test("once more does nothing and says so; for somebody else, or with a passphrase, it is refused", async () => {
  const before = readFileSync(join(bundle, "manifest.json"), "utf8");
  const again = resultOf(await synliftWell(exported(bundle, "--recipient", provider.publicKey("provider"))));
  assert.ok(again.findings.some(({ id }) => id === "already-sealed"));
  for (const args of [["--recipient", stranger.publicKey("stranger")], []])
    assert.equal((await synlift(exported(bundle, ...args))).code, 22);
  assert.equal(readFileSync(join(bundle, "manifest.json"), "utf8"), before);
});

test("who has no key is told whose it takes", async () => {
  const unlocked = resultOf(await synliftWell(["verify", bundle, "--json"]));
  assert.ok(unlocked.findings.some(({ id }) => id === "key-not-given"));
  const ran = await synlift(["restore", bundle, ...place.restoreArgs]);
  assert.equal(ran.code, 2, ran.stderr);
  assert.match(ran.stderr, new RegExp(provider.fingerprint("provider").slice(0, 12)));
  const other = await synlift(["verify", bundle, "--gpg-home", stranger.folder]);
  assert.equal(other.code, 53, other.stderr);
});

test("plain gpg opens it with the secret key, as OPENING.txt says", async () => {
  const [home, P] = [provider.folder, ownPassphrase()[3]!];
  await old.cluster.createDatabase("hand", { owner: "new" });
  const { host, port } = old.cluster.address;
  const gpg = `gpg --homedir ${home} --batch --pinentry-mode loopback --passphrase-file ${P} -d`;
  const psql = `psql -X -q -v ON_ERROR_STOP=1 -h ${host} -p ${port} -U new -d hand`;
  const command = `set -euo pipefail; sha256sum -c --quiet SHA256SUMS; ${gpg} customer_db_export.sql.gz.gpg | gunzip | ${psql}`;
  execFileSync("bash", ["-c", command], {
    cwd: bundle,
    env: { ...process.env, PGPASSWORD: place.password },
    stdio: ["ignore", "ignore", "inherit"],
  });
  assert.deepEqual(await rowCounts(old.cluster, "hand"), rows);
  // Only now, so that the agent knows nothing of the key when synlift asks.
  provider.close();
});

test("verify, restore and open take the home with the secret key, and the server is the old one", async () => {
  const key = ownPassphrase();
  const verified = resultOf(await synliftWell(["verify", bundle, ...key, "--json"]));
  assert.deepEqual(
    verified.findings.flatMap(({ id, level }) => (level === "ok" ? [] : [id])),
    ["origin-unproven"],
  );
  await synliftWell(["restore", bundle, ...key, ...place.restoreArgs, "--json"]);
  const opened = await synliftWell([
    ...["open", ...place.openArgs, ...key, "--json"],
    ...["--start-command", place.startCommand, "--stop-command", place.stopCommand],
  ]);
  assert.equal(resultOf(opened).details["opened"], true);
  const bob = old.people.bob.at(place.url);
  for (const room of Object.values(old.people.rooms))
    assert.deepEqual(await bob.messages(room.id), room.messages);
});
