import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ownSearchPath } from "../../../src/homeserver/database/fill/search-path.ts";
import { restoreDatabase } from "../../../src/homeserver/database/restore.ts";
import { verifyDatabase } from "../../../src/homeserver/database/verify.ts";
import type { Bytes } from "../../../src/pipeline/transform.ts";
import type { PostgresAddress } from "../../../src/system/postgres/postgres.ts";
import { installHint } from "../../../src/system/programs/packages.ts";
import { breaksAfter, BROKEN, chunked, collect, cut } from "../../support/bytes.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { addressIn, makeMiniSynapse, relationsIn } from "../../support/mini-synapse.ts";
import { lock, pack, type Packed, postgres, programs } from "../../support/moved-database.ts";
import { lockWith, programsBefore, scriptsIn } from "../../support/real-world.ts";

let cluster: PostgresCluster;
let packed: Packed;
let sql: string;
let target: PostgresAddress;

before(async () => {
  // Nothing of a row is shown, whatever language the server quotes it in.
  cluster = await PostgresCluster.start({ language: "de_DE" });
  packed = await pack(await makeMiniSynapse(cluster, "old"));
  sql = (await collect(packed.bundle.decrypted(packed.artifact, lock))).toString();
  await cluster.createDatabase("target", { owner: "mover" });
  target = addressIn(cluster, "target");
});
after(() => cluster.stop());

interface How {
  readonly psql?: string;
  /** Null for a psql that cannot be restricted. */
  readonly restrictKey?: string | null;
}

const restored = (dump: Bytes, { psql = "psql", restrictKey = "Key1" }: How = {}) =>
  restoreDatabase(target, dump, { programs, psql, restrictKey: restrictKey ?? undefined });

/** Restores what must fail, and looks that nothing of it is there. */
async function refused(dump: Bytes, error: object, how: How = {}): Promise<void> {
  await assert.rejects(restored(dump, how), error);
  assert.equal(await relationsIn(cluster, "target"), 0, "the target is as empty as before");
}

const plain = (own = lock, expected = packed.plain) =>
  packed.bundle.decrypted(packed.artifact, own, expected);

test("a dump that breaks off half way leaves the target empty, with the cause as the error", async () => {
  for (const part of [0, 0.1, 0.5, 0.99])
    await refused(breaksAfter(sql.slice(0, sql.length * part)), new Error(BROKEN));
});

test("a dump that ends half way as if all were well leaves the target empty", async () => {
  for (const part of [0, 0.1, 0.5, 0.99])
    await refused(chunked(sql.slice(0, sql.length * part)), { code: /bundle-damaged|restore-failed/ });
});

test("a gpg that dies, or says that all is well half way, leaves the target empty", async () => {
  for (const [script, code] of [
    ['/usr/bin/gpg "$@" | head -c 8000; kill -KILL $$', "program-failed"],
    ['/usr/bin/gpg "$@" | head -c 8000', "bundle-damaged"],
    ['/usr/bin/gpg "$@"; exit 2', "program-failed"],
  ] as const)
    await refused(plain(lockWith(lock.passphrase, programsBefore({ gpg: script }))), { code });
  await refused(plain(lockWith("wrong")), { code: "passphrase-wrong" });
});

test("a dump that is whole but not the one that was packed leaves the target empty", async () => {
  await refused(plain(lock, { size: 1, sha256: "0".repeat(64) }), {
    code: "bundle-damaged",
    message: /is larger than the 1 bytes that were packed/,
  });
});

test("a psql that is killed, fails, or leaves with a smile leaves the target empty", async () => {
  for (const script of [
    'head -c 40000 | /usr/bin/psql "$@"; kill -KILL $$',
    'head -c 40000 | /usr/bin/psql "$@"; exit 0',
    'head -c 2000 | /usr/bin/psql "$@"; cat >/dev/null; exit 0',
    "cat >/dev/null; exit 0",
    "exit 0",
  ]) {
    const psql = join(scriptsIn({ psql: script }), "psql");
    await refused(plain(), { code: "restore-failed", hint: /transaction was rolled back/ }, { psql });
  }
});

test("a server that ends the connection half way leaves the target empty", async () => {
  const slow = async function* (): Bytes {
    yield* chunked(sql.slice(0, sql.length / 2));
    for (let tries = 0, ended = 0; ended === 0 && tries < 100; tries++)
      ended = Number(
        await cluster.sql(
          "postgres",
          "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = 'target'",
        ),
      );
    yield* chunked(sql.slice(sql.length / 2));
  };
  await refused(slow(), { code: "restore-failed" });
});

test("an error in the dump is told without anything out of a row", async () => {
  const secret = "$2b$12$secret-hash";
  assert.ok(sql.includes(secret));
  for (const [spoil, reason] of [
    [
      (text: string) => text.replaceAll("\t0\n", "\tsecret-number\n"),
      /a value has an invalid format .* \(SQLSTATE 22P02;/,
    ],
    [
      (text: string) => text.replace("@user2:example.org", "@user1:example.org"),
      /a row violates a unique constraint: table users, constraint users_pkey \(SQLSTATE 23505;/,
    ],
    [
      (text: string) => text.replace(/@user3:example.org\t/, "@user3:example.org\t\t\tsecret-column\t"),
      /a value has an invalid format .* \(SQLSTATE 22P0[24];/,
    ],
  ] as const) {
    await assert.rejects(restored(chunked(spoil(sql))), (error: Error & { code: string; hint: string }) => {
      assert.equal(error.code, "restore-failed");
      assert.match(error.message, reason);
      assert.doesNotMatch(
        `${error.message} ${error.hint} ${String(error.cause)}`,
        /secret|@user|CONTEXT|DETAIL/,
      );
      return true;
    });
    assert.equal(await relationsIn(cluster, "target"), 0);
  }
});

const END = "\n--\n-- PostgreSQL database dump complete";

test("a hostile dump makes psql run nothing on this host, and fails", async () => {
  const folder = temporaryFolder("hostile");
  let tries = 0;
  for (const command of [
    "\\! touch FILE",
    " \\! touch FILE",
    "\\copy (select 1) to program 'touch FILE'",
    "\\copy (select 1) to 'FILE'",
    "select 1 \\g |touch FILE",
    "select 1 \\g FILE",
    "select 'x' \\gexec\n\\! touch FILE",
    "\\o |touch FILE",
    "\\o FILE",
    "\\w FILE",
    "\\set x `touch FILE`",
    "\\unrestrict Wrong\n\\! touch FILE",
    "\\restrict Mine\n\\unrestrict Mine\n\\! touch FILE",
    "copy public.hostile from program 'touch FILE';",
    "select pg_read_file('/etc/passwd');",
    "\\q",
  ]) {
    const file = join(folder, `made-${++tries}`);
    const bad = command.replaceAll("FILE", file);
    const error = { code: /restore-failed|bundle-damaged/ };
    const middle = sql.indexOf("\nCREATE TABLE");
    assert.ok(middle > 0);
    const dumps = [
      `${sql.slice(0, middle)}\n${bad}\n${sql.slice(middle)}`,
      sql.replace(/^\\\.$/m, `\\.\n${bad}`),
      sql.replace(END, `\n${bad}\n${END}`),
      `${bad}\n${sql}`,
      `${sql}\n${bad}\n`,
    ];
    // Every place for the plainest command, the places that are sought out for the others.
    for (const dump of dumps.slice(0, tries <= 2 ? 5 : 2)) await refused(cut(Buffer.from(dump), 1000), error);
    assert.equal(existsSync(file), false, bad);
  }
});

test("what looks like a command inside of a row is a row", async () => {
  const text = sql.replaceAll("said:", "\\\\! touch /nonexistent/x");
  await restored(cut(Buffer.from(text), 777));
  assert.equal(
    await cluster.sql("target", "select count(*) from events where content like '%! touch%'"),
    "500",
  );
  await cluster.sql("postgres", "drop database target");
  await cluster.createDatabase("target", { owner: "mover" });
});

test("an older psql, which cannot be restricted, restores a good dump and gets no commands at either end", async () => {
  await restored(chunked(sql), { restrictKey: null });
  assert.equal(await cluster.sql("target", "select count(*) from events"), "500");
  await cluster.sql("postgres", "drop database target");
  await cluster.createDatabase("target", { owner: "mover" });
  for (const dump of [`\\! true\n${sql}`, ` \\! true\n${sql}`, `${sql}\n\\! true\n`])
    await refused(chunked(dump), { code: "bundle-damaged" }, { restrictKey: null });
});

test("a psql that is not there is named with its package", async () => {
  await refused(plain(), { code: "program-missing" }, { psql: "/nonexistent/psql" });
  assert.match(installHint("psql"), /postgresql-client/);
});

test("tables in a schema that is not public are found after the move, by the rows that go and by the new user", async () => {
  const old = await makeMiniSynapse(cluster, "elsewhere");
  await cluster.sql("elsewhere", 'alter schema public rename to "Its Own"; create schema public');
  await cluster.sql("elsewhere", `alter role mover in database elsewhere set search_path to "Its Own"`);
  const moved = await pack(old);
  assert.equal(moved.section.rows["Its Own.users"], 20);
  // Somebody else's name for it, as a new host may have.
  await cluster.sql("postgres", "create role newcomer login");
  await cluster.createDatabase("own_schema", { owner: "newcomer" });
  const address = addressIn(cluster, "own_schema", "newcomer");
  const content = await collect(moved.bundle.decrypted(moved.artifact, lock));
  const fill = (dump: Bytes) =>
    restoreDatabase(address, dump, { programs, psql: "psql", restrictKey: "Key1" });

  await assert.rejects(fill(breaksAfter(content)), new Error(BROKEN));
  assert.equal(await ownSearchPath(address, postgres), undefined, "as all of it was taken back");

  await fill(chunked(content));
  assert.equal(await ownSearchPath(address, postgres), '"Its Own", public');
  const session = await postgres.connect(address);
  try {
    assert.deepEqual(await session.one("SELECT count(*) AS count FROM remote_media_cache"), { count: 1 });
    const findings = await verifyDatabase(moved.section, session);
    assert.deepEqual(
      findings.filter(({ level }) => level !== "ok"),
      [],
    );
  } finally {
    await session.close();
  }
});

test("where the tables are found, nothing is set for the database's user", async () => {
  await restored(chunked(sql));
  assert.equal(await ownSearchPath(target, postgres), undefined);
});
