import assert from "node:assert/strict";
import { closeSync, copyFileSync, openSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { KNOWN_KEYS } from "../../src/homeserver/database/checks/known-keys.ts";
import { inspectDatabase } from "../../src/homeserver/database/inspect.ts";
import { openReadOnly } from "../../src/homeserver/database/open.ts";
import type { Homeserver } from "../../src/homeserver/homeserver.ts";
import { readHomeserver } from "../../src/homeserver/read.ts";
import type { Finding } from "../../src/report/finding.ts";
import { realFiles as files } from "../../src/system/files/files.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import { noProgress } from "../../src/system/progress.ts";
import { realSqlite } from "../../src/system/sqlite/sqlite.ts";
import { machineWith } from "../support/fake-machine.ts";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { register } from "../support/lab/matrix-client.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";

const signal = new AbortController().signal;
const programs = programsWith();
const system = {
  files,
  programs,
  signal,
  machine: machineWith(),
  postgres: realPostgres(programs),
  sqlite: realSqlite(files, signal),
};

/** Background updates pause so that people are served meanwhile; here there are none. */
const AT_ONCE = { background_updates: { sleep_enabled: false, background_update_duration_ms: 5000 } };

/** A little of a homeserver: two people, a room, a message; its background updates are done and it is stopped. */
async function livedOn(home: HomeserverFolder, pending: () => Promise<number>): Promise<void> {
  const server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  try {
    const admin = await register(server.baseUrl, home.registrationSharedSecret, {
      name: "ann",
      password: "p",
      admin: true,
    });
    const bob = await register(server.baseUrl, home.registrationSharedSecret, { name: "bob", password: "p" });
    const room = await admin.createRoom({ preset: "public_chat" });
    await bob.join(room);
    await bob.send(room, "hello");
    for (let tries = 0; (await pending()) > 0; tries++) {
      assert.ok(tries < 600, "the background updates do not end");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    await server.stop();
  }
}

async function inspect(homeserver: Homeserver, deep = false, running = false) {
  const opened = await openReadOnly(homeserver, deep, system);
  try {
    return await inspectDatabase(
      opened,
      { serverName: homeserver.serverName, deep, running },
      system,
      noProgress,
    );
  } finally {
    await opened.session.close();
  }
}

/** Those that are worth a person's attention, by id. */
const grave = (findings: readonly Finding[]) =>
  findings.filter(({ level }) => level !== "ok" && level !== "note").map(({ id, level }) => `${id} ${level}`);

const found = (findings: readonly Finding[], id: string) => {
  const finding = findings.find((one) => one.id === id);
  assert.ok(finding, `${id} is not among ${findings.map((one) => one.id).join(", ")}`);
  return finding;
};

describe("a homeserver's PostgreSQL that is inspected", () => {
  let cluster: PostgresCluster;
  let home: HomeserverFolder;
  let healthy: Homeserver;
  let copies = 0;

  before(async () => {
    cluster = await PostgresCluster.start();
    await cluster.createRole("syn", "pw");
    await cluster.createDatabase("healthy", { owner: "syn" });
    const { host, port } = cluster.address;
    home = await makeHomeserverFolder({
      database: { name: "psycopg2", args: { user: "syn", password: "pw", dbname: "healthy", host, port } },
      settings: AT_ONCE,
    });
    await livedOn(home, async () =>
      Number(await cluster.sql("healthy", "select count(*) from background_updates")),
    );
    healthy = await readHomeserver({ configPaths: [home.configFile], workingFolder: home.dataFolder }, files);
  });
  after(() => cluster.stop());

  const on = (dbname: string): Homeserver => ({
    ...healthy,
    database: {
      kind: "postgres",
      args: { user: "syn", password: "pw", dbname, host: cluster.address.host, port: cluster.address.port },
    },
  });

  /** A copy with a fault in it. */
  async function with_(fault: string, superuser = true): Promise<Homeserver> {
    const name = `fault${++copies}`;
    await cluster.sql("postgres", `create database ${name} template healthy owner syn strategy file_copy`);
    await cluster.sql(name, superuser ? fault : `set role syn; ${fault}`);
    return on(name);
  }

  test("has nothing to say about a healthy one, and knows its sizes and schema", async () => {
    for (const deep of [false, true]) {
      const { findings, facts } = await inspect(healthy, deep);
      assert.deepEqual(grave(findings), []);
      assert.equal(facts.engine, "postgres");
      assert.match(facts.version, /^\d+\.\d+$/);
      assert.ok(facts.bytes > 5_000_000);
      assert.ok(facts.tables.length > 150);
      assert.ok(facts.tables[0]!.bytes >= facts.tables[1]!.bytes);
      assert.deepEqual(facts.schema, { version: 94, compat: 84 });
    }
  });

  test("says the same of one whose role has settings that change how a server reads and answers", async () => {
    const settings = [
      ...["standard_conforming_strings = off", "quote_all_identifiers = on", "bytea_output = 'escape'"],
      ...[
        "datestyle = 'German'",
        "extra_float_digits = -10",
        "client_encoding = 'LATIN1'",
        "timezone = 'Asia/Kathmandu'",
      ],
      ...["statement_timeout = '5s'", "lock_timeout = '5s'", "idle_in_transaction_session_timeout = '1ms'"],
      ...["default_transaction_read_only = on", "default_transaction_isolation = 'serializable'"],
      ...["default_transaction_deferrable = on", "row_security = off"],
    ];
    const name = `fault${copies + 1}`;
    const set = settings.map((setting) => `alter role syn in database ${name} set ${setting}`).join("; ");
    const { findings } = await inspect(await with_(set), true);
    assert.deepEqual(
      grave(findings),
      [],
      JSON.stringify(findings.filter(({ level }) => level === "blocker")),
    );
  });

  test("changes nothing, and the server would not let it", async () => {
    const state = () =>
      cluster.sql(
        "healthy",
        `select md5(string_agg(line, '' order by line)) from (
           select relname || n_tup_ins || '/' || n_tup_upd || '/' || n_tup_del as line from pg_stat_user_tables
           union all select sequencename || last_value from pg_sequences union all select relname || relfilenode from pg_class) as lines`,
      );
    const before = await state();
    await inspect(healthy, true);
    assert.equal(await state(), before);
    for (const write of [
      "insert into users (name) values ('@x:old.example')",
      "create temporary table t as select 1",
      "select setval('events_stream_seq', 99)",
      "select nextval('events_stream_seq')",
      "update users set admin = 1",
    ]) {
      const opened = await openReadOnly(healthy, false, system);
      assert.ok(opened.engine === "postgres");
      if (write.startsWith("create temporary")) {
        // PostgreSQL allows these in a read-only transaction: they are no data of anybody's.
        await opened.session.close();
        continue;
      }
      await assert.rejects(opened.session.run(write + ";"), /read-only transaction/, write);
      await opened.session.close();
    }
    assert.equal(await state(), before);
  });

  const faults: readonly {
    id: string;
    level: string;
    fault: string;
    says: RegExp;
    deep?: true;
    owned?: true;
  }[] = [
    {
      id: "background-updates",
      level: "warning",
      fault:
        "insert into background_updates (update_name, progress_json) values ('populate_stats_process_rooms', '{}')",
      says: /populate_stats_process_rooms/,
    },
    {
      id: "sequences-behind",
      level: "warning",
      fault:
        "select setval('events_stream_seq', 1); insert into stream_positions values ('account_data', 'master', 999)",
      says: /events_stream_seq: at 1, but events\.stream_ordering is \d+/,
    },
    {
      id: "users-foreign",
      level: "blocker",
      fault: "insert into users (name) values ('@eve:elsewhere.example')",
      says: /elsewhere\.example: 1/,
    },
    {
      id: "tables-unknown",
      level: "warning",
      fault: "create table guestbook (n int); alter table guestbook owner to syn",
      says: /guestbook/,
    },
    {
      id: "indexes-invalid",
      level: "warning",
      fault: "update pg_index set indisvalid = false where indexrelid = 'receipts_linearized_user'::regclass",
      says: /receipts_linearized_user/,
    },
    {
      id: "tables-unreadable",
      level: "blocker",
      fault:
        "create table state_compressor_state (n int); revoke all on state_compressor_state from public, syn; alter table state_compressor_state owner to postgres",
      says: /state_compressor_state/,
    },
    {
      id: "schemas-other",
      level: "warning",
      fault:
        "create schema attic authorization syn; create table attic.old (n int); alter table attic.old owner to syn",
      says: /attic: 1 table/,
    },
    { id: "extensions", level: "note", fault: "create extension pageinspect", says: /pageinspect/ },
    {
      id: "duplicate-rows",
      level: "blocker",
      deep: true,
      fault: `alter table profiles drop constraint profiles_user_id_key;
        insert into profiles (user_id, full_user_id, displayname) select user_id, '@twin-of-' || user_id || ':old.example', 'twin' from profiles;
        create index broken_unique on profiles (user_id);
        update pg_index set indisunique = true where indexrelid = 'broken_unique'::regclass`,
      says: /profiles: 2 duplicate values in the unique index broken_unique/,
    },
  ];

  for (const { id, level, fault, says, deep = false } of faults) {
    test(`finds ${id}, and nothing else`, async () => {
      const { findings } = await inspect(await with_(fault), deep);
      assert.deepEqual(grave(findings), level === "note" ? [] : [`${id} ${level}`]);
      const { sentence, evidence = [], hint, level: told } = found(findings, id);
      assert.equal(told, level);
      assert.match([sentence, ...evidence].join("\n"), says);
      assert.ok(hint, "says what to do");
    });
  }

  test("names the unique indexes of Synapse that a database lacks, and statements that create them", async () => {
    const broken = await with_(`
      alter table users drop constraint users_name_key cascade;
      drop index user_ips_user_token_ip_unique_index, receipts_graph_unique_index;
      alter table e2e_device_keys_json drop constraint e2e_device_keys_json_uniqueness;
      create unique index e2e_device_keys_json_uniqueness on e2e_device_keys_json (user_id) where device_id is null;
      alter table rooms drop constraint rooms_pkey cascade;
      create index rooms_pkey on rooms (room_id);
      update pg_index set indisvalid = false where indexrelid = 'profiles_user_id_key'::regclass;
      alter table push_rules drop constraint push_rules_pkey;
      alter table push_rules add constraint other_name unique (id)`);
    const { findings } = await inspect(broken);
    assert.deepEqual(grave(findings), ["indexes-invalid warning", "unique-indexes-missing warning"]);
    const { evidence } = found(findings, "unique-indexes-missing");
    assert.deepEqual(
      evidence!.map((line) => line.split(" (")[0]),
      ["e2e_device_keys_json", "receipts_graph", "rooms", "user_ips", "users"],
    );
    assert.match(found(findings, "indexes-invalid").evidence!.join(), /profiles_user_id_key, a unique index/);
    assert.ok(broken.database.kind === "postgres");
    const name = String(broken.database.args["dbname"]);
    for (const line of evidence!)
      for (const statement of line.slice(line.indexOf("; ") + 2).split(/(?<=;) /))
        await cluster.sql(name, statement);
    await cluster.sql(name, "reindex index concurrently profiles_user_id_key");
    assert.deepEqual(grave((await inspect(broken)).findings), []);
  });

  test("counts what a lacking unique index let in, and waits for those that background updates create", async () => {
    const doubled = await with_(
      "drop index user_directory_user_idx; insert into user_directory (user_id) select '@ann:old.example' from generate_series(1, 3)",
    );
    const quick = await inspect(doubled);
    assert.doesNotMatch(found(quick.findings, "unique-indexes-missing").evidence!.join(), /more than once/);
    const { findings } = await inspect(doubled, true);
    assert.match(found(findings, "unique-indexes-missing").evidence!.join(), /1 of its values occur/);
    const updating = await with_(
      "drop index user_directory_user_idx; insert into background_updates (update_name, progress_json) values ('x', '{}')",
    );
    assert.deepEqual(grave((await inspect(updating)).findings), ["background-updates warning"]);
  });

  test("knows every unique index of Synapse's own schema", async () => {
    const made = await cluster.sql(
      "healthy",
      "select string_agg(indrelid::regclass || ' ' || indexrelid::regclass, ',') from pg_index join pg_class c on c.oid = indrelid where indisunique and relnamespace = 'public'::regnamespace",
    );
    assert.deepEqual(made.split(",").sort(), KNOWN_KEYS.map(({ table, name }) => `${table} ${name}`).sort());
  });

  test("finds rows that a UTF-8 database refuses, where the old one took anything", async () => {
    const dump = join(temporaryFolder("dump"), "healthy.sql");
    await programs.run({
      name: join(cluster.programs, "pg_dump"),
      args: [
        "-h",
        cluster.address.socketFolder,
        "-p",
        String(cluster.address.port),
        "-U",
        "postgres",
        "--no-owner",
        "-f",
        dump,
        "healthy",
      ],
    });
    await cluster.sql(
      "postgres",
      "create database ascii owner syn encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0",
    );
    await cluster.sql("ascii", `set role syn; \\i ${dump}`);
    await cluster.sql(
      "ascii",
      "update public.profiles set displayname = 'caf' || chr(233) where user_id = 'bob'",
    );

    const quick = await inspect(on("ascii"));
    assert.deepEqual(grave(quick.findings), ["database-encoding warning"]);
    assert.match(found(quick.findings, "database-encoding").hint!, /--deep/);
    const { findings } = await inspect(on("ascii"), true);
    assert.deepEqual(grave(findings), ["database-encoding warning", "database-text blocker"]);
    const { evidence } = found(findings, "database-text");
    assert.equal(evidence?.length, 1);
    assert.match(evidence[0]!, /^(public\.)?profiles: 1 row, the first at ctid \(0,\d+\)$/);
  });

  test("warns of a locale other than C", async () => {
    await cluster.sql(
      "postgres",
      "create database lettered owner syn encoding 'UTF8' lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8' template template0",
    );
    const { findings } = await inspect(on("lettered"));
    assert.match(found(findings, "database-locale").sentence, /C\.UTF-8, not C/);
  });

  test("names a table that cannot be read to its end, and goes on with the next", async () => {
    const broken = await with_("select 1");
    assert.ok(broken.database.kind === "postgres");
    const name = String(broken.database.args["dbname"]);
    const file = await cluster.sql(
      name,
      "select current_setting('data_directory') || '/' || pg_relation_filepath('rooms')",
    );
    // Over the header of its first page, before anybody has read it.
    const handle = openSync(file, "r+");
    writeSync(handle, Buffer.alloc(64, 0xa5), 0, 64, 0);
    closeSync(handle);
    const { findings } = await inspect(broken, true);
    assert.ok(grave(findings).includes("tables-broken blocker"), grave(findings).join());
    assert.match(found(findings, "tables-broken").evidence!.join(), /rooms: invalid page in block 0/);
  });

  test("says so when the database is empty, or somebody else's", async () => {
    await cluster.sql(
      "postgres",
      "create database nothing owner syn encoding 'UTF8' lc_collate 'C' lc_ctype 'C' template template0",
    );
    assert.deepEqual(grave((await inspect(on("nothing"))).findings), ["database-empty blocker"]);
    await cluster.sql(
      "nothing",
      "set role syn; create table customers (n int); create table users (name text)",
    );
    const { findings } = await inspect(on("nothing"));
    assert.deepEqual(grave(findings), ["database-foreign blocker"]);
    assert.match(found(findings, "database-foreign").evidence!.join(), /there is no table schema_version/);
  });

  test("a wrong password and a server that is not there are clear errors", async () => {
    const wrong = {
      ...healthy,
      database: {
        kind: "postgres",
        args: { user: "nobody", dbname: "healthy", host: cluster.address.host, port: cluster.address.port },
      },
    } as const;
    await assert.rejects(inspect(wrong), { code: "database-unreachable" });
    const gone = {
      ...healthy,
      database: { kind: "postgres", args: { user: "syn", dbname: "healthy", host: "127.0.0.1", port: 1 } },
    } as const;
    await assert.rejects(inspect(gone), { code: "database-unreachable" });
  });
});

describe("a homeserver's SQLite that is inspected", () => {
  let home: HomeserverFolder;
  let healthy: Homeserver & { database: { kind: "sqlite"; path: string } };

  before(async () => {
    home = await makeHomeserverFolder({ serverName: "lite.example", settings: AT_ONCE });
    const path = join(home.dataFolder, "homeserver.db");
    await livedOn(home, () => {
      const database = new DatabaseSync(path, { readOnly: true });
      const row = database.prepare("select count(*) as count from background_updates").get();
      database.close();
      return Promise.resolve(Number(row!["count"]));
    });
    const read = await readHomeserver(
      { configPaths: [home.configFile], workingFolder: home.dataFolder },
      files,
    );
    healthy = { ...read, database: { kind: "sqlite", path } };
  });

  function copyWith(fault: (path: string) => void): Homeserver {
    const path = join(temporaryFolder("lite"), "homeserver.db");
    copyFileSync(healthy.database.path, path);
    fault(path);
    return { ...healthy, database: { kind: "sqlite", path } };
  }
  const sql = (text: string) => (path: string) => {
    const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
    database.exec(text);
    database.close();
  };

  test("has nothing to say about a healthy one", async () => {
    for (const deep of [false, true]) {
      const { findings, facts } = await inspect(healthy, deep);
      assert.deepEqual(grave(findings), []);
      assert.deepEqual(facts.schema, { version: 94, compat: 84 });
      assert.ok(facts.tables.some(({ name, bytes }) => name === "event_json" && bytes > 0));
    }
  });

  test("finds what was planted, by name", async () => {
    const planted: readonly [string, boolean, (path: string) => void][] = [
      ["users-foreign blocker", false, sql("insert into users (name) values ('@eve:elsewhere.example')")],
      [
        "background-updates warning",
        false,
        sql("insert into background_updates (update_name, progress_json) values ('x', '{}')"),
      ],
      [
        "unique-indexes-missing warning",
        false,
        sql("drop index user_directory_user_idx; drop index receipts_graph_unique_index"),
      ],
      [
        "sqlite-integrity blocker",
        false,
        (path) => {
          const handle = openSync(path, "r+");
          // A page in the middle of the file that belongs to some table or index.
          writeSync(
            handle,
            Buffer.alloc(200, 0x5a),
            0,
            200,
            Math.floor(statSync(path).size / 2 / 4096) * 4096,
          );
          closeSync(handle);
        },
      ],
    ];
    for (const [expected, deep, fault] of planted) {
      const { findings } = await inspect(copyWith(fault), deep);
      assert.deepEqual(grave(findings), [expected]);
    }
  });

  test("notes what matters only when it is ported, or when the file is copied by hand", async () => {
    const noted: readonly [string, (path: string) => void][] = [
      ["sqlite-auto-vacuum", sql("pragma auto_vacuum = 1; vacuum")],
      [
        "sqlite-foreign-keys",
        sql(
          "insert into refresh_tokens (id, user_id, device_id, token, next_token_id) values (7, '@bob:lite.example', 'D', 't', 99)",
        ),
      ],
      [
        "sqlite-wal",
        (path) => {
          writeFileSync(`${path}-wal`, Buffer.alloc(4152, 1));
        },
      ],
    ];
    for (const [expected, fault] of noted) {
      const { findings } = await inspect(copyWith(fault), true);
      assert.deepEqual(grave(findings), []);
      assert.equal(findings.find(({ id }) => id === expected)?.level, "note", expected);
    }
  });
});
