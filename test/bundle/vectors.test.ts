import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertUndamaged, verifyContents, verifyManifest, verifyParts } from "../../src/bundle/verify.ts";
import { MigrationError } from "../../src/errors.ts";
import { databaseSectionSchema } from "../../src/homeserver/database/section.ts";
import { restoreSqlite } from "../../src/homeserver/database/sqlite/restore.ts";
import type { EncryptionKeys } from "../../src/pipeline/encrypt.ts";
import type { Finding } from "../../src/report/finding.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { gpgWithHome } from "../../src/system/gpg/home.ts";
import { noProgress } from "../../src/system/progress.ts";
import { realSqlite } from "../../src/system/sqlite/sqlite.ts";
import { collect } from "../support/bytes.ts";
import { KeyHome } from "../support/gpg-keys.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { rowsIn } from "../support/old-sqlite.ts";
import { lockWith, programsWith } from "../support/real-world.ts";
import { DUMP, openBundle } from "../support/small-bundle.ts";

const ROOT = fileURLToPath(new URL("../vectors/", import.meta.url));
const VECTORS = join(ROOT, "v1");
const withPassphrase = lockWith("these vectors must open for ever");
const names = ["v1", "v2"].flatMap((version) =>
  existsSync(join(ROOT, version)) ? readdirSync(join(ROOT, version)).map((name) => join(version, name)) : [],
);

interface Expected {
  readonly code: string | null;
  readonly finding?: string;
  /** A file beside it with the secret key that opens it, where no passphrase does. */
  readonly secretKey?: string;
}

const keys = new KeyHome();
after(() => {
  keys.close();
});

/** Everything that can be looked at with the key, as verify does it. */
async function lookAtAll(folder: string, secretKey: string | undefined): Promise<Finding[]> {
  const bundle = await openBundle(folder);
  const lock = secretKey === undefined ? withPassphrase : withSecretKey(join(folder, "..", secretKey));
  const findings = await verifyParts(bundle, realFiles, noProgress);
  const inventory = await bundle.inventory(lock);
  findings.push(...verifyManifest(bundle, inventory));
  if (findings.every(({ level }) => level === "ok"))
    findings.push(...(await verifyContents(bundle, inventory, lock, noProgress)));
  return findings;
}

function withSecretKey(path: string): EncryptionKeys {
  keys.take(path);
  return { gpg: gpgWithHome(keys.folder, programsWith()), passphrase: undefined };
}

test("there are bundles to be held against", () => {
  assert.ok(names.length >= 10, `only ${names.length} in ${ROOT}`);
  for (const name of ["v1/good", "v1/recipient", "v1/sqlite", "v2/custom"])
    assert.ok(names.includes(name), name);
});

for (const name of names) {
  const { code, finding, secretKey } = JSON.parse(
    readFileSync(join(ROOT, name, "expected.json"), "utf8"),
  ) as Expected;
  test(`the bundle "${name}" ${code === null ? "opens" : `is refused with ${code}`}`, async () => {
    const folder = join(ROOT, name, "bundle");
    let findings: readonly Finding[] = [];
    const outcome = await lookAtAll(folder, secretKey)
      .then((found) => {
        findings = found;
        assertUndamaged(found);
        return null;
      })
      .catch((error: unknown) => {
        assert.ok(error instanceof MigrationError, String(error));
        return error.code;
      });
    assert.equal(outcome, code);
    if (finding !== undefined)
      assert.ok(
        findings.some(({ id, level }) => id === finding && level === "blocker"),
        JSON.stringify(findings),
      );
  });
}

test("what is in the good one is what was packed when it was made", async () => {
  const bundle = await openBundle(join(VECTORS, "good", "bundle"));
  const inventory = await bundle.inventory(withPassphrase);
  assert.equal(bundle.manifest.subject, "example.org");
  assert.deepEqual(inventory.section("database"), { rows: { "public.events": 7 } });
  const dump = bundle.artifact("customer_db_export.sql.gz")!;
  assert.equal((await collect(bundle.decrypted(dump, withPassphrase))).toString(), DUMP);
  assert.equal(bundle.artifact("customer_backup_media_export.tar.gz")!.parts.length, 5);
});

test("the one for a recipient names its key, and opens with nothing else", async () => {
  const bundle = await openBundle(join(VECTORS, "recipient", "bundle"));
  assert.equal(bundle.manifest.recipients?.length, 1);
  await assert.rejects(bundle.inventory(withPassphrase), { code: "passphrase-wrong" });
  const lock = withSecretKey(join(VECTORS, "recipient", "secret-key-for-tests-only.asc"));
  const dump = bundle.artifact("customer_db_export.sql.gz")!;
  assert.equal((await collect(bundle.decrypted(dump, lock))).toString(), DUMP);
});

test("the one of SQLite becomes a file with every row that stays, as its inventory says", async () => {
  const bundle = await openBundle(join(VECTORS, "sqlite", "bundle"));
  const section = databaseSectionSchema.parse((await bundle.inventory(withPassphrase)).section("database"));
  assert.equal(section.engine, "sqlite");
  const path = join(temporaryFolder("sqlite"), "new.db");
  await restoreSqlite(path, bundle.decrypted(bundle.artifact("homeserver.db.tar.gz")!, withPassphrase), {
    ...{ files: realFiles, owner: undefined },
    sqlite: realSqlite(realFiles, new AbortController().signal),
  });
  const expected: Record<string, number> = {
    ...section.rows,
    ...section.staying,
    "main.e2e_one_time_keys_json": 0,
  };
  assert.deepEqual(
    Object.fromEntries([...rowsIn(path)].map(([table, count]) => [`main.${table}`, count])),
    expected,
  );
  assert.deepEqual([expected["main.users"], expected["main.remote_media_cache"]], [2, 1]);
});

test("the one in PostgreSQL's own format is of version 2, and pg_restore finds every table in it", async () => {
  const bundle = await openBundle(join(ROOT, "v2", "custom", "bundle"));
  assert.equal(bundle.manifest.version, 2);
  const section = databaseSectionSchema.parse((await bundle.inventory(withPassphrase)).section("database"));
  assert.equal(section.dumpFormat, "custom");
  const dump = bundle.artifact("customer_db_export.dump.gz")!;
  const path = join(temporaryFolder("custom"), "x.dump");
  writeFileSync(path, await collect(bundle.decrypted(dump, withPassphrase)));
  const listed = execFileSync("pg_restore", ["--list", path], { encoding: "utf8" });
  const tables = [...listed.matchAll(/ TABLE DATA (\S+) (\S+) /g)].map(
    ([, schema, name]) => `${schema!}.${name!}`,
  );
  const packed = Object.keys(section.rows).filter((name) => name !== "public.e2e_one_time_keys_json");
  assert.deepEqual(tables.sort(), packed.sort());
});
