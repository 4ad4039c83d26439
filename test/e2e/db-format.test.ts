import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { mustBeProven, rowsToRestore } from "../support/restored.ts";
import { rowCounts } from "../support/row-counts.ts";
import { smallDisk } from "../support/small-disk.ts";
import { eventsOf, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A dump in PostgreSQL's own format: opened by hand with plain programs, and by restore over several connections.

const DUMP = "customer_db_export.dump.gz.gpg";

let old: OldServer;
let bundle: string;
let key: string[];
let expectedRows: ReadonlyMap<string, number>;
let places = 0;

before(async () => {
  old = await makeOldServer({ stopped: true });
  bundle = join(temporaryFolder("custom"), "bundle");
  key = ["--passphrase-file", `${bundle}.passphrase`];
  expectedRows = await rowsToRestore(old.cluster);
  await synliftWell([...exportTo(old, bundle), "--db-format", "custom"]);
});

after(async () => {
  await old.server.stop();
  await old.cluster.stop();
});

const newPlace = async () => makeNewPlace(old.cluster, `new${++places}`, await freePort());
const restore = (place: NewPlace, ...more: string[]) => [
  ...["restore", bundle, ...key, ...place.restoreArgs, "--json"],
  ...more,
];
const dumpFolder = (place: NewPlace) => `${place.mediaDir}.spool.clear`;
const notes = (ran: Parameters<typeof eventsOf>[0]) => JSON.stringify(eventsOf(ran));

/** The same rows, every gate, as many indexes and constraints as at the source, and no unencrypted dump. */
async function mustBeRestored(place: NewPlace): Promise<void> {
  await mustBeProven(old.cluster, place, { rows: expectedRows, key });
  const count = (what: string, database: string) => old.cluster.sql(database, `select count(*) from ${what}`);
  for (const what of ["pg_indexes where schemaname = 'public'", "pg_constraint", "pg_trigger", "pg_proc"])
    assert.equal(await count(what, place.database), await count(what, "old"), what);
  assert.equal(existsSync(dumpFolder(place)), false, "the unencrypted dump is gone");
}

test("the bundle says what it holds, verify proves it, and plain programs open it as OPENING.txt says", async () => {
  const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf8")) as {
    version: number;
    artifacts: { name: string; format: string }[];
  };
  assert.equal(manifest.version, 2);
  assert.equal(manifest.artifacts.find(({ name }) => name === DUMP)?.format, "pg-custom");
  const verified = resultOf(await synliftWell(["verify", bundle, ...key, "--json"]));
  assert.ok(
    verified.findings.every(({ level }) => level === "ok"),
    JSON.stringify(verified.findings),
  );

  const opening = readFileSync(join(bundle, "OPENING.txt"), "utf8");
  const commands = opening.slice(opening.indexOf("umask 077"), opening.indexOf(". What was counted"));
  const { socketFolder, port } = old.cluster.address;
  const script = commands
    .split("\n")
    .filter((line) => line.startsWith("  "))
    .filter((line) => !line.includes("tar -xzf"))
    .join("\n")
    .replace("createdb", `createdb -h ${socketFolder} -p ${port} -U postgres`)
    .replaceAll("-h 127.0.0.1 -U OWNER", `-h ${socketFolder} -p ${port} -U postgres`)
    .replaceAll("-d NAME", "-d by_hand")
    .replace("--owner=OWNER NAME", "--owner=old by_hand")
    .replaceAll("--passphrase-file P", `--pinentry-mode loopback --passphrase-file ${key[1]!}`);
  execFileSync("bash", ["-c", `set -euo pipefail; ${script}`], {
    cwd: bundle,
    env: {
      ...process.env,
      PATH: `${old.cluster.programs}:${process.env["PATH"]!}`,
      GNUPGHOME: temporaryFolder("gpg"),
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  assert.deepEqual(await rowCounts(old.cluster, "by_hand"), expectedRows);
  assert.ok(!readdirSync(bundle).includes("NAME.dump"));
});

test("restore loads it over two connections, and a second run has nothing to do", async () => {
  const place = await newPlace();
  await synliftWell(restore(place, "--jobs", "2"));
  await mustBeRestored(place);
  assert.match(notes(await synliftWell(restore(place))), /already done/);
});

test("a restore killed while pg_restore works is found to be incomplete, emptied when that is allowed, and restored again", async () => {
  const place = await newPlace();
  await killHalfWay(place);
  assert.ok(existsSync(join(dumpFolder(place), "database.dump")), "it was killed while the dump was there");
  assert.equal((await synlift(["open", ...place.openArgs, ...key])).code, 23);

  const asked = await synlift(restore(place));
  assert.equal(asked.code, 40, asked.stderr);
  assert.match(notes(asked), /left the database .* partly restored.*--yes/);
  const again = await synliftWell(restore(place, "--yes"));
  assert.match(notes(again), /the unencrypted dump in .*, which an interrupted run had left, was removed/);
  assert.match(notes(again), /it is emptied and restored again/);
  await mustBeRestored(place);
});

/** As soon as there are some tables, and not all of their indexes. */
async function killHalfWay(place: NewPlace): Promise<void> {
  let killed = false;
  const ran = synlift(restore(place), {
    started: (child) =>
      void (async () => {
        while ((await tablesIn(place).catch(() => 0)) < 20)
          await new Promise((resolve) => setTimeout(resolve, 20));
        killed = child.kill("SIGKILL");
      })(),
  });
  assert.equal((await ran).signal, "SIGKILL", (await ran).stderr);
  assert.ok(killed);
}

const tablesIn = async (place: NewPlace) =>
  Number(await old.cluster.sql(place.database, "select count(*) from pg_tables where schemaname = 'public'"));

test("a partly restored database with a table that is not from the bundle is not emptied", async () => {
  const place = await newPlace();
  await killHalfWay(place);
  await old.cluster.sql(place.database, "create table of_mine ()");
  const ran = await synlift(restore(place, "--yes"));
  assert.equal(ran.code, 40, ran.stderr);
  assert.match(notes(ran), /tables that are not in the bundle: public\.of_mine/);
  assert.equal(await old.cluster.sql(place.database, "select count(*) from of_mine"), "0");
});

test("a database that was restored again since, by another command, and is used, is not emptied", async () => {
  const place = await newPlace();
  await killHalfWay(place);
  await old.cluster.sql("postgres", `drop database ${place.database} with (force)`);
  const elsewhere = join(temporaryFolder("elsewhere"), "config");
  const other = restore(place).map((arg) => (arg === place.configDir ? elsewhere : arg));
  await synliftWell([...other, "--spool", join(temporaryFolder("spool"), "dump")]);
  await old.cluster.sql(place.database, "update users set admin = 1 - admin");
  await old.cluster.sql(place.database, "insert into users (name) values ('@since:example.org')");
  const ran = await synlift(restore(place, "--yes"));
  assert.equal(ran.code, 40, ran.stderr);
  assert.match(notes(ran), /its mark is missing among the \d+ tables/);
  const since = "select count(*) from users where name = '@since:example.org'";
  assert.equal(await old.cluster.sql(place.database, since), "1");
});

test("a run that was stopped after its last statement, before it could record it, is not repeated", async () => {
  const place = await newPlace();
  await synliftWell(restore(place));
  const path = join(place.configDir, ".synlift", "journal.json");
  const journal = JSON.parse(readFileSync(path, "utf8")) as {
    facts: Record<string, string>;
    steps: Record<string, unknown>;
  };
  journal.facts["filling"] = `half ${journal.facts["filling"]!} synlift_half_filled_${"0".repeat(32)}`;
  delete journal.steps["restore/database"];
  writeFileSync(path, JSON.stringify(journal));
  await old.cluster.sql(place.database, "create view of_mine as select 1");
  await synliftWell(restore(place));
  assert.equal(await old.cluster.sql(place.database, "select count(*) from of_mine"), "1");
  await mustBeRestored(place);
});

test("a flipped byte is found before anything is changed", async () => {
  const place = await newPlace();
  const path = join(bundle, DUMP);
  const bytes = readFileSync(path);
  const damaged = Buffer.from(bytes);
  damaged[damaged.length >> 1]! ^= 1;
  writeFileSync(path, damaged);
  try {
    const ran = await synlift(restore(place));
    assert.equal(ran.code, 20, ran.stderr);
    assert.ok(!existsSync(place.configDir));
  } finally {
    writeFileSync(path, bytes);
  }
});

test("without disk space for the unencrypted dump nothing is changed", async (t) => {
  const place = await newPlace();
  const spool = join(await smallDisk(t, "64k"), "spool");
  const ran = await synlift(restore(place, "--spool", spool));
  assert.equal(ran.code, 33, ran.stderr);
  assert.match(notes(ran), /free, but the decrypted dump needs/);
  assert.ok(!existsSync(place.configDir));
});

test("asked for in the other format, the database is packed again and the first artifact is removed", async () => {
  await synliftWell(exportTo(old, bundle));
  assert.ok(!readdirSync(bundle).includes(DUMP));
  assert.equal(
    (JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf8")) as { version: number }).version,
    1,
  );
  await synliftWell([...exportTo(old, bundle), "--db-format", "custom"]);
  assert.ok(!readdirSync(bundle).includes("customer_db_export.sql.gz.gpg"));
});
