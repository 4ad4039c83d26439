import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { realFiles } from "../../../src/system/files/files.ts";
import { realSqlite } from "../../../src/system/sqlite/sqlite.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const sqlite = realSqlite(realFiles, new AbortController().signal);

/** A database in WAL mode as a server leaves it, under a name that is hard to put into a URL. */
function makeDatabase(rows: number): { path: string; folder: string } {
  const folder = temporaryFolder("sqlite");
  const path = join(folder, "home server?#%20.db");
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER, word TEXT, flag BOOLEAN)");
  const insert = database.prepare("INSERT INTO t VALUES (?, ?, ?)");
  for (let n = 1; n <= rows; n++) insert.run(n, `wörd ${n}`, n % 2);
  database.close();
  return { path, folder };
}

const hashes = (folder: string, suffixes: readonly string[]) =>
  suffixes.map((suffix) =>
    createHash("sha256")
      .update(readFileSync(join(folder, `home server?#%20.db${suffix}`)))
      .digest("hex"),
  );

test("a change that may be mended is taken back by the next one when it was cut off", async () => {
  const { path, folder } = makeDatabase(3);
  await sqlite.execute(path, ["DELETE FROM t WHERE n = 1"]);
  const script = `
    const { DatabaseSync } = require("node:sqlite");
    const database = new DatabaseSync(${JSON.stringify(path)});
    database.exec("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN IMMEDIATE");
    for (let n = 0; n < 5000; n++) database.exec("INSERT INTO t VALUES (9, 'x', 0)");
    process.kill(process.pid, "SIGKILL");`;
  await once(spawn(process.execPath, ["-e", script], { stdio: "ignore" }), "close");
  assert.ok(existsSync(`${path}-journal`));
  await assert.rejects(sqlite.connect(path), /interrupted transaction/);
  await sqlite.execute(path, [], { mendable: true });
  assert.deepEqual(readdirSync(folder), ["home server?#%20.db"]);
  const session = await sqlite.connect(path);
  assert.deepEqual(await session.one("SELECT count(*) AS count FROM t"), { count: 2 });
  await session.close();
  await assert.rejects(
    sqlite.execute(path, ["INSERT INTO t VALUES (7, 'x', 0)", "INSERT INTO nowhere VALUES (1)"], {
      mendable: true,
    }),
    /no such table/,
  );
  const again = await sqlite.connect(path);
  assert.deepEqual(await again.one("SELECT count(*) AS count FROM t"), { count: 2 });
  await again.close();
});

describe("a SQLite database that is looked at", () => {
  test("gives its rows as plain objects, one after another", async () => {
    const { path, folder } = makeDatabase(4321);
    const before = readdirSync(folder);
    const session = await sqlite.connect(path);
    assert.deepEqual(await session.one("SELECT count(*) AS count FROM t"), { count: 4321 });
    let sum = 0;
    for await (const { n } of session.rows<{ n: number }>("SELECT n FROM t")) sum += n;
    assert.equal(sum, (4321 * 4322) / 2);
    assert.deepEqual(await session.all("SELECT * FROM t LIMIT 1"), [{ n: 1, word: "wörd 1", flag: 1 }]);
    await session.close();
    await session.close();
    assert.deepEqual(readdirSync(folder), before, "nothing may be left beside it");
  });

  test("refuses to be written to", async () => {
    const { path, folder } = makeDatabase(1);
    const [before] = hashes(folder, [""]);
    const session = await sqlite.connect(path);
    for (const sql of ["INSERT INTO t VALUES (9, 'x', 0)", "PRAGMA user_version = 7", "DROP TABLE t"]) {
      await session.all(sql).catch((error: unknown) => {
        assert.equal((error as { code: string }).code, "database-unreachable", sql);
      });
    }
    await session.close();
    assert.deepEqual(hashes(folder, [""]), [before]);
  });

  test("shows what a killed server left in the -wal, and leaves both as they are", async () => {
    const { path, folder } = makeDatabase(2);
    const script = `
      const { DatabaseSync } = await import("node:sqlite");
      const database = new DatabaseSync(process.argv[1]);
      database.exec("PRAGMA wal_autocheckpoint = 0; INSERT INTO t VALUES (3, 'only in the wal', 1)");
      console.log("written");
      setInterval(() => database.isOpen, 1000);`;
    const writer = spawn(process.execPath, ["--input-type=module", "-e", script, path]);
    await once(writer.stdout, "data");
    const running = await sqlite.connect(path);
    assert.deepEqual(await running.one("SELECT count(*) AS count FROM t"), { count: 3 });
    await running.close();
    writer.kill("SIGKILL");
    await once(writer, "close");

    for (const shm of [true, false]) {
      if (!shm) rmSync(`${path}-shm`);
      const before = hashes(folder, ["", "-wal"]);
      const session = await sqlite.connect(path);
      assert.deepEqual(await session.one("SELECT count(*) AS count FROM t"), { count: 3 });
      await session.close();
      assert.ok(existsSync(`${path}-wal`));
      assert.deepEqual(hashes(folder, ["", "-wal"]), before);
    }
  });

  test("that is missing, a folder, or no database is told by its path", async () => {
    const folder = temporaryFolder("sqlite");
    await assert.rejects(sqlite.connect(join(folder, "none.db")), {
      code: "file-missing",
      message: `there is no SQLite database at ${join(folder, "none.db")}`,
    });
    mkdirSync(join(folder, "folder.db"));
    await assert.rejects(sqlite.connect(join(folder, "folder.db")), { code: "database-unreachable" });
    writeFileSync(join(folder, "text.db"), "this is no database at all, however long it may be ".repeat(50));
    await assert.rejects(sqlite.connect(join(folder, "text.db")), /file is not a database/);
  });
});
