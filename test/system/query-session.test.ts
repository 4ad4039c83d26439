import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, suite, test } from "node:test";
import { inspect } from "node:util";
import { MigrationError } from "../../src/errors.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import { type QuerySession, quoteIdentifier, quoteLiteral } from "../../src/system/query.ts";
import { realSqlite } from "../../src/system/sqlite/sqlite.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";

// What every session promises, whichever database it is one of.

/** A database, with a way to write to it that is not the session's. */
interface Place {
  connect(): Promise<QuerySession>;
  write(sql: string): Promise<void>;
}

const VALUE = "a value that is nobody's business";
const ODD_TEXTS = [
  "",
  "it's",
  '"',
  "\\",
  "\\n",
  "a\nb\tc\r",
  "ünïcödé 🔑 \u2028",
  "NULL",
  "{}",
  "\u0001\u007f",
  " ",
];

function contract(name: string, open: () => Promise<Place & { close(): Promise<void> }>): void {
  suite(`a session with ${name}`, () => {
    let place: Place & { close(): Promise<void> };
    before(async () => {
      place = await open();
      await place.write("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT)");
      await place.write(`INSERT INTO texts VALUES (1, 'one'), (2, NULL), (3, ${quoteLiteral(VALUE)})`);
    });
    after(() => place.close());

    const within = async <T>(act: (session: QuerySession) => Promise<T>): Promise<T> => {
      const session = await place.connect();
      try {
        return await act(session);
      } finally {
        await session.close();
      }
    };

    test("returns text and names as they are, and tells nothing from empty", () =>
      within(async (session) => {
        for (const text of ODD_TEXTS)
          assert.deepEqual(await session.one(`SELECT ${quoteLiteral(text)} AS "text", NULL AS "none"`), {
            text,
            none: null,
          });
        const odd = 'a "name" with \\ in it';
        assert.deepEqual(await session.one(`SELECT 1 AS ${quoteIdentifier(odd)}`), { [odd]: 1 });
        assert.deepEqual(await session.all("SELECT id, text FROM texts WHERE id < 3 ORDER BY id"), [
          { id: 1, text: "one" },
          { id: 2, text: null },
        ]);
      }));

    test("returns numbers as numbers, rounded where a double cannot hold them", () =>
      within(async (session) => {
        const { small, negative, large } = await session.one<Record<string, number>>(
          "SELECT 1 AS small, -7 AS negative, 9007199254740993 AS large",
        );
        assert.deepEqual([small, negative], [1, -7]);
        assert.ok(Math.abs(large! - 9007199254740993) <= 1, String(large));
      }));

    test("insists on one row where one is asked for", () =>
      within(async (session) => {
        await assert.rejects(session.one("SELECT id FROM texts WHERE id > 99"), /expected one row/);
        await assert.rejects(session.one("SELECT id FROM texts"), /expected one row/);
        assert.deepEqual(await session.all("SELECT id FROM texts WHERE id > 99"), []);
      }));

    test("answers queries in their order, though they are asked at once", () =>
      within(async (session) => {
        const asked = Array.from({ length: 50 }, (_, n) => session.one<{ n: number }>(`SELECT ${n} AS n`));
        assert.deepEqual(
          (await Promise.all(asked)).map(({ n }) => n),
          asked.map((_, n) => n),
        );
      }));

    test("streams a large result", () =>
      within(async (session) => {
        let [count, sum] = [0, 0];
        const numbers =
          "WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 50000) SELECT n FROM numbers";
        for await (const { n } of session.rows<{ n: number }>(numbers)) [count, sum] = [count + 1, sum + n];
        assert.deepEqual([count, sum], [50_000, 1_250_025_000]);
      }));

    test("says of a query that fails what failed, and no value of a row, and never mixes answers up afterwards", () =>
      within(async (session) => {
        for (const sql of [
          "SELECT nonsense FROM texts",
          "SELECT FROM WHERE",
          "SELECT * FROM missing_table",
        ]) {
          const error = await session.all(sql).then(
            () => undefined,
            (reason: unknown) => reason,
          );
          assert.ok(error instanceof MigrationError, inspect(error));
          assert.ok(!inspect(error, { depth: 5 }).includes(VALUE));
          const next = await session.one("SELECT 1 AS n").catch((reason: unknown) => reason);
          if (!(next instanceof MigrationError)) assert.deepEqual(next, { n: 1 });
          await session.close();
          session = await place.connect();
        }
        await session.close();
      }));

    test("cannot write", async () => {
      for (const sql of [
        "INSERT INTO texts VALUES (9, 'written')",
        "UPDATE texts SET text = 'changed'",
        "DELETE FROM texts",
        "CREATE TABLE more (id INTEGER)",
        "DROP TABLE texts",
      ])
        await within((session) => assert.rejects(session.all(sql), MigrationError, sql));
      await within(async (session) => {
        assert.deepEqual(await session.one("SELECT count(*) AS n, min(text) AS text FROM texts"), {
          ...{ n: 3, text: VALUE },
        });
      });
    });

    test("sees one state from its snapshot on, whatever is written meanwhile", () =>
      within(async (session) => {
        await session.beginSnapshot();
        const counted = () => session.one<{ n: number }>("SELECT count(*) AS n FROM texts");
        const first = await counted();
        await place.write("INSERT INTO texts VALUES (50, 'later')");
        try {
          assert.deepEqual(await counted(), first);
          assert.equal((await within((other) => other.all("SELECT id FROM texts"))).length, first.n + 1);
        } finally {
          await session.close();
          await place.write("DELETE FROM texts WHERE id = 50");
        }
      }));

    test("may be closed twice, and answers nothing afterwards", async () => {
      const session = await place.connect();
      await session.close();
      await session.close();
      await assert.rejects(session.all("SELECT 1 AS n"));
    });
  });
}

contract("PostgreSQL", async () => {
  const cluster = await PostgresCluster.start();
  await cluster.createRole("ann", "secret");
  await cluster.createDatabase("looked_at", { owner: "ann" });
  const { host, port } = cluster.address;
  const parameters = { host, port: String(port), user: "ann", dbname: "looked_at" };
  return {
    connect: () => realPostgres(programsWith()).connect({ parameters, password: "secret" }),
    write: async (sql) => {
      await cluster.sql("looked_at", `SET ROLE ann; ${sql}`);
    },
    close: () => cluster.stop(),
  };
});

contract("SQLite", () => {
  const path = join(temporaryFolder("query-session"), "homeserver.db");
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL");
  return Promise.resolve({
    connect: () => realSqlite(realFiles, new AbortController().signal).connect(path),
    write: (sql: string) => {
      database.exec(sql);
      return Promise.resolve();
    },
    close: () => {
      database.close();
      return Promise.resolve();
    },
  });
});
