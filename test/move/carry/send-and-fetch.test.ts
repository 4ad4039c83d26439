import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { MigrationError } from "../../../src/errors.ts";
import { fetchBundle } from "../../../src/move/carry/fetch.ts";
import { sendFindings } from "../../../src/move/carry/result-text.ts";
import { sendBundle } from "../../../src/move/carry/send.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { noProgress } from "../../../src/system/progress.ts";
import { folderDestination } from "../../../src/transfer/folder-store.ts";
import { unlimited } from "../../../src/transfer/pace.ts";
import type { Destination, Remote } from "../../../src/transfer/remote.ts";
import { flipped } from "../../support/bytes.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { lockWith, programsWith } from "../../support/real-world.ts";
import { makeSmallBundle } from "../../support/small-bundle.ts";

const system = {
  files: realFiles,
  programs: programsWith(),
  machine: machineWith(),
  signal: new AbortController().signal,
};
const persistence = { parallel: 2, silence: 60, attempts: 2 };
const to = (folder: string) => folderDestination(folder, system, unlimited);

let made: string;
before(async () => {
  made = temporaryFolder("made");
  await makeSmallBundle({ folder: made, lock: lockWith(), partSize: 20_000, mediaSize: 150_000 });
});

/** A bundle of its own, and a place to send it to. */
function fresh() {
  const base = temporaryFolder("carry");
  const folder = join(base, "bundle");
  cpSync(made, folder, { recursive: true });
  return { folder, there: join(base, "there") };
}

const send = (
  folder: string,
  destination: Destination | string,
  { check = false, dryRun = false, progress = noProgress } = {},
) =>
  sendBundle(
    {
      folder,
      destination: typeof destination === "string" ? to(destination) : destination,
      persistence,
      check,
      dryRun,
    },
    system,
    progress,
  );

const fetchTo = (there: string, folder: string, dryRun = false) =>
  fetchBundle({ source: to(there), folder, persistence, dryRun }, system, noProgress);

/** A destination whose calls a test watches, and fails. */
function watched(folder: string, hooks: { put?: (name: string) => void; proved?: string[] }): Destination {
  const { open } = to(folder);
  return {
    address: folder,
    open: async (signal, options) => {
      const remote: Remote = await open(signal, options);
      return {
        ...remote,
        put: (file, attempt) => {
          hooks.put?.(file.name);
          return remote.put(file, {
            ...attempt,
            checked: (bytes) => {
              hooks.proved?.push(file.name);
              attempt.checked(bytes);
            },
          });
        },
      };
    },
  };
}

const contentsOf = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder)
      .filter((name) => !/^(sent|fetched)\.json$|^lock/.test(name))
      .map((name) => [name, readFileSync(join(folder, name)).toString("base64")]),
  );

test("a bundle arrives whole, the manifest last, and a second run finds nothing to do and reads nothing", async () => {
  const { folder, there } = fresh();
  const order: string[] = [];
  const first = await send(folder, watched(there, { put: (name) => order.push(name) }));
  assert.deepEqual(contentsOf(there), contentsOf(folder));
  assert.equal(order.at(-1), "manifest.json");
  assert.equal(first.due.length, order.length);
  assert.match(sendFindings(first)[0]!.sentence, /^all \d+ files of the bundle, .* compared there$/);
  assert.deepEqual(first.proofs, { "read-back": order.length });

  const proved: string[] = [];
  const again = await send(folder, watched(there, { put: (name) => order.push(name), proved }));
  assert.deepEqual([again.due.length, proved], [0, []]);
  assert.deepEqual(again.proofs, first.proofs, "what earlier runs proved is told too");
});

test("interrupted between parts it goes on behind the last one, and compares none of them again", async () => {
  const { folder, there } = fresh();
  let puts = 0;
  const stop = () => {
    puts += 1;
    if (puts > 5) throw new MigrationError("permission-denied", "stopped by the test");
  };
  await assert.rejects(send(folder, watched(there, { put: stop })), { code: "permission-denied" });
  assert.equal(existsSync(join(there, "manifest.json")), false, "without the manifest it is no bundle");
  const done = readdirSync(there).filter((name) => !name.startsWith("."));
  const order: string[] = [];
  await send(folder, watched(there, { put: (name) => order.push(name) }));
  for (const name of done) assert.equal(order.includes(name), false, `${name} was there already`);
  assert.deepEqual(contentsOf(there), contentsOf(folder));
});

test("without receipts what is there is compared, and not sent again", async () => {
  const { folder, there } = fresh();
  await send(folder, there);
  rmSync(join(folder, "sent.json"));
  let sent = 0;
  const progress = { ...noProgress, advance: (id: string) => void (sent += id === "send" ? 0 : 1) };
  const before = statSync(join(there, "inventory.json.gpg")).mtimeMs;
  await send(folder, there, { progress });
  assert.ok(sent > 0, "checks are shown");
  assert.equal(statSync(join(there, "inventory.json.gpg")).mtimeMs, before);
  writeFileSync(join(folder, "sent.json"), "{ damaged");
  await send(folder, there);
});

test("a byte that flipped over there is found with --check, and by a fetch", async () => {
  const { folder, there } = fresh();
  await send(folder, there);
  const name = readdirSync(there).find((one) => one.endsWith(".part-ab"))!;
  const path = join(there, name);
  const good = readFileSync(path);
  writeFileSync(path, flipped(good, 11));
  const fetched = join(temporaryFolder("carry"), "fetched");
  await assert.rejects(fetchTo(there, fetched), (error: MigrationError) => {
    return error.code === "bundle-damaged" && error.message.includes(name);
  });
  assert.equal(existsSync(join(fetched, "manifest.json")), false);
  assert.equal((await send(folder, there)).due.length, 0, "a receipt says that it was intact");
  await send(folder, there, { check: true });
  assert.ok(readFileSync(path).equals(good));
  await fetchTo(there, fetched);
  assert.deepEqual(contentsOf(fetched), contentsOf(folder));
});

test("a part that changed here stops the send with its path, and no manifest is sent", async () => {
  const { folder, there } = fresh();
  const path = join(
    folder,
    readdirSync(folder).find((one) => one.endsWith(".part-ac"))!,
  );
  writeFileSync(path, flipped(readFileSync(path), 3));
  await assert.rejects(send(folder, there), (error: MigrationError) => {
    return error.code === "bundle-damaged" && error.message.includes(path);
  });
  assert.equal(existsSync(join(there, "manifest.json")), false);
});

test("another bundle there is left alone, and an older seal of the same one is no bundle while it is replaced", async () => {
  const { folder, there } = fresh();
  await send(folder, there);
  const manifest = join(there, "manifest.json");
  const text = readFileSync(manifest, "utf8");
  const { id } = JSON.parse(text) as { id: string };
  writeFileSync(manifest, text.replaceAll(id, `${id}-other`));
  await assert.rejects(send(folder, there), {
    code: "bundle-mismatch",
    message: /already has another bundle/,
  });
  writeFileSync(manifest, text.replace(/"program": ".*"/, '"program": "synlift 0.0.1"'));
  let present: boolean | undefined;
  await send(folder, watched(there, { put: () => (present ??= existsSync(manifest)) }), { check: true });
  assert.equal(present, false);
  assert.equal(readFileSync(manifest, "utf8"), text);
});

test("a dry run sends and makes nothing, and says how much is left", async () => {
  const { folder, there } = fresh();
  const all = await send(folder, there, { dryRun: true });
  assert.equal(all.due.length, all.files);
  assert.equal(existsSync(there), false);
  await send(folder, there);
  assert.equal((await send(folder, there, { dryRun: true })).due.length, 0);
});

test("a folder that has parts of another split is named, as cat would take them", async () => {
  const { folder, there } = fresh();
  await send(folder, there);
  writeFileSync(join(there, "customer_db_export.sql.gz.gpg.part-zz"), "old");
  const { findings } = await send(folder, there);
  assert.deepEqual(
    findings.map(({ id, level }) => [id, level]),
    [["part-unexpected", "warning"]],
  );
});

test("a fetch goes on where it stopped, refuses other folders and bundles, and an incomplete bundle", async () => {
  const { folder, there } = fresh();
  await send(folder, there);
  const out = join(temporaryFolder("carry"), "out");
  const broken = join(there, "inventory.json.gpg");
  const good = readFileSync(broken);
  writeFileSync(broken, flipped(good, 1));
  await assert.rejects(fetchTo(there, out), { code: "bundle-damaged" });
  writeFileSync(broken, good);
  const rest = await fetchTo(there, out);
  assert.ok(rest.due.length < rest.files, "what was fetched before is not fetched again");
  assert.deepEqual(contentsOf(out), contentsOf(folder));
  assert.equal(statSync(out).mode & 0o777, 0o700);
  assert.equal((await fetchTo(there, out)).due.length, 0);

  const full = temporaryFolder("carry");
  writeFileSync(join(full, "precious"), "");
  await assert.rejects(fetchTo(there, full), { code: "target-not-empty" });
  const other = fresh();
  const manifest = join(other.folder, "manifest.json");
  const text = readFileSync(manifest, "utf8");
  const { id } = JSON.parse(text) as { id: string };
  writeFileSync(manifest, text.replaceAll(id, `${id}-other`));
  await send(other.folder, other.there);
  await assert.rejects(fetchTo(other.there, out), { code: "bundle-mismatch" });
  rmSync(join(there, "manifest.json"));
  await assert.rejects(fetchTo(there, join(full, "new")), { code: "bundle-incomplete" });
  assert.equal(existsSync(join(full, "new")), false);
});

test("a manifest from over there cannot make a fetch write anywhere else", async () => {
  const { folder, there } = fresh();
  await send(folder, there);
  const path = join(there, "manifest.json");
  const text = readFileSync(path, "utf8");
  for (const name of ["../../escaped", "/tmp/escaped", ".ssh", "a/b"]) {
    writeFileSync(path, text.replace('"inventory.json.gpg"', JSON.stringify(name)));
    await assert.rejects(
      fetchTo(there, join(temporaryFolder("carry"), "out")),
      { code: "bundle-damaged" },
      name,
    );
  }
});

test("two runs that send one bundle are one too many", async () => {
  const { folder, there } = fresh();
  let second: Promise<unknown> | undefined;
  const destination = watched(there, {
    put: () => {
      second ??= assert.rejects(send(folder, there), { code: "bundle-in-use" });
    },
  });
  await send(folder, destination);
  await second;
});
