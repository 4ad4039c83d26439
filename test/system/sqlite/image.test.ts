import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import fc from "fast-check";
import { realFiles } from "../../../src/system/files/files.ts";
import { realSqlite, type SqliteImage } from "../../../src/system/sqlite/sqlite.ts";
import { asNobody } from "../../support/as-nobody.ts";
import { collect } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { smallDisk } from "../../support/small-disk.ts";

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
  const path = join(temporaryFolder("image"), "home server.db");
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

/** Makes the private copy, removes its name as an export does, and takes its bytes. */
async function copyOf(
  path: string,
  between: () => void = () => undefined,
): Promise<{ image: SqliteImage; bytes: Buffer }> {
  const folder = temporaryFolder("copy");
  const target = join(folder, "homeserver.db");
  const image = await sqlite.copy(path, target, between);
  assert.equal(statSync(target).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder), ["homeserver.db"]);
  rmSync(target);
  return { image, bytes: await collect(image.content()) };
}

function openCopy(bytes: Uint8Array): DatabaseSync {
  const path = join(temporaryFolder("opened"), "copy.db");
  writeFileSync(path, bytes);
  assert.deepEqual([...bytes.subarray(18, 20)], [1, 1], "it needs no -wal");
  return new DatabaseSync(path, { readOnly: true });
}

/** All that SQLite shows of it. */
function contentOf(database: DatabaseSync): string {
  const all = (sql: string) => database.prepare(sql).all();
  assert.deepEqual(Object.values(all("PRAGMA integrity_check")[0]!), ["ok"]);
  return JSON.stringify([
    all("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema"),
    all("SELECT n, hex(content) FROM t ORDER BY n"),
    all("SELECT rowid, word FROM words"),
    all("SELECT count(*) FROM t INDEXED BY by_content WHERE content >= x''"),
  ]);
}

const contentAt = (path: string) => {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return contentOf(database);
  } finally {
    database.close();
  }
};

const bytesOf = (path: string) => ["", "-wal", "-journal"].map((suffix) => hashOf(`${path}${suffix}`));
const hashOf = (path: string) =>
  existsSync(path) ? createHash("sha256").update(readFileSync(path)).digest("hex") : undefined;

describe("a private copy of a SQLite database", () => {
  test("is its content, with any page size and vacuum mode, whatever was done to it before", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          pageSize: fc.constantFrom(512, 1024, 4096, 65536),
          autoVacuum: fc.constantFrom(0 as const, 1 as const, 2 as const),
          journal: fc.constantFrom("wal" as const, "delete" as const),
        }),
        fc.array(deeds, { maxLength: 12 }),
        async (setting, before) => {
          const { path, writer } = makeDatabase(setting);
          for (const deed of before) act(writer, deed);
          const expected = contentOf(writer);
          const files = bytesOf(path);
          const { image, bytes } = await copyOf(path);
          assert.deepEqual(bytesOf(path), files, "the source is as it was");
          assert.equal(bytes.length, image.size);
          const copy = openCopy(bytes);
          assert.equal(contentOf(copy), expected);
          assert.deepEqual(await image.session.one("SELECT count(*) AS rows FROM t"), {
            ...copy.prepare("SELECT count(*) AS rows FROM t").get(),
          });
          for (const one of [image, copy, writer]) await one.close();
          await image.close();
        },
      ),
      { numRuns: 20 },
    );
  });

  test("is one state, though somebody writes and checkpoints between its steps, and the -wal is larger than the file", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    for (let round = 0; round < 20; round++) act(writer, ["insert", 250, 4000]);
    assert.ok(statSync(`${path}-wal`).size > statSync(path).size);
    const expected = contentOf(writer);
    let steps = 0;
    const { image, bytes } = await copyOf(path, () => {
      steps += 1;
      act(writer, ["update", 5]);
      act(writer, ["insert", 20, 3000]);
      act(writer, ["checkpoint", "PASSIVE"]);
    });
    assert.ok(steps > 2, `${steps} steps`);
    assert.ok(contentOf(openCopy(bytes)) === expected);
    assert.ok(contentOf(writer) !== expected);
    await image.close();
    writer.close();
  });

  test("of a running writer's is one state, however often it checkpoints and truncates", async () => {
    const { path, writer } = makeDatabase({ pageSize: 1024, autoVacuum: 0 });
    writer.close();
    const child = await writerProcess(path, BUSY);
    try {
      const seen = new Set<number>();
      for (let round = 0; round < 5; round++) {
        const { image, bytes } = await copyOf(path);
        const totals = "SELECT count(*) AS n, sum(length(content)) AS sum FROM t";
        const counted = await image.session.one<{ n: number; sum: number }>(totals);
        await image.close();
        const copy = openCopy(bytes);
        assert.deepEqual({ ...copy.prepare(totals).get() }, counted);
        // Each of its transactions adds a row here for the rows it adds there.
        const { parts, rows } = copy
          .prepare("SELECT (SELECT count(*) FROM words) AS parts, (SELECT count(*) FROM t) AS rows")
          .get() as { parts: number; rows: number };
        assert.equal(rows, parts * 10);
        contentOf(copy);
        seen.add(counted.n);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.ok(seen.size > 1, `it went on writing meanwhile: ${[...seen].join()}`);
      assert.equal(child.exitCode, null);
    } finally {
      child.kill("SIGKILL");
      await once(child, "close");
    }
  });

  test("does not fit on a full disk, and says which option helps", async (t) => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    for (let round = 0; round < 20; round++) act(writer, ["insert", 50, 4000]);
    const target = join(await smallDisk(t, "1m"), "homeserver.db");
    await assert.rejects(
      sqlite.copy(path, target, () => undefined),
      { code: "disk-full", hint: /--out/ },
    );
    writer.close();
  });

  test("ends when the run is aborted", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    for (let round = 0; round < 10; round++) act(writer, ["insert", 250, 4000]);
    const stop = new AbortController();
    const own = realSqlite(realFiles, stop.signal);
    await assert.rejects(
      own.copy(path, join(temporaryFolder("copy"), "homeserver.db"), () => {
        stop.abort();
      }),
      { name: "AbortError" },
    );
    writer.exec("DELETE FROM t; PRAGMA wal_checkpoint(TRUNCATE)");
    writer.close();
  });

  test("is found behind a link, with the -wal that lies beside the file", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    act(writer, ["insert", 20, 2000]);
    const link = join(temporaryFolder("link"), "link.db");
    symlinkSync(path, link);
    const { image, bytes } = await copyOf(link);
    await image.close();
    assert.equal(contentOf(openCopy(bytes)), contentOf(writer));
    assert.equal(await sqlite.openUnused(link, false), undefined, "the -wal has changes");
    const session = await sqlite.connect(link);
    assert.deepEqual(await session.one("SELECT count(*) AS count FROM t"), { count: 20 });
    await session.close();
    writer.close();
  });
});

describe("a SQLite file that nobody uses", () => {
  test("is taken as it is, and nothing is left beside it", async () => {
    for (const journal of ["wal", "delete"] as const) {
      const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0, journal });
      act(writer, ["insert", 20, 2000]);
      const expected = contentOf(writer);
      writer.close();
      const before = readFileSync(path);
      const image = (await sqlite.openUnused(path, false))!;
      const bytes = await collect(image.content());
      await image.close();
      await image.close();
      assert.deepEqual(readdirSync(join(path, "..")), ["home server.db"]);
      assert.ok(readFileSync(path).equals(before));
      before.fill(1, 18, 20);
      assert.ok(bytes.equals(before));
      assert.equal(contentOf(openCopy(bytes)), expected);
    }
  });

  test("is not taken for one while a server may run: the side files tell, and in rollback mode nothing does", async () => {
    for (const [journal, isTaken] of [
      ["wal", true],
      ["delete", false],
    ] as const) {
      const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0, journal });
      act(writer, ["insert", 20, 2000]);
      writer.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      assert.equal(await sqlite.openUnused(path, true), undefined, "it is open");
      writer.close();
      const image = await sqlite.openUnused(path, true);
      assert.equal(image !== undefined, isTaken, journal);
      await image?.close();
    }
  });

  test("and that somebody begins to use meanwhile is no image", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    for (let round = 0; round < 10; round++) act(writer, ["insert", 50, 3000]);
    writer.close();
    const image = (await sqlite.openUnused(path, false))!;
    const late = new DatabaseSync(path);
    late.exec("INSERT INTO t (content) VALUES (x'00')");
    await assert.rejects(collect(image.content()), { code: "source-changed" });
    await image.close();
    late.close();
    const again = (await sqlite.openUnused(path, false))!;
    truncateSync(path, 8192);
    await assert.rejects(collect(again.content()), { code: "source-changed" });
    await again.close();
  });

  test("is read without being held in memory", async () => {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0, journal: "delete" });
    writer.close();
    // Pages of zeros beyond the end of the database are streamed like all others.
    truncateSync(path, 2.25 * 1024 ** 3);
    const image = (await sqlite.openUnused(path, false))!;
    let [bytes, most] = [0, 0];
    for await (const block of image.content()) {
      bytes += block.length;
      most = Math.max(most, process.memoryUsage().rss);
    }
    await image.close();
    assert.equal(bytes, 2.25 * 1024 ** 3);
    assert.ok(most < 1024 ** 3, `${most} bytes`);
  });
});

describe("what a killed server left beside its file", () => {
  /** A database whose server was killed with changes in the -wal and in the middle of a transaction. */
  async function killed(script: string, journal: "wal" | "delete" = "wal"): Promise<string> {
    const { path, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0, journal });
    for (let round = 0; round < 5; round++) act(writer, ["insert", 50, 3000]);
    writer.close();
    const child = await writerProcess(path, script);
    child.kill("SIGKILL");
    await once(child, "close");
    return path;
  }

  test("is merged into it, with and without the -shm, and what was no more than begun is not", async () => {
    const path = await killed(KILLED);
    for (const shm of [true, false]) {
      const own = join(temporaryFolder("killed"), "home.db");
      for (const suffix of ["", "-wal", "-shm"]) cpSync(`${path}${suffix}`, `${own}${suffix}`);
      if (!shm) rmSync(`${own}-shm`);
      chmodSync(own, 0o640);
      assert.equal(await sqlite.openUnused(own, false), undefined);
      assert.equal(await sqlite.recover(own), true);
      assert.deepEqual(readdirSync(join(own, "..")), ["home.db"]);
      assert.equal(statSync(own).mode & 0o777, 0o640);
      const before = readFileSync(own);
      assert.equal(await sqlite.recover(own), true, "again it does nothing");
      assert.ok(readFileSync(own).equals(before));
      const image = (await sqlite.openUnused(own, false))!;
      assert.deepEqual(await image.session.one("SELECT count(*) AS n FROM t"), { n: 550 });
      const bytes = await collect(image.content());
      await image.close();
      contentOf(openCopy(bytes));
    }
  });

  test("is in a private copy too, where nothing may be merged", async () => {
    const path = await killed(KILLED);
    const before = bytesOf(path);
    const { image } = await copyOf(path);
    assert.deepEqual(await image.session.one("SELECT count(*) AS n FROM t"), { n: 550 });
    await image.close();
    assert.deepEqual(bytesOf(path), before);
  });

  test("in rollback mode is rolled back; before that no copy is made, with what mends it", async () => {
    const path = await killed(HALF, "delete");
    assert.ok(existsSync(`${path}-journal`));
    await assert.rejects(copyOf(path), {
      code: "database-unreachable",
      message: /interrupted transaction/,
      hint: /start the server and stop it/,
    });
    assert.equal(await sqlite.openUnused(path, false), undefined);
    assert.equal(await sqlite.recover(path), true);
    assert.deepEqual(readdirSync(join(path, "..")), ["home server.db"]);
    const image = (await sqlite.openUnused(path, false))!;
    assert.deepEqual(await image.session.one("SELECT count(*) AS n, max(length(content)) AS m FROM t"), {
      n: 250,
      m: 3000,
    });
    await image.close();
    contentAt(path);
  });

  test("of another database is not merged, and both files stay as they are", async () => {
    const path = await killed(KILLED);
    const { path: other, writer } = makeDatabase({ pageSize: 4096, autoVacuum: 0 });
    for (let round = 0; round < 40; round++) act(writer, ["insert", 60, 1000]);
    writer.close();
    copyFileSync(`${path}-wal`, `${other}-wal`);
    const before = bytesOf(other);
    await assert.rejects(sqlite.recover(other), {
      code: "database-unreachable",
      message: /damage/,
      hint: /of another database/,
    });
    assert.deepEqual(bytesOf(other), before);
  });

  test("is not merged while somebody has the database open", async () => {
    const path = await killed(KILLED);
    const reader = new DatabaseSync(path, { readOnly: true });
    reader.exec("BEGIN; SELECT count(*) FROM t");
    const writer = new DatabaseSync(path);
    writer.exec("INSERT INTO t (content) VALUES (x'00')");
    await assert.rejects(sqlite.recover(path), { code: "database-unreachable", message: /is using it/ });
    for (const one of [reader, writer]) one.close();
  });

  test("is not merged by an account that may not write, and the owner merges it once the file is writable", async () => {
    for (const [script, journal] of [
      [KILLED, "wal"],
      [HALF, "delete"],
    ] as const) {
      const path = await killed(script, journal);
      const folder = join(path, "..");
      for (const name of ["", ...readdirSync(folder)]) chownSync(join(folder, name), 65_534, 65_534);
      chmodSync(path, 0o400);
      const before = bytesOf(path);
      await asNobody(async () => {
        assert.equal(await sqlite.recover(path), false);
        assert.deepEqual(bytesOf(path), before);
        chmodSync(path, 0o600);
        assert.equal(await sqlite.recover(path), true);
      });
      assert.deepEqual(readdirSync(folder), ["home server.db"]);
      assert.equal(statSync(path).uid, 65_534);
      contentAt(path);
    }
  });

  test("is not merged on a read-only file system", async (t) => {
    const path = await killed(KILLED);
    const folder = temporaryFolder("read-only");
    cpSync(join(path, ".."), folder, { recursive: true });
    const mounted = spawnSync("mount", ["--bind", folder, folder]);
    if (mounted.status !== 0) {
      t.skip("only root can mount");
      return;
    }
    t.after(() => spawnSync("umount", ["--lazy", folder]));
    assert.equal(spawnSync("mount", ["-o", "remount,bind,ro", folder]).status, 0);
    const own = join(folder, "home server.db");
    assert.equal(await sqlite.recover(own), false);
    const { image } = await copyOf(own);
    assert.deepEqual(await image.session.one("SELECT count(*) AS n FROM t"), { n: 550 });
    await image.close();
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
