import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  keysForExport,
  removeWorkingPassphrase,
  workingPassphraseFileOf,
} from "../../src/bundle/export-keys.ts";
import { findSealedBundle } from "../../src/bundle/find-sealed.ts";
import { keysForOpening, keysIfGiven } from "../../src/bundle/opening-keys.ts";
import { readRecipients } from "../../src/bundle/recipients.ts";
import { seal } from "../../src/bundle/seal.ts";
import { verifyContents, verifyManifest } from "../../src/bundle/verify.ts";
import { openWorkspace } from "../../src/bundle/workspace.ts";
import { runSteps } from "../../src/journal/run-steps.ts";
import { realFiles as files } from "../../src/system/files/files.ts";
import { ownGpg } from "../../src/system/gpg/gpg.ts";
import { noProgress } from "../../src/system/progress.ts";
import type { System } from "../../src/system/system.ts";
import { chunked, flipped } from "../support/bytes.ts";
import { machineWith } from "../support/fake-machine.ts";
import { KeyHome } from "../support/gpg-keys.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, programsBefore, QUICK_GPG } from "../support/real-world.ts";
import { Recorder } from "../support/recorder.ts";
import { DUMP, DUMP_PLAN, openBundle } from "../support/small-bundle.ts";

const alice = new KeyHome();
const bob = new KeyHome();
const stranger = new KeyHome();
alice.make("alice");
bob.make("bob");
stranger.make("stranger");
const toAlice = [alice.publicKey("alice")];
const toBoth = [...toAlice, bob.publicKey("bob")];
after(() => {
  for (const home of [alice, bob, stranger]) home.close();
});

const machine = machineWith();
const NOTHING = { file: undefined, descriptor: undefined, command: undefined };
const newFolder = () => join(temporaryFolder("out"), "bundle");
const wanted = { subject: "example.org", rehearsal: false };

/** As in life: a process of its own, with a gpg home of its own. */
function newSystem(): System {
  const programs = programsBefore({ gpg: QUICK_GPG });
  const { gpg } = ownGpg(programs, temporaryFolder("gpg-homes"));
  return { files, programs, gpg, machine, terminal: { interactive: false } } as unknown as System;
}

interface Run {
  readonly folder: string;
  readonly to: readonly string[];
  /** Whether it ends before it seals. */
  readonly killed?: boolean;
}

interface Told {
  readonly ran: readonly string[];
  readonly notes: readonly string[];
  readonly remarks: readonly string[];
}

/** A run of export as its command has it; tells which steps ran, and what was said. */
async function run({ folder, to, killed = false }: Run): Promise<Told> {
  const system = newSystem();
  const progress = new Recorder();
  const { fingerprints: recipients } = await readRecipients(to, system);
  const lock = await keysForExport(folder, { source: NOTHING, recipients }, system, progress);
  const place = await openWorkspace({ folder, ...wanted, keys: lock, files, machine, progress });
  const { journal, inventory } = place;
  const ran: string[] = [];
  const told = { ran, notes: progress.notes, remarks: progress.remarks };
  try {
    const step = {
      ...{ id: "export/database", label: "database" },
      inputs: { bundle: inventory.id, recipients: recipients.join(" ") },
      findFault: place.findArtifactFault,
      async run() {
        ran.push("export/database");
        const artifact = await place.writer.add(DUMP_PLAN, chunked(DUMP));
        inventory.setArtifact(artifact);
        await place.save();
        return { parts: artifact.parts };
      },
    };
    const signal = new AbortController().signal;
    await runSteps([step], { journal, progress, signal, now: () => machine.now() });
    if (killed) return told;
    const { subject } = wanted;
    await seal({
      folder,
      inventory,
      keys: lock,
      files,
      subject,
      program: "p",
      outageSince: null,
      afterwards: "",
    });
    await removeWorkingPassphrase(folder, files);
  } finally {
    await place.close();
  }
  return told;
}

async function opens(folder: string, gpgHome: string): Promise<void> {
  const bundle = await openBundle(folder);
  const lock = await keysForOpening(bundle.manifest.recipients, { gpgHome }, newSystem());
  const inventory = await bundle.inventory(lock);
  const findings = [
    ...verifyManifest(bundle, inventory),
    ...(await verifyContents(bundle, inventory, lock, noProgress)),
  ];
  assert.deepEqual(
    findings.map(({ level }) => level),
    ["ok", "ok"],
  );
}

test("while it is made a working passphrase opens it; once sealed, the recipients alone", async () => {
  const folder = newFolder();
  await run({ folder, to: toBoth, killed: true });
  const path = workingPassphraseFileOf(folder);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const working = readFileSync(path, "utf8").trim();
  assert.match(working, /^[A-Za-z0-9]{64}$/);
  for (const name of readdirSync(folder))
    assert.ok(!readFileSync(join(folder, name)).includes(working), `${name} holds it`);

  const { ran, notes } = await run({ folder, to: toBoth });
  assert.deepEqual([...ran, ...notes], []);
  assert.equal(existsSync(path), false);
  for (const home of [alice, bob]) await opens(folder, home.folder);
  const bundle = await openBundle(folder);
  await assert.rejects(bundle.inventory(lockWith("anything else")), { code: "passphrase-wrong" });
});

test("the manifest and the text for opening by hand name the recipients, and the inventory vouches for them", async () => {
  const folder = newFolder();
  await run({ folder, to: toBoth });
  const bundle = await openBundle(folder);
  const expected = [alice.fingerprint("alice"), bob.fingerprint("bob")].sort();
  assert.deepEqual(bundle.manifest.recipients, expected);
  assert.equal(bundle.manifest.version, 1);
  const text = readFileSync(join(folder, "OPENING.txt"), "utf8");
  for (const fingerprint of expected) assert.match(text, new RegExp(`^ {2}${fingerprint}$`, "m"));
  assert.match(text, /^ {2}gpg -d customer_db_export.sql.gz.gpg \| gunzip/m);
  assert.doesNotMatch(text, /passphrase-file/);

  const path = join(folder, "manifest.json");
  writeFileSync(path, readFileSync(path, "utf8").replace(expected[0]!, "A".repeat(40)));
  const forged = await openBundle(folder);
  const lock = await keysForOpening(expected, { gpgHome: alice.folder }, newSystem());
  const [finding] = verifyManifest(forged, await forged.inventory(lock));
  assert.equal(finding!.id, "manifest-mismatch");
  assert.match(finding!.sentence, /differ on recipients$/);
});

test("other recipients than before: everything is packed again, with the reason", async () => {
  const folder = newFolder();
  await run({ folder, to: toBoth, killed: true });
  const { ran, remarks } = await run({ folder, to: toAlice });
  assert.deepEqual(ran, ["export/database"]);
  assert.deepEqual(remarks, ["export/database: running again: the recipients changed since the last run"]);
  await opens(folder, alice.folder);
  await assert.rejects(opens(folder, bob.folder), { code: "secret-key-unusable" });
});

test("after a working passphrase was removed or changed by hand, the export starts over and says so", async () => {
  const folder = newFolder();
  const path = workingPassphraseFileOf(folder);
  const spoilings = [undefined, "hunter2\n", `${"x".repeat(64)}\n`];
  for (const spoiled of spoilings) {
    await run({ folder, to: toAlice, killed: true });
    if (spoiled === undefined) rmSync(path);
    else writeFileSync(path, spoiled);
    const { ran, notes } = await run({ folder, to: toAlice, killed: true });
    assert.deepEqual(ran, ["export/database"]);
    assert.match(
      notes.join(),
      /working passphrase, which no longer exists: all artifacts are written again$/,
    );
  }
  await run({ folder, to: toAlice });
  await opens(folder, alice.folder);
});

test("what is sealed for recipients is left as it is: whole it is done, otherwise refused", async () => {
  const folder = newFolder();
  const recipients = [alice.fingerprint("alice")];
  const look = (more: object = {}) =>
    findSealedBundle({ folder, ...wanted, recipients, ...more }, files, noProgress);
  assert.equal(await look(), undefined);
  await run({ folder, to: toAlice, killed: true });
  assert.equal(await look(), undefined, "not sealed yet");
  await run({ folder, to: toAlice });
  assert.equal((await look())?.bundle.folder, folder);
  for (const more of [{ recipients: [] }, { subject: "b.example" }, { rehearsal: true }])
    await assert.rejects(look(more), {
      code: "bundle-mismatch",
      message: /already contains a sealed bundle/,
    });
  const path = join(folder, "customer_db_export.sql.gz.gpg");
  writeFileSync(path, flipped(readFileSync(path), 100));
  await assert.rejects(look(), { code: "bundle-damaged" });
});

test("a bundle for a passphrase never becomes one for recipients, nor the other way round", async () => {
  const folder = newFolder();
  await run({ folder, to: [], killed: true });
  await assert.rejects(run({ folder, to: toAlice }), {
    code: "bundle-mismatch",
    message: /was started for a passphrase, not for the secret keys of recipients$/,
  });
  assert.equal(existsSync(workingPassphraseFileOf(folder)), false, "nothing is left of the attempt");
  const other = newFolder();
  await run({ folder: other, to: toAlice, killed: true });
  await assert.rejects(run({ folder: other, to: [] }), { code: "bundle-mismatch" });
  assert.equal(existsSync(`${other}.passphrase`), false);
});

test("recipients and a passphrase at once are refused", async () => {
  const given = { source: { ...NOTHING, file: "P" }, recipients: ["A"] };
  await assert.rejects(keysForExport(newFolder(), given, newSystem(), noProgress), {
    code: "bad-usage",
    message: /cannot be combined with a passphrase/,
  });
});

test("who has no key learns whose it takes", async () => {
  const recipients = [alice.fingerprint("alice")];
  const system = newSystem();
  const says = { message: new RegExp(recipients[0]!) };
  assert.equal(await keysIfGiven(recipients, {}, system), undefined);
  await assert.rejects(keysForOpening(recipients, {}, system), {
    code: "bad-usage",
    hint: /--gpg-home/,
    ...says,
  });
  await assert.rejects(keysForOpening(recipients, { command: "echo x" }, system), {
    code: "bad-usage",
    ...says,
  });
  await assert.rejects(keysForOpening(recipients, { gpgHome: stranger.folder }, system), {
    code: "secret-key-unusable",
    ...says,
  });
  await assert.rejects(keysForOpening(recipients, { gpgHome: "/nowhere" }, system), { code: "file-missing" });
  await assert.rejects(keysForOpening(undefined, { gpgHome: alice.folder }, system), {
    code: "bad-usage",
    message: /this bundle is opened with a passphrase/,
  });
});
