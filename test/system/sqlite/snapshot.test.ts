import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import fc from "fast-check";
import { realFiles } from "../../../src/system/files/files.ts";
import { realSqlite, type SqliteSnapshot } from "../../../src/system/sqlite/sqlite.ts";
import { collect } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const sqlite = realSqlite(realFiles, new AbortController().signal);

interface Setting {
  readonly pageSize: number;
  readonly autoVacuum: 0 | 1 | 2;
  readonly journal?: "wal" | "delete";
}

/** A database that somebody has open, and who it is. */
function makeDatabase({ pageSize, autoVacuum, journal = "wal" }: Setting): {
  path: string;
  writer: DatabaseSync;
} {
  const path = join(temporaryFolder("snapshot"), "home server.db");
  const writer = new DatabaseSync(path, { timeout: 5000 });
  writer.exec(`PRAGMA page_size = ${pageSize}; PRAGMA auto_vacuum = ${autoVacuum}; PRAGMA journal_mode = ${journal};
    PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;
    CREATE TABLE t (n INTEGER PRIMARY KEY, content BLOB); CREATE INDEX by_content ON t (content);
    CREATE VIRTUAL TABLE words USING fts4 (word)`);
  return { path, writer };
}

type Deed =
  | readonly ["insert", rows: number, bytes: number]
  | readonly ["delete" | "update", remainder: number]
  | readonly ["checkpoint", "PASSIVE" | "FULL" | "RESTART" | "TRUNCATE"]
  | readonly ["vacuum"];

const deeds = fc.oneof(
  fc.tuple(
    fc.constant("insert" as const),
    fc.integer({ min: 1, max: 60 }),
    fc.integer({ min: 0, max: 9000 }),
  ),
  fc.tuple(fc.constantFrom("delete" as const, "update" as const), fc.integer({ min: 2, max: 5 })),
  fc.tuple(
    fc.constant("checkpoint" as const),
    fc.constantFrom("PASSIVE" as const, "FULL" as const, "RESTART" as const, "TRUNCATE" as const),
  ),
  fc.constant(["vacuum"] as const),
) satisfies fc.Arbitrary<Deed>;

function act(writer: DatabaseSync, deed: Deed): void {
  if (deed[0] === "insert") {
    const sql = `WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${deed[1]})`;
    writer.exec(`BEGIN; ${sql} INSERT INTO t (content) SELECT randomblob(${deed[2]}) FROM c;
      INSERT INTO words SELECT hex(content) FROM t LIMIT 3; COMMIT`);
  } else if (deed[0] === "delete") writer.exec(`DELETE FROM t WHERE n % ${deed[1]} = 1`);
  else if (deed[0] === "update")
    writer.exec(`UPDATE t SET content = randomblob(700) WHERE n % ${deed[1]} = 0`);
  // A checkpoint that readers keep from going on says so and is done in part.
  else if (deed[0] === "checkpoint")
    writer.exec(`PRAGMA busy_timeout = 1; PRAGMA wal_checkpoint(${deed[1]})`);
  else writer.exec("PRAGMA incremental_vacuum(20)");
}

/** Copies, with something done to the database before each block but the first. */
async function copyWhile(snapshot: SqliteSnapshot, between: () => void): Promise<Buffer> {
  const blocks: Uint8Array[] = [];
  for await (const block of snapshot.content()) {
    blocks.push(block);
    between();
  }
  return Buffer.concat(blocks);
}

function openCopy(bytes: Uint8Array): DatabaseSync {
  const path = join(temporaryFolder("copy"), "copy.db");
  writeFileSync(path, bytes);
  return new DatabaseSync(path, { readOnly: true });
}

/** All that SQLite shows of it. */
function contentOf(database: DatabaseSync): unknown {
  const all = (sql: string) => database.prepare(sql).all();
  assert.deepEqual(Object.values(all("PRAGMA integrity_check")[0]!), ["ok"]);
  return [
    all("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema"),
    all("SELECT n, hex(content) FROM t ORDER BY n"),
    all("SELECT rowid, word FROM words"),
    all("SELECT count(*) FROM t INDEXED BY by_content WHERE content >= x''"),
  ];
}

describe("a copy of a SQLite database", () => {
  test("is what the backup API gives, page by page, whatever was and is done to it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          pageSize: fc.constantFrom(512, 1024, 4096, 65536),
          autoVacuum: fc.constantFrom(0 as const, 1 as const, 2 as const),
        }),
        fc.array(deeds, { maxLength: 12 }),
        fc.array(deeds, { maxLength: 6 }),
        async (setting, before, meanwhile) => {
          const { path, writer } = makeDatabase(setting);
          for (const deed of before) act(writer, deed);
          const reader = new DatabaseSync(path);
          reader.exec("BEGIN");
          reader.prepare("SELECT count(*) FROM t").get();
          const snapshot = await sqlite.snapshot(path);
          for (const deed of meanwhile) act(writer, deed);
          const rest = [...meanwhile];
          const copied = await copyWhile(snapshot, () => {
            const deed = rest.pop();
            if (deed) act(writer, deed);
          });
          const counted = await snapshot.session.one("SELECT count(*) AS rows FROM t");
          const other = join(temporaryFolder("backup"), "backup.db");
          await backup(reader, other);
          await snapshot.close();
          reader.close();
          writer.close();

          assert.equal(copied.length, snapshot.size);
          const expected = readFileSync(other);
          // Of the first page the API itself changes the counters.
          assert.ok(copied.subarray(setting.pageSize).equals(expected.subarray(setting.pageSize)));
          const [ours, theirs] = [openCopy(copied), new DatabaseSync(other)];
          assert.deepEqual(contentOf(ours), contentOf(theirs));
          assert.deepEqual({ ...ours.prepare("SELECT count(*) AS rows FROM t").get() }, counted);
          ours.close();
          theirs.close();
        },
      ),
      { numRuns: 40 },
    );
  });

  test("has what is in a -wal larger than the file, and newer frames not", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    for (let round = 0; round < 30; round++) act(writer, ["insert", 50, 3000]);
    for (let round = 0; round < 5; round++) act(writer, ["update", 2]);
    assert.ok(readFileSync(`${path}-wal`).length > 2_000_000);
    const expected = contentOf(writer);
    const snapshot = await sqlite.snapshot(path);
    let first = true;
    const copied = await copyWhile(snapshot, () => {
      if (first) act(writer, ["delete", 2]);
      first = false;
    });
    await snapshot.close();
    assert.deepEqual(contentOf(openCopy(copied)), expected);
    writer.close();
  });

  test("is right when the -wal is begun anew in the middle of it, as nothing in it is needed", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    for (let round = 0; round < 40; round++) act(writer, ["insert", 50, 3000]);
    act(writer, ["checkpoint", "PASSIVE"]);
    const salts = () => readFileSync(`${path}-wal`).subarray(16, 24).toString("hex");
    for (const when of ["before", "after"]) {
      const [expected, before] = [JSON.stringify(contentOf(writer)), salts()];
      const snapshot = await sqlite.snapshot(path);
      let writes = 0;
      const write = () => {
        if (writes++ < 3) act(writer, ["update", 2]);
      };
      if (when === "before") write();
      const copied = await copyWhile(snapshot, write);
      await snapshot.close();
      assert.notEqual(salts(), before, "it was begun anew");
      assert.ok(JSON.stringify(contentOf(openCopy(copied))) === expected, `${when} the first block`);
      act(writer, ["checkpoint", "PASSIVE"]);
    }
    writer.close();
  });

  test("of one that nobody has open is the file, and leaves nothing beside it", async () => {
    for (const journal of ["wal", "delete"] as const) {
      const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0, journal });
      act(writer, ["insert", 20, 2000]);
      const expected = contentOf(writer);
      writer.close();
      const before = readFileSync(path);
      const snapshot = await sqlite.snapshot(path);
      const copied = await collect(snapshot.content());
      await snapshot.close();
      await snapshot.close();
      assert.deepEqual(readdirSync(join(path, "..")), ["home server.db"]);
      assert.ok(readFileSync(path).equals(before));
      before.fill(1, 18, 20);
      assert.ok(copied.equals(before));
      assert.deepEqual(contentOf(openCopy(copied)), expected);
    }
  });

  test("of one that somebody begins to use is no copy", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    for (let round = 0; round < 10; round++) act(writer, ["insert", 50, 3000]);
    writer.close();
    const snapshot = await sqlite.snapshot(path);
    await assert.rejects(
      copyWhile(snapshot, () => {
        new DatabaseSync(path).exec("INSERT INTO t (content) VALUES (x'00')");
      }),
      { code: "source-changed" },
    );
    await snapshot.close();
  });

  test("is found behind a link, with the -wal that lies beside the file", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    act(writer, ["insert", 20, 2000]);
    const link = join(temporaryFolder("link"), "link.db");
    symlinkSync(path, link);
    const snapshot = await sqlite.snapshot(link);
    const copied = await collect(snapshot.content());
    await snapshot.close();
    assert.deepEqual(contentOf(openCopy(copied)), contentOf(writer));
    const session = await sqlite.connect(link);
    assert.deepEqual(await session.one("SELECT count(*) AS count FROM t"), { count: 20 });
    await session.close();
    writer.close();
  });

  test("of a killed writer's has what its -wal has, with and without the -shm, and not what was no more than begun", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    writer.close();
    const child = await writerProcess(path, KILLED);
    child.kill("SIGKILL");
    await once(child, "close");
    for (const shm of [true, false]) {
      const folder = temporaryFolder("killed");
      const own = join(folder, "home.db");
      for (const suffix of ["", "-wal", "-shm"]) cpSync(`${path}${suffix}`, `${own}${suffix}`);
      if (!shm) rmSync(`${own}-shm`);
      const before = readFileSync(`${own}-wal`);
      const snapshot = await sqlite.snapshot(own);
      const copied = await collect(snapshot.content());
      await snapshot.close();
      const copy = openCopy(copied);
      assert.deepEqual({ ...copy.prepare("SELECT count(*) AS n FROM t").get() }, { n: 300 });
      contentOf(copy);
      assert.ok(readFileSync(`${own}-wal`).equals(before), "the -wal is as it was");
    }
  });

  test("of a running writer's is one state, however often it checkpoints and truncates", async () => {
    const { path, writer } = makeDatabase({ pageSize: 1024, autoVacuum: 0 });
    writer.close();
    const child = await writerProcess(path, BUSY);
    try {
      const seen = new Set<number>();
      for (let round = 0; round < 8; round++) {
        const snapshot = await sqlite.snapshot(path);
        const { n, sum } = await snapshot.session.one<{ n: number; sum: number }>(
          "SELECT count(*) AS n, sum(length(content)) AS sum FROM t",
        );
        const blocks: Uint8Array[] = [];
        for await (const block of snapshot.content()) {
          blocks.push(block);
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        await snapshot.close();
        const copy = openCopy(Buffer.concat(blocks));
        assert.deepEqual(
          { ...copy.prepare("SELECT count(*) AS n, sum(length(content)) AS sum FROM t").get() },
          { n, sum },
        );
        // Each of its transactions adds a row here for the rows it adds there.
        const { parts, rows } = copy
          .prepare("SELECT (SELECT count(*) FROM words) AS parts, (SELECT count(*) FROM t) AS rows")
          .get() as { parts: number; rows: number };
        assert.equal(rows, parts * 10);
        contentOf(copy);
        seen.add(n);
      }
      assert.ok(seen.size > 2, `it went on writing meanwhile: ${[...seen].join()}`);
      assert.equal(child.exitCode, null);
    } finally {
      child.kill("SIGKILL");
      await once(child, "close");
    }
  });

  test("of one with an interrupted transaction is refused, with what repairs it", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0, journal: "delete" });
    for (let round = 0; round < 5; round++) act(writer, ["insert", 50, 3000]);
    writer.close();
    const child = await writerProcess(path, HALF);
    child.kill("SIGKILL");
    await once(child, "close");
    assert.ok(existsSync(`${path}-journal`));
    await assert.rejects(sqlite.snapshot(path), {
      code: "database-unreachable",
      message: /has an interrupted transaction/,
      hint: /start the server and stop it/,
    });
    await assert.rejects(sqlite.connect(path), { message: /has an interrupted transaction/ });
  });

  test("is not made of a -wal that is damaged below what counts", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    act(writer, ["insert", 50, 2000]);
    const wal = readFileSync(`${path}-wal`);
    wal[5000]! ^= 1;
    writeFileSync(`${path}-wal`, wal);
    await assert.rejects(sqlite.snapshot(path), { code: "database-unreachable", message: /-wal file/ });
    writer.close();
  });
});

const INSERT = `const fill = (rows, bytes) => database.exec(\`WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < \${rows})
  INSERT INTO t (content) SELECT randomblob(\${bytes}) FROM c\`);`;
const KILLED = `database.exec("PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = 5"); ${INSERT}
  for (let i = 0; i < 6; i++) fill(50, 2000);
  database.exec("BEGIN"); fill(500, 2000); console.log("ready");`;
const BUSY = `database.exec("PRAGMA busy_timeout = 2; PRAGMA synchronous = OFF"); ${INSERT}
  const modes = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];
  let n = 0;
  const round = () => {
    database.exec("BEGIN"); fill(10, 1 + (n * 7919) % 4000); database.exec("INSERT INTO words VALUES ('one'); COMMIT");
    database.exec("PRAGMA wal_checkpoint(" + modes[n++ % 4] + ")");
    if (n === 50) console.log("ready");
    setTimeout(round, n < 50 ? 0 : 5);
  };
  round();`;
const HALF = `database.exec("PRAGMA cache_size = 5; BEGIN; UPDATE t SET content = randomblob(3000)"); console.log("ready");`;

/** Another process, as locks only count between processes. */
async function writerProcess(path: string, script: string): Promise<ChildProcess> {
  const whole = `const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(process.argv[1]);
    ${script}
    setInterval(() => database.isOpen, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", whole, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return child;
}
