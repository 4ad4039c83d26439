import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import {
  entriesOf,
  findObstacles,
  obstacleFinding,
} from "../../../src/homeserver/database/checks/obstacles.ts";
import { catalogueFindings } from "../../../src/homeserver/database/checks/postgres-findings.ts";
import { orphanRows } from "../../../src/homeserver/database/checks/orphans.ts";
import { databaseFacts } from "../../../src/homeserver/database/facts.ts";
import { leaveOutEntries } from "../../../src/homeserver/database/dump/left-out.ts";
import { noProgress } from "../../../src/system/progress.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { addressIn, makeMiniSynapse } from "../../support/mini-synapse.ts";
import { postgres, programs } from "../../support/moved-database.ts";

let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start();
  await cluster.createRole("reports", "x");
});
after(() => cluster.stop());

async function obstaclesIn(name: string, sql: string) {
  const address = await makeMiniSynapse(cluster, name);
  await cluster.sql(name, sql);
  const session = await postgres.connect(address);
  return findObstacles(session, address, postgres).finally(() => session.close());
}

/** Every kind of object that leans on an extension, or needs a superuser, or a role. */
const OBSTACLES = `
  create extension pg_stat_statements; create extension postgres_fdw; create extension dict_xsyn; create extension pg_trgm;
  create schema attic authorization mover;
  create view attic.slow as select query, calls from pg_stat_statements;
  comment on view attic.slow is 'what takes long'; comment on column attic.slow.calls is 'how often';
  create view "Slower" as select * from attic.slow;
  create materialized view kept as select count(*) as n from attic.slow with no data;
  create index kept_n on kept (n);
  create function calls_of(attic.slow, text default 'x') returns bigint language sql as 'select $1.calls';
  comment on function calls_of(attic.slow, text) is 'a function';
  create server far foreign data wrapper postgres_fdw options (host 'far.example');
  create user mapping for mover server far options (user 'x', password 'y');
  create foreign table far_events (event_id text) server far;
  create text search dictionary synonyms (template = xsyn_template);
  create text search configuration words (copy = simple);
  alter text search configuration words alter mapping for asciiword with synonyms;
  create function watch() returns event_trigger language plpgsql as 'begin end';
  create event trigger watched on ddl_command_end execute function watch();
  comment on event trigger watched is 'an event trigger';
  create function unchanged() returns trigger language internal as 'suppress_redundant_updates_trigger';
  create trigger "same again" before update on users for each row execute function unchanged();
  comment on trigger "same again" on users is 'a trigger';
  create function plus(integer, integer) returns integer language internal immutable strict as 'int4pl';
  create aggregate adding(integer) (sfunc = plus, stype = integer);
  create index users_plus on users (plus(admin, 1));
  alter table rooms enable row level security;
  create policy "only reports" on rooms for select to reports using (true);
  create policy anybody on rooms using (true);
  comment on policy "only reports" on rooms is 'a policy';`;

test("what leans on an extension that stays behind, needs a superuser or names roles is found and named", async () => {
  const found = await obstaclesIn("obstacles", OBSTACLES);
  const names = Object.fromEntries(found.map(({ id, objects }) => [id, objects.map(({ name }) => name)]));
  assert.deepEqual(names, {
    "objects-of-extensions": [
      "foreign table public.far_events",
      "function public.calls_of(attic.slow,pg_catalog.text)",
      "index public.kept_n",
      "materialized view public.kept",
      "server far",
      "text search configuration public.words",
      "text search dictionary public.synonyms",
      "user mapping mover on server far",
      'view public."Slower"',
      "view attic.slow",
    ].sort(),
    "objects-of-superusers": [
      "aggregate public.adding(integer)",
      "event trigger watched",
      "function public.plus(integer,integer)",
      "function public.unchanged()",
      "index public.users_plus",
      'trigger "same again" on public.users',
    ],
    "policies-of-roles": ['policy "only reports" on public.rooms'],
  });
  for (const obstacle of found) {
    const { level, hint = "" } = obstacleFinding(obstacle);
    assert.equal(level, "warning");
    assert.match(hint, new RegExp(`--accept ${obstacle.id}`));
  }
  const evidence = found.flatMap((one) => obstacleFinding(one).evidence ?? []);
  assert.ok(
    evidence.includes("view attic.slow, which needs extension pg_stat_statements"),
    evidence.join("\n"),
  );
});

test("a dump without them is restored by an ordinary role, and with them it is not", async () => {
  const { host, port } = cluster.address;
  const login = ["-h", host, "-p", String(port)];
  const args = ["--no-owner", "--no-privileges", '--extension="plpgsql"', '--extension="pg_trgm"'];
  const dump = execFileSync("pg_dump", [...login, "-U", "postgres", ...args, "obstacles"]);
  const address = addressIn(cluster, "obstacles");
  const session = await postgres.connect(address);
  const entries = entriesOf(await findObstacles(session, address, postgres));
  await session.close();
  const restore = async (name: string, source: AsyncIterable<Uint8Array>) => {
    await cluster.createDatabase(name, { owner: "mover" });
    const call = ["-X", "-q", "-v", "ON_ERROR_STOP=1", ...login, "-U", "mover", "-d", name];
    for await (const _ of programs.pipe({ name: "psql", args: call }, source));
  };
  const whole = async function* () {
    await Promise.resolve();
    yield dump;
  };
  await assert.rejects(restore("with them", whole()), { code: "program-failed" });
  await restore("without them", leaveOutEntries(entries)(whole()));
  const left = (name: string) =>
    cluster.sql(
      name,
      `select string_agg(relname, ',' order by relname) from pg_class where relkind in ('r','v','m','f') and relnamespace = 'public'::regnamespace and relname !~ 'pg_stat'`,
    );
  const all = (await left("obstacles")).split(",");
  assert.deepEqual(
    (await left("without them")).split(","),
    all.filter((name) => !["Slower", "kept", "far_events"].includes(name)),
  );
  assert.equal(
    await cluster.sql("without them", "select string_agg(polname, ',') from pg_policy"),
    "anybody",
  );
});

test("what cannot be left out is a blocker: a table, a default, a constraint", async () => {
  for (const [name, sql, said] of [
    [
      "column",
      "create extension isn; create extension seg; create extension pg_buffercache; create table of_view (v pg_buffercache)",
      /table public\.of_view, which needs extension pg_buffercache; it cannot be left out/,
    ],
    [
      "default",
      "create function one() returns int language internal as 'pg_backend_pid'; alter table users alter admin set default one()",
      /default value for public\.users\.admin, which needs function public\.one\(\); it cannot be left out/,
    ],
    [
      "check",
      "create function more(int, int) returns boolean language internal immutable as 'int4gt'; alter table users add constraint few check (more(100, admin))",
      /table constraint few on public\.users, which needs function public\.more\(integer,integer\); it cannot be left out/,
    ],
  ] as const) {
    const found = (await obstaclesIn(`blocked ${name}`, sql)).map(obstacleFinding);
    assert.deepEqual(
      found.map(({ level }) => level),
      ["blocker"],
    );
    assert.match((found[0]!.evidence ?? []).join("\n"), said);
  }
});

test("nothing is found in a database that has only what may be moved", async () => {
  const harmless = `create extension pg_trgm; create index on users using gin (name gin_trgm_ops);
    create extension pg_stat_statements; create view people as select name from users;
    create function twice(int) returns int language sql as 'select 2 * $1'; create policy own on rooms using (true);
    create type mood as enum ('good'); create domain few as int check (value < 9); create aggregate sums(int) (sfunc = int4pl, stype = int)`;
  assert.deepEqual(await obstaclesIn("harmless", harmless), []);
});

test("row security, large objects and tables that keep a dump from being made are blockers", async () => {
  const unreadable = async (name: string, sql: string) => {
    const address = await makeMiniSynapse(cluster, name);
    await cluster.sql(name, sql);
    const session = await postgres.connect(address);
    const findings = await catalogueFindings(session, await databaseFacts(session)).finally(() =>
      session.close(),
    );
    return findings
      .filter(({ level }) => level === "blocker")
      .map(({ id, evidence }) => [id, ...(evidence ?? [])]);
  };
  const forced = "alter table rooms enable row level security; alter table rooms force row level security";
  assert.deepEqual(await unreadable("hidden", forced), [["row-security", "rooms"]]);
  assert.deepEqual(await unreadable("foreign", "select lo_create(4711)"), [
    ["large-objects-unreadable", "owned by lab"],
  ]);
  assert.deepEqual(await unreadable("parts", "create table parts (n int) partition by list (n)"), [
    ["tables-unreadable", "parts"],
  ]);
  const readable = `alter table rooms enable row level security; select lo_create(4712); grant select on large object 4712 to mover;
    select lo_create(4713); grant select on large object 4713 to public; set role mover; select lo_create(4714)`;
  assert.deepEqual(await unreadable("readable", readable), []);
});

test("what calls functions by unqualified names while it is restored is found, and what has a search_path is not", async () => {
  const calling = `set role mover;
    create function known() returns bigint language sql stable as 'select count(*) from users';
    create function short(text) returns text language plpgsql immutable as 'begin return cut($1); end';
    create function cut(text) returns text language sql immutable as 'select left($1, 3)';
    create function has_room() returns boolean language sql as 'select exists (select from rooms)';
    create materialized view figures as select known() as users;
    create view through as select known() as users; create materialized view behind as select * from through;
    create index users_short on users (short(name)) where short(name) is not null;
    create index rooms_cut on rooms (cut(room_id));
    alter table users add constraint roomy check (has_room());
    create materialized view unfilled as select known() as users with no data;`;
  const found = await obstaclesIn("calling", calling);
  const [obstacle] = found;
  const evidence = found.flatMap((one) => obstacleFinding(one).evidence ?? []);
  assert.deepEqual(evidence, [
    "index public.users_short: function cut(text) does not exist",
    'materialized view public.behind: relation "users" does not exist',
    'materialized view public.figures: relation "users" does not exist',
    'table constraint roomy on public.users: relation "rooms" does not exist; it cannot be left out',
  ]);
  assert.equal(obstacle?.id, "objects-search-path");
  assert.match(obstacleFinding(obstacle).hint ?? "", /ALTER FUNCTION … SET search_path/);
  const mended = ["known()", "short(text)", "has_room()"]
    .map((name) => `alter function ${name} set search_path = public, pg_temp;`)
    .join("");
  assert.deepEqual(await obstaclesIn("mended", calling + mended), []);
});

test("rows that refer to nothing behind a validated foreign key are found, with and without indexes", async () => {
  const orphans = async (name: string, sql: string) => {
    const address = await makeMiniSynapse(cluster, name);
    await cluster.sql(name, sql);
    const session = await postgres.connect(address);
    const [quick, thorough] = [
      await orphanRows(session, { thorough: false }, noProgress),
      await orphanRows(session, { thorough: true }, noProgress),
    ];
    await session.close();
    assert.deepEqual(quick, thorough);
    return quick.flatMap(({ level, evidence }) => [level, ...(evidence ?? [])]);
  };
  const keys = `
    alter table rooms add constraint made_by foreign key (creator) references users (name);
    create table pairs (a int, b int, primary key (a, b)); insert into pairs values (1, 2);
    create table uses (n int, a int, b int, foreign key (a, b) references pairs (a, b));
    insert into uses values (1, 1, 2), (2, null, 7), (3, null, null);
    grant select on all tables in schema public to mover;`;
  assert.deepEqual(await orphans("whole", keys), []);
  const broken = `${keys} set session_replication_role = replica; delete from users where name = '@user1:example.org';
    insert into uses values (4, 1, 3), (5, 9, 9);`;
  assert.deepEqual(await orphans("orphans", broken), [
    "blocker",
    "rooms: 1 row without their row in users (foreign key made_by)",
    "uses: 2 rows without their row in pairs (foreign key uses_a_b_fkey)",
  ]);
  const unchecked = `set session_replication_role = replica; insert into rooms values ('!x:example.org', '@gone:example.org');
    alter table rooms add constraint made_by foreign key (creator) references users (name) not valid;`;
  assert.deepEqual(await orphans("not valid", unchecked), [], "such a key is restored as it is");
  const keysOfDevices = `alter table e2e_one_time_keys_json add unique (key_id); create table notes (key_id text references e2e_one_time_keys_json (key_id));
    insert into notes values ('AAA'); grant select on notes to mover`;
  assert.deepEqual(await orphans("one-time keys", keysOfDevices), [
    "blocker",
    "notes: 1 row that refer to e2e_one_time_keys_json, whose rows are not moved (foreign key notes_key_id_fkey)",
  ]);
});
