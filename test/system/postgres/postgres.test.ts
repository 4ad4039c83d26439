import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import { MigrationError, reasonOf } from "../../../src/errors.ts";
import { realMachine } from "../../../src/system/machine.ts";
import { type PostgresAddress, realPostgres } from "../../../src/system/postgres/postgres.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { freePort } from "../../support/lab/server-process.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith } from "../../support/real-world.ts";

const PASSWORD = "p@ss/w#r%d: 'it''s' \\ ünd spaces";
const ACCESS = [
  "local all postgres trust",
  "local all trusted trust",
  "local all nobody peer",
  "host all all 127.0.0.1/32 scram-sha-256",
];
const postgres = realPostgres(programsWith());
let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start({ access: ACCESS });
  await cluster.createRole("careful", PASSWORD);
  await cluster.createRole("trusted", "not asked for");
  await cluster.createRole("nobody", "not asked for");
  await cluster.createDatabase("it's \\ a name", { owner: "careful" });
  await cluster.createDatabase("plain", { owner: "careful" });
});
after(() => cluster.stop());

const overTcp = (more: Record<string, string> = {}, password = PASSWORD): PostgresAddress => ({
  parameters: {
    host: cluster.address.host,
    port: String(cluster.address.port),
    user: "careful",
    dbname: "plain",
    ...more,
  },
  password,
});
const overSocket = (user: string, dbname = "plain"): PostgresAddress => ({
  parameters: { host: cluster.address.socketFolder, port: String(cluster.address.port), user, dbname },
});

async function asked<Row>(to: PostgresAddress, sql: string): Promise<Row[]> {
  const session = await postgres.connect(to);
  try {
    return await session.all<Row>(sql);
  } finally {
    await session.close();
  }
}

/** What went wrong when connecting, after a look that no secret is in it. */
async function refusal(to: PostgresAddress): Promise<MigrationError> {
  const error: unknown = await postgres.connect(to).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof MigrationError, "the connection was refused as foreseen");
  const told = [
    error.message,
    error.hint,
    error.stack,
    JSON.stringify(error),
    String((error.cause as Error | undefined)?.stack),
  ];
  assert.doesNotMatch(told.join("\n"), /p@ss|wrong-password|PGPASSWORD/);
  assert.equal(error.code, "database-unreachable");
  return error;
}

test("a password with every odd character gets to the server, and names with quotes and backslashes too", async () => {
  const odd = "it's \\ a name";
  assert.deepEqual(
    await asked(overTcp({ dbname: odd }), "SELECT current_database() AS name, current_user AS me"),
    [{ name: odd, me: "careful" }],
  );
});

test("text comes back as it was stored, whatever is in it", async () => {
  const texts = [
    "'",
    '"',
    "\\",
    "\\n",
    "a\nb\r\tc",
    "synlift-answer-2",
    "",
    "ünïcödé 🦊",
    "\u0001",
    "$1 $$ :x :'y'",
  ];
  const list = texts.map(
    (text) => `(E'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll(":", "\\x3a")}')`,
  );
  const rows = await asked<{ text: string }>(
    overTcp(),
    `SELECT column1 AS text FROM (VALUES ${list.join(", ")}) v;`,
  );
  assert.deepEqual(
    rows.map(({ text }) => text),
    texts,
  );
});

test("rows stream, so that a large answer is never held as a whole", async () => {
  const session = await postgres.connect(overTcp());
  // 50,000 rows of 4,000 characters are 200 MB.
  const query = "SELECT n, repeat('x', 4000) AS filler FROM generate_series(1, 50000) n";
  let seen = 0;
  let most = 0;
  const idle = process.memoryUsage().rss;
  for await (const { n } of session.rows<{ n: number }>(query)) {
    seen += 1;
    assert.equal(n, seen);
    if (seen % 5_000 === 0) most = Math.max(most, process.memoryUsage().rss);
  }
  await session.close();
  assert.equal(seen, 50_000);
  assert.ok(most - idle < 120 * 1024 * 1024, `${most - idle} bytes more than before`);
});

test("questions asked at once are answered in their order on one connection", async () => {
  const session = await postgres.connect(overTcp());
  const answers = await Promise.all(
    [1, 2, 3, 4].map((n) =>
      session.one<{ n: number; pid: number }>(`SELECT ${n} AS n, pg_backend_pid() AS pid`),
    ),
  );
  assert.deepEqual(
    answers.map(({ n }) => n),
    [1, 2, 3, 4],
  );
  assert.equal(new Set(answers.map(({ pid }) => pid)).size, 1);
  await session.close();
  await session.close();
});

test("a reader that stops in the middle of an answer ends the connection instead of mixing answers up", async () => {
  const session = await postgres.connect(overTcp());
  for await (const _ of session.rows("SELECT generate_series(1, 100000) AS n")) break;
  await assert.rejects(session.one("SELECT 1 AS n"), { code: "database-unreachable" });
});

const VALUE = /: a value has an invalid format or is out of range for its type \(SQLSTATE 22/;
const FAILING = [
  ["SELECT 'secret-row'::int AS n", "22P02", VALUE],
  ["SELECT '{\"secret-row\"'::json AS n", "22P02", VALUE],
  ["SELECT 'secret-row'::timestamptz AS n", "22007", VALUE],
  ["SELECT '2024-99-99'::date AS n", "22008", VALUE],
  ["SELECT '99999999999'::int AS n", "22003", VALUE],
  ["SELECT '{secret-row'::int[] AS n", "22P02", VALUE],
  ["SELECT convert_from('\\xff', 'UTF8') AS n", "22021", VALUE],
  [
    "INSERT INTO keyed VALUES ('secret-row')",
    "23505",
    /: a row violates a unique constraint: table keyed, constraint keyed_pkey \(/,
  ],
  [
    "INSERT INTO keyed VALUES (NULL)",
    "23502",
    /: a row violates a not-null constraint: table keyed, column id \(/,
  ],
  ["SELECT 1 'secret-row'", "42601", /: a statement has a syntax error .* \(SQLSTATE 42601;/],
  ["SELECT no_such_column FROM keyed", "42703", /: column "no_such_column" does not exist$/],
  ["SELECT 1 / 0 AS n", "22012", VALUE],
  ["DO $$ BEGIN RAISE 'secret-row'; END $$", "P0001", /: a function in the database raised an error \(/],
] as const;

test("a query that fails says why and names nothing that lies in a row", async () => {
  await cluster.sql(
    "plain",
    "create table keyed (id text primary key); insert into keyed values ('secret-row'); grant all on keyed to careful",
  );
  for (const [sql, code, sentence] of FAILING) {
    const session = await postgres.connect(overTcp(), { writes: true });
    await assert.rejects(session.run(`${sql};`), (error: MigrationError) => {
      assert.equal(error.code, "program-failed", sql);
      assert.match(error.message, /^a query on plain on 127\.0\.0\.1:\d+ failed: /);
      assert.match(error.message, sentence);
      assert.equal(reasonOf(error, "sqlstate")?.code, code, sql);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /secret-row|99-99|99999999999/, sql);
      return true;
    });
  }
});

test("a look cannot write, and what a question sets ends with it, in a transaction that was begun too", async () => {
  await cluster.sql("plain", "create sequence counter; grant all on sequence counter to careful");
  for (const sql of ["CREATE TABLE mine ()", "CREATE TEMPORARY TABLE mine ()", "SELECT nextval('counter')"]) {
    const session = await postgres.connect(overTcp());
    await assert.rejects(
      session.run(`${sql};`),
      (error) => reasonOf(error, "sqlstate")?.code === "25006",
      sql,
    );
  }
  const session = await postgres.connect(overTcp());
  const limits = "SELECT current_setting('work_mem') AS memory, current_setting('lock_timeout') AS wait";
  const usual = await session.one(limits);
  for (const begin of [() => Promise.resolve(), () => session.beginSnapshot()]) {
    await begin();
    assert.deepEqual(await session.one(limits, { work_mem: "1234kB", lock_timeout: "7s" }), {
      memory: "1234kB",
      wait: "7s",
    });
    assert.deepEqual(await session.one(limits), usual);
  }
  await session.close();
});

test("a session that writes does so though its role is read-only by default, and what it leaves is committed", async () => {
  await cluster.sql("plain", "create table written (n int); grant all on written to careful");
  await cluster.sql("plain", "alter role careful in database plain set default_transaction_read_only = on");
  const session = await postgres.connect(overTcp(), { writes: true });
  await session.run("INSERT INTO written VALUES (1); INSERT INTO written VALUES (2);");
  await assert.rejects(session.run("INSERT INTO written VALUES (3); SELECT 1 / 0;"));
  await cluster.sql("plain", "alter role careful in database plain reset default_transaction_read_only");
  assert.equal(await cluster.sql("plain", "select sum(n) from written"), "3");
});

test("a wrong password says so", async () => {
  const error = await refusal(overTcp({}, "wrong-password"));
  assert.match(error.message, /password authentication failed for user "careful"/);
  assert.match(
    error.hint!,
    /check user and password, in the database settings or, for a new database, in --database/,
  );
  const { parameters } = overTcp();
  assert.match((await refusal({ parameters })).message, /no password supplied/);
});

test("a database that does not exist is named", async () => {
  const error = await refusal(overTcp({ dbname: "elsewhere" }));
  assert.match(error.message, /cannot use database elsewhere on .*: there is no database elsewhere$/);
  assert.deepEqual(error.reason, { kind: "no-connection", server: "accepting", database: "missing" });
  assert.match(error.hint!, /check the names/);
});

test("a server that is not there is said to be unreachable, with where it was looked for", async () => {
  const port = String(await freePort());
  const error = await refusal(overTcp({ port }));
  assert.match(error.message, new RegExp(`cannot use database plain on 127.0.0.1:${port}`));
  assert.match(error.hint!, /check host and port/);
  assert.match((await refusal(overTcp({ host: "no-such-host.invalid" }))).hint!, /check host and port/);
  assert.match(
    (await refusal({ parameters: { host: "/nonexistent", dbname: "plain" } })).hint!,
    /check host and port/,
  );
});

test("a unix socket works, and needs no password where the server asks for none", async () => {
  assert.deepEqual(await asked(overSocket("trusted"), "SELECT current_user AS me"), [{ me: "trusted" }]);
});

test("a password file works, and its name is no secret", async () => {
  const passfile = join(temporaryFolder("passfile"), "pgpass");
  const escaped = PASSWORD.replaceAll("\\", "\\\\").replaceAll(":", "\\:");
  writeFileSync(passfile, `127.0.0.1:*:*:careful:${escaped}\n`, { mode: 0o600 });
  const { parameters } = overTcp({ passfile });
  assert.deepEqual(await asked({ parameters }, "SELECT current_user AS me"), [{ me: "careful" }]);
});

test("peer authentication goes by the account the programs run as", async () => {
  const error = await refusal(overSocket("nobody"));
  assert.match(error.message, /Peer authentication failed for user "nobody"/);
  assert.match(error.hint!, /run synlift as root, or as the account/);
  // Only root can become somebody else; where tests run as another user the refusal above is all there is to see.
  const machine = realMachine(process.pid, "/");
  if (!machine.isRoot) return;
  const account = machine.account("nobody");
  assert.ok(account);
  assert.deepEqual(await asked({ ...overSocket("nobody"), account }, "SELECT current_user AS me"), [
    { me: "nobody" },
  ]);
});

test("a server that goes away in the middle is an error and never a short answer", async () => {
  const session = await postgres.connect(overTcp());
  let seen = 0;
  await assert.rejects(
    async () => {
      for await (const _ of session.rows(
        "SELECT generate_series(1, 3000000) AS n, repeat('x', 200) AS filler",
      )) {
        if (seen++ === 0)
          await cluster.sql(
            "postgres",
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'careful'",
          );
      }
    },
    { code: /database-unreachable|program-failed/ },
  );
  assert.ok(seen < 3_000_000);
});
