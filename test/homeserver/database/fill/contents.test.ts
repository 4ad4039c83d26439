import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { describeObjects, objectsInDatabase } from "../../../../src/homeserver/database/fill/contents.ts";
import {
  emptyDatabase,
  markHalfFilled,
  newMark,
} from "../../../../src/homeserver/database/fill/interrupted.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { PostgresCluster } from "../../../support/lab/postgres-cluster.ts";
import { makeMiniSynapse } from "../../../support/mini-synapse.ts";
import { postgres } from "../../../support/moved-database.ts";

let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start();
});
after(() => cluster.stop());

const ONE_OF_EACH = `
set role mover;
create schema other; create table other.t (id serial primary key); create schema "Odd ""name""";
create table "a ""table" (id int generated always as identity, word text unique); create index on "a ""table" (lower(word));
create view v as select 1 as one; create materialized view m as select 1 as one; create sequence s;
create type pair as (one int, two text); create type mood as enum ('good'); create domain positive as int check (value > 0);
create type span as range (subtype = float8);
create function f(int, text) returns int language sql as 'select 1'; create procedure p() language sql as 'select 1';
create aggregate total(int) (sfunc = int4pl, stype = int);
create operator === (leftarg = int, rightarg = int, function = int4eq);
create collation german (locale = 'C');
create statistics together on id, word from "a ""table";
create text search configuration words (copy = pg_catalog.simple);
create text search dictionary plain (template = pg_catalog.simple);`;

const MADE = [
  "aggregate public.total(integer)",
  "collation public.german",
  "function public.f(integer,pg_catalog.text)",
  "materialized view public.m",
  "operator public.===(integer,integer)",
  "procedure public.p()",
  'schema "Odd ""name"""',
  "schema other",
  "sequence public.s",
  'table public."a ""table"',
  "table other.t",
  "text search configuration public.words",
  "text search dictionary public.plain",
  "type public.mood",
  "type public.pair",
  "type public.positive",
  "type public.span",
  "view public.v",
].sort();

test("one of each kind of object is found once, and an interrupted restore leaves none of them", async () => {
  const address = await makeMiniSynapse(cluster, "each");
  await cluster.sql("each", "create schema theirs; create extension pg_stat_statements schema theirs");
  const found = async () => {
    const session = await postgres.connect(address);
    return objectsInDatabase(session).finally(() => session.close());
  };
  const before = await found();
  assert.ok(
    before.every(({ kind }) => kind === "table" || kind === "sequence"),
    describeObjects(before),
  );
  await cluster.sql("each", ONE_OF_EACH);
  const made = (await found()).filter(({ name }) => !before.some((one) => one.name === name));
  assert.deepEqual(made.map(({ kind, name }) => `${kind} ${name}`).sort(), MADE);

  const mark = newMark("00000000-0000-4000-8000-000000000000");
  await markHalfFilled(address, { mark, from: "bundle 1" }, postgres);
  const tables = await cluster.sql("each", "select schemaname || '.' || tablename from pg_tables");
  const rows = Object.fromEntries(tables.split("\n").map((name) => [name, 0]));
  await emptyDatabase(address, { mark, rows }, { postgres, machine: machineWith() });
  assert.deepEqual(await found(), []);
  const extensions = "select count(*) from pg_extension where extname = 'pg_stat_statements'";
  assert.equal(await cluster.sql("each", extensions), "1");
});
