import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import { MigrationError, reasonOf } from "../../../src/errors.ts";
import { connect } from "../../../src/homeserver/database/address.ts";
import { copyOut } from "../../../src/homeserver/database/checks/copy.ts";
import { connectIfExists, createDatabase } from "../../../src/homeserver/database/fill/inspect-target.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { realMachine } from "../../../src/system/machine.ts";
import { type PostgresAddress, realPostgres } from "../../../src/system/postgres/postgres.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { freePort } from "../../support/lab/server-process.ts";
import { programsWith } from "../../support/real-world.ts";

// A server whose host does not speak English: what it says is for people, and nothing is learnt from it.

const SECRET = "Geheim-7Qx";
const NUMBER = "918273645546372819";
const programs = programsWith();
const postgres = realPostgres(programs);
let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start({
    language: "de_DE",
    access: ["local all postgres trust", "local all nobody peer", "host all all 127.0.0.1/32 scram-sha-256"],
  });
  await cluster.createRole("nobody", "not asked for");
  await cluster.createRole("careful", "right");
  await cluster.createDatabase("plain", { owner: "careful" });
});
after(() => cluster.stop());

const bySocket = (dbname: string, user = "postgres"): PostgresAddress => ({
  parameters: { host: cluster.address.socketFolder, port: String(cluster.address.port), user, dbname },
});
const byTcp = (dbname: string, password?: string): PostgresAddress => ({
  parameters: { host: "127.0.0.1", port: String(cluster.address.port), user: "careful", dbname },
  ...(password === undefined ? {} : { password }),
});

async function failure(run: () => Promise<unknown>): Promise<MigrationError> {
  const error: unknown = await run().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof MigrationError, `a failure that was foreseen, and not ${inspect(error)}`);
  return error;
}

test("the server does speak German, and what is shown of it is so too", async () => {
  const session = await postgres.connect(bySocket("plain"));
  const error = await failure(() => session.run("SELECT * FROM nowhere;").finally(() => session.close()));
  assert.match(error.message, /^a query on plain .* failed: Relation »nowhere« existiert nicht$/);
  assert.deepEqual(reasonOf(error, "sqlstate")?.code, "42P01");
});

test("a database that is not there is known, and so is one that somebody made meanwhile", async () => {
  assert.equal(await connectIfExists(bySocket("nowhere"), postgres), undefined);
  assert.equal(await connectIfExists(byTcp("nowhere", "right"), postgres), undefined);
  await createDatabase(bySocket("made"), postgres);
  await createDatabase(bySocket("made"), postgres);
  await (await connectIfExists(bySocket("made"), postgres))!.close();
});

test("why there is no connection is found out beside the server's words", async () => {
  const silent = { ...bySocket("plain").parameters, port: String(await freePort()) };
  for (const [to, server, database, hint] of [
    [byTcp("plain", "wrong"), "accepting", "unknown", /check user and password/],
    [byTcp("nowhere", "right"), "accepting", "missing", /check the names of database and user/],
    [bySocket("plain", "nobody"), "accepting", "unknown", /run synlift as root, or as the account/],
    [{ parameters: silent }, "no-response", "unknown", /check host and port/],
  ] as const) {
    const error = await failure(() => postgres.connect(to));
    assert.deepEqual(error.reason, { kind: "no-connection", server, database });
    assert.match(error.hint!, hint);
  }
});

test("as root, peer authentication is tried as the account that is named like the database user", async () => {
  const machine = realMachine(process.pid, "/");
  const how = { postgres, machine: { ...machine, isRoot: false }, files: realFiles };
  const refused = await failure(() => connect(bySocket("plain", "nobody"), how));
  assert.match(refused.message, /Peer-Authentifizierung für Benutzer »nobody« fehlgeschlagen/);
  if (!machine.isRoot) return;
  const { session, address } = await connect(bySocket("plain", "nobody"), { ...how, machine });
  assert.equal(address.account?.name, "nobody");
  await session.close();
});

/**
 * Statements that end in errors of the classes 22 and 23, as far as SQL can bring them about, with a value in them that
 * no error may show. `SECRET` and `NUMBER` stand for rows; each is told by its SQLSTATE.
 */
const MAY_QUOTE_A_ROW: readonly (readonly [string, string])[] = [
  ["22P02", `SELECT '${SECRET}'::int`],
  ["22P02", `SELECT '${SECRET}'::bigint`],
  ["22P02", `SELECT '${SECRET}'::numeric`],
  ["22P02", `SELECT '${SECRET}'::float8`],
  ["22P02", `SELECT '${SECRET}'::boolean`],
  ["22P02", `SELECT '${SECRET}'::uuid`],
  ["22P02", `SELECT '${SECRET}'::inet`],
  ["22P02", `SELECT '${SECRET}'::macaddr`],
  ["22P02", `SELECT '${SECRET}'::point`],
  ["22P02", `SELECT '${SECRET}'::mood`],
  ["22P02", `SELECT '{${SECRET}'::text[]`],
  ["22P02", `SELECT '(${SECRET}'::pair`],
  ["22P02", `SELECT '[${SECRET}'::int4range`],
  ["22P02", `SELECT '{"a": ${SECRET}}'::json`],
  ["22P02", `SELECT '{"a": ${SECRET}}'::jsonb`],
  ["22P02", `SELECT '${SECRET}'::bit(3)`],
  ["22P02", `SELECT '${SECRET}'::pg_lsn`],
  ["22P02", `SELECT 'x${SECRET}'::tid`],
  ["22007", `SELECT '${SECRET}'::timestamptz`],
  ["22007", `SELECT '${SECRET}'::date`],
  ["22007", `SELECT '${SECRET}'::time`],
  ["22007", `SELECT '${SECRET}'::interval`],
  ["22007", `SELECT to_date('${SECRET}', 'YYYY')`],
  ["22008", `SELECT '2024-99-99'::date`],
  ["22009", `SELECT '2024-01-01 00:00:00+99:99'::timestamptz`],
  ["22003", `SELECT '${NUMBER}'::int`],
  ["22003", `SELECT ${NUMBER}::bigint::int`],
  ["22003", `SELECT '${NUMBER}'::smallint`],
  ["22003", `SELECT '1${NUMBER}${NUMBER}'::bigint`],
  ["22003", `SELECT '${NUMBER}'::numeric(3)`],
  ["22003", `SELECT '1e${NUMBER}'::float8`],
  ["22012", `SELECT ${NUMBER} / 0`],
  ["22001", `SELECT '${SECRET}'::text::varchar(3) FROM short; INSERT INTO short VALUES ('${SECRET}')`],
  ["22026", `INSERT INTO bits VALUES (B'10101')`],
  ["22021", `SELECT convert_from(E'\\\\xff', 'UTF8')`],
  ["22P04", `COPY pair_table FROM STDIN;\n${SECRET}\t1\t2\t3\n\\.\n`],
  ["22P02", `COPY pair_table FROM STDIN;\n${SECRET}\t${SECRET}\n\\.\n`],
  ["22P05", `SELECT convert_to('${SECRET} 🦊', 'LATIN1')`],
  ["22023", `SELECT encode('${SECRET}', '${SECRET}')`],
  ["22023", `SELECT decode('${SECRET}', 'hex')`],
  ["22011", `SELECT substring('${SECRET}' FROM 1 FOR -1)`],
  ["22014", `SELECT ntile(0) OVER ()`],
  ["2201B", `SELECT 'x' ~ '(${SECRET}'`],
  ["2201E", `SELECT ln(-${NUMBER})`],
  ["2201F", `SELECT sqrt(-${NUMBER})`],
  ["2201G", `SELECT width_bucket(${NUMBER}, 1, 1, 2)`],
  ["2201W", `SELECT 1 LIMIT -1`],
  ["2201X", `SELECT 1 OFFSET -1`],
  ["2202E", `SELECT ARRAY[ARRAY['${SECRET}'], ARRAY['a', 'b']]`],
  ["22004", `SELECT format('%I', NULL)`],
  ["22000", `SELECT int4range(9, 1)`],
  ["22025", `SELECT '${SECRET}' LIKE '%' ESCAPE '${SECRET}'`],
  ["2200M", `SELECT XMLPARSE(DOCUMENT '${SECRET}')`],
  ["2200M", `SELECT XMLPARSE(DOCUMENT '<a>${SECRET}')`],
  ["2200N", `SELECT XMLPARSE(CONTENT '<a>${SECRET}')`],
  ["2200S", `SELECT XMLCOMMENT('${SECRET}--')`],
  ["2200T", `SELECT XMLPI(NAME a, '${SECRET}?>')`],
  ["22033", `SELECT jsonb_path_query('["${SECRET}"]', 'strict $[9]')`],
  ["22038", `SELECT jsonb_path_query('"${SECRET}"', '$ + 1')`],
  ["2203A", `SELECT jsonb_path_query('{"a": "${SECRET}"}', 'strict $.b')`],
  ["23502", `INSERT INTO keyed VALUES (NULL, '${SECRET}')`],
  ["23503", `INSERT INTO child VALUES ('other-${SECRET}')`],
  ["23505", `INSERT INTO keyed VALUES ('${SECRET}', 'x')`],
  ["23505", `CREATE UNIQUE INDEX ON twice (id)`],
  ["23514", `INSERT INTO checked VALUES ('${SECRET}')`],
  ["23514", `SELECT '${SECRET}'::no_secret`],
  ["23514", `INSERT INTO parted VALUES ('${SECRET}')`],
  ["23P01", `INSERT INTO excluded VALUES ('${SECRET}'); INSERT INTO excluded VALUES ('${SECRET}')`],
];

const TABLES = `
CREATE TYPE mood AS ENUM ('sad'); CREATE TYPE pair AS (a int, b int);
CREATE TABLE short (t varchar(3)); CREATE TABLE bits (b bit(3)); CREATE TABLE pair_table (a int, b int);
CREATE TABLE keyed (id text PRIMARY KEY, t text); INSERT INTO keyed VALUES ('${SECRET}', 'x');
CREATE TABLE child (id text REFERENCES keyed);
CREATE TABLE twice (id text); INSERT INTO twice VALUES ('${SECRET}'), ('${SECRET}');
CREATE TABLE checked (t text CONSTRAINT no_such CHECK (t NOT LIKE '%Qx')); CREATE DOMAIN no_secret AS text CHECK (value NOT LIKE '%Qx');
CREATE TABLE parted (t text) PARTITION BY LIST (t);
CREATE TABLE excluded (t text, EXCLUDE (t WITH =));
CREATE TABLE hidden (a text); INSERT INTO hidden VALUES ('${SECRET}');
`;

test("no error that may quote a row shows a value of one, in any language", async () => {
  await cluster.createDatabase("rows");
  await cluster.sql("rows", TABLES);
  // A psql for each, as it ends with the error; some at a time.
  const left = [...MAY_QUOTE_A_ROW];
  const some = async () => {
    for (let one = left.pop(); one; one = left.pop()) await mustFail(...one);
  };
  await Promise.all([some(), some(), some(), some()]);
});

test("nor does one of a class that nobody thought of", async () => {
  for (const [code, sql] of [
    ["P0001", `DO $$ BEGIN RAISE '${SECRET}'; END $$`],
    [
      "ABC12",
      `DO $$ BEGIN RAISE '${SECRET}' USING errcode = 'ABC12', detail = E'${SECRET}\\nERROR:  42P01: ${SECRET}'; END $$`,
    ],
    ["42601", `SELECT 1 '${SECRET}'`],
    ["21000", `SELECT (SELECT a FROM hidden UNION ALL SELECT '${SECRET}')`],
    ["XX000", `DO $$ BEGIN RAISE '${SECRET}' USING errcode = 'XX000'; END $$`],
  ] as const)
    await mustFail(code, sql);
  const queries = ["SELECT ctid, a::int FROM hidden"];
  const error = await failure(async () => {
    for await (const _ of copyOut(queries, { address: bySocket("rows"), encoding: "UTF8" }, programs));
  });
  assert.equal(reasonOf(error, "sqlstate")?.code, "22P02");
  mustHide(error, "COPY");
});

test("a server that gives no answer in time is named, and not the program that was ended for it", async () => {
  const session = await postgres.connect(bySocket("plain"), { responseTimeout: 200 });
  const error = await failure(() => session.one("SELECT pg_sleep(30)").finally(() => session.close()));
  assert.equal(error.code, "database-unreachable");
  assert.match(error.message, /no response from database plain/);
});

async function mustFail(code: string, sql: string): Promise<void> {
  const session = await postgres.connect(bySocket("rows"), { writes: true, responseTimeout: 20_000 });
  const error = await failure(() => session.run(`${sql};`).finally(() => session.close()));
  assert.equal(reasonOf(error, "sqlstate")?.code, code, `${sql}\n${error.message}`);
  mustHide(error, sql);
}

/** Nowhere in it: message, hint, reason and whatever caused it. */
function mustHide(error: MigrationError, sql: string): void {
  const told = inspect(error, { depth: 9 });
  for (const value of [SECRET, "7Qx", NUMBER, "\\xff"]) assert.ok(!told.includes(value), `${sql}\n${told}`);
  assert.match(error.message, /\(SQLSTATE [0-9A-Z]{5}; the server's own message may quote a row/);
}
