import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Homeserver } from "../../../src/homeserver/homeserver.ts";
import { findTrialSources } from "../../../src/homeserver/database/source.ts";
import { rejectedStatements } from "../../../src/homeserver/database/trial/entries.ts";
import { trySchemas } from "../../../src/homeserver/database/trial/run.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import { noProgress } from "../../../src/system/progress.ts";
import type { System } from "../../../src/system/system.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { addressIn, makeMiniSynapse } from "../../support/mini-synapse.ts";
import { postgres, programs } from "../../support/moved-database.ts";

let cluster: PostgresCluster;
let uuids = 0;
const machine = machineWith({ uuid: () => `00000000-0000-4000-8000-${String(++uuids).padStart(12, "0")}` });
const system = {
  files,
  programs,
  postgres,
  machine,
  signal: new AbortController().signal,
} as unknown as System;

before(async () => {
  cluster = await PostgresCluster.start();
  await cluster.sql("postgres", "create role lowly login");
});
after(() => cluster.stop());

const trials = () =>
  cluster.sql("postgres", "select string_agg(datname, ',') from pg_database where datname like 'synlift%'");

/** The trial of this database, once this was done to it, on the same server as this user. */
async function tried(name: string, sql: string, on = addressIn(cluster, "postgres"), progress = noProgress) {
  const { parameters } = await makeMiniSynapse(cluster, name);
  if (sql !== "") await cluster.sql(name, sql);
  const homeserver = { database: { kind: "postgres", args: parameters } } as unknown as Homeserver;
  return trySchemas(await findTrialSources(homeserver, system), on, system, progress);
}

test("a schema that can be restored is, without rows, and nothing of it is left", async () => {
  const [finding, ...more] = await tried(
    "healthy",
    "create extension pg_trgm; set role mover; create schema attic; create table attic.t (n int)",
  );
  assert.deepEqual(more, []);
  assert.equal(finding?.level, "ok");
  assert.match(finding.sentence, /a throw-away database on 127\.0\.0\.1:\d+, PostgreSQL 15\.\d+, as mover/);
  assert.equal(await trials(), "");
});

test("each object that the server rejects is named with what it says, and the database is dropped all the same", async () => {
  const sql = `
    create function replaying() returns int language sql set session_replication_role = replica as 'select 1';
    create view "Worse" as select replaying() as n; comment on view "Worse" is 'a view';
    create extension pg_stat_statements; create view slow as select query from pg_stat_statements`;
  const [finding] = await tried("worse", sql);
  assert.equal(finding?.level, "warning");
  assert.deepEqual(finding.evidence?.slice(0, 2), [
    'function public.replaying(): permission denied to set parameter "session_replication_role"',
    "view public.Worse: function public.replaying() does not exist",
  ]);
  assert.doesNotMatch(
    JSON.stringify(finding.evidence),
    /slow/,
    "what is left out of the bundle is left out here",
  );
  assert.match(finding.hint ?? "", /--accept schema-trial/);
  assert.equal(await trials(), "");
});

test("what a killed run left is dropped by the next, and what another run uses is not", async () => {
  const [left, used] = ["a", "b"].map((digit) => `synlift_trial_${digit.repeat(32)}`);
  for (const name of [left, used, "synlift_trials"]) await cluster.createDatabase(name!, { owner: "mover" });
  const other = await postgres.connect(addressIn(cluster, used!));
  const notes: string[] = [];
  const noting = { ...noProgress, note: (sentence: string) => notes.push(sentence) };
  await tried("again", "", addressIn(cluster, "not made yet"), noting);
  assert.equal(await trials(), `${used},synlift_trials`);
  assert.deepEqual(notes, [
    `the throw-away database ${left}, which an interrupted run had left, was dropped`,
  ]);
  await other.close();
});

test("why there can be no trial is said: a user that may create no database", async () => {
  const [finding] = await tried("forbidden", "", addressIn(cluster, "postgres", "lowly"));
  assert.equal(finding?.level, "warning");
  assert.match(finding.sentence, /could not be tried in .* as lowly: this user may not create databases/);
  assert.match(finding.hint ?? "", /ALTER ROLE lowly CREATEDB/);
});

test("an error is found in whatever language, and a notice is none", () => {
  const said = [
    "psql:<stdin>:12: FEHLER:  42P01: Relation »x« existiert nicht",
    "LOCATION:  parserOpenTable, parse_relation.c:1392",
    "psql:<stdin>:14: NOTICE:  00000: schema exists",
    "psql:<stdin>:20: ERROR:  42501: permission denied",
  ];
  assert.deepEqual(rejectedStatements(said.join("\n")), [
    { line: 12, message: "Relation »x« existiert nicht" },
    { line: 20, message: "permission denied" },
  ]);
});
