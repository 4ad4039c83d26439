import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { DATABASE_OPTIONS } from "../../src/commands/options/database.ts";
import { createRole, type RoleOrder } from "../../src/homeserver/database/role/create.ts";
import { type GeneratedPasswords, planRole } from "../../src/homeserver/database/role/order.ts";
import { scramVerifier } from "../../src/homeserver/database/role/scram.ts";
import { createRoles } from "../../src/move/restore/roles.ts";
import { realFiles } from "../../src/system/files/files.ts";
import type { Postgres, PostgresAddress } from "../../src/system/postgres/postgres.ts";
import { noProgress } from "../../src/system/progress.ts";
import type { System } from "../../src/system/system.ts";
import { machineWith } from "../support/fake-machine.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { postgres } from "../support/moved-database.ts";
import { exportOf, makeSmallHomeserver } from "../support/small-homeserver.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// `restore --create-role`, on a server where passwords count and the administrator logs in as Debian's does.

let cluster: PostgresCluster;
let bundle: string;
let work: string;
let made = 0;

before(async () => {
  work = temporaryFolder("create-role");
  cluster = await PostgresCluster.start({
    access: [
      // Only root may become the account postgres.
      `local all postgres ${userInfo().uid === 0 ? "peer" : "trust"}`,
      "local all all scram-sha-256",
      "host all mover 127.0.0.1/32 trust",
      "host all all 127.0.0.1/32 scram-sha-256",
    ],
    settings: {
      ...{ logging_collector: "on", log_directory: "log", log_filename: "all.log" },
      ...{ log_statement: "all", log_min_duration_statement: "0", log_min_error_statement: "debug5" },
    },
  });
  await makeMiniSynapse(cluster, "old");
  const { host, port } = cluster.address;
  const args = { host, port, user: "mover", dbname: "old", cp_min: 1 };
  const home = await makeSmallHomeserver({ database: { name: "psycopg2", args } });
  bundle = join(work, "bundle");
  await synliftWell(exportOf(home, bundle));
});
after(() => cluster.stop());

const serverLog = () => readFileSync(join(cluster.address.socketFolder, "data/log/all.log"), "utf8");

/** A user, a database of the same name and a password file, none of which exists. */
function newPlace() {
  const name = `new-${++made}`;
  const { socketFolder: host, port } = cluster.address;
  const folder = join(work, name);
  const passwordFile = join(work, `${name}.password`);
  const address = `host=${host} port=${port} user=${name} dbname=${name}`;
  const typed = { parameters: { host, port: String(port), user: name, dbname: name } };
  const wish = {
    by: "--create-role" as const,
    option: "--database",
    typed,
    passwordFile,
    administrator: undefined,
    accounts: [],
  };
  const restore = [
    ...["restore", bundle, "--passphrase-file", `${bundle}.passphrase`, "--json", "--create-role"],
    ...["--database", address],
    ...["--database-password-file", passwordFile],
    ...["--config-dir", join(folder, "config"), "--media-dir", join(folder, "media")],
  ];
  return { name, folder, passwordFile, address, wish, restore };
}

const roleOf = (name: string) =>
  cluster.sql(
    "postgres",
    `select rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolpassword from pg_authid where rolname = '${name}'`,
  );

const databaseOf = (name: string) =>
  cluster.sql(
    "postgres",
    `select rolname, pg_encoding_to_char(encoding), datcollate, datctype from pg_database join pg_roles r on r.oid = datdba where datname = '${name}'`,
  );

const addressOver = (name: string, password: string): PostgresAddress => ({
  parameters: { host: "127.0.0.1", port: String(cluster.address.port), user: name, dbname: name },
  password,
});

const sentences = (ran: Awaited<ReturnType<typeof synlift>>) =>
  resultOf(ran).findings.flatMap(({ id, sentence }) => (id === "database-role" ? [sentence] : []));

test("restore creates the user, its password and its database, and the new server's settings have them", async () => {
  const { name, folder, passwordFile, restore } = newPlace();
  const dry = await synliftWell([...restore, "--dry-run"]);
  assert.deepEqual(sentences(dry), [`role ${name} and database ${name} will be created in PostgreSQL`]);
  assert.equal(await roleOf(name), "", "a dry run creates nothing");
  assert.ok(!existsSync(passwordFile), "and writes nothing");

  const ran = await synliftWell(restore);
  assert.deepEqual(sentences(ran), [`role ${name} and database ${name} created in PostgreSQL`]);
  assert.ok(ran.stdout.includes(`DROP DATABASE \\"${name}\\"; DROP ROLE \\"${name}\\";`), ran.stdout);
  assert.equal(await databaseOf(name), `${name}\tUTF8\tC\tC`);
  assert.equal(await cluster.sql(name, "select count(*) from events"), "500");

  assert.equal(statSync(passwordFile).mode & 0o777, 0o600);
  const password = readFileSync(passwordFile, "utf8").trim();
  assert.match(password, /^[0-9a-f]{48}$/);
  const config = readFileSync(join(folder, "config/homeserver.yaml.fenced"), "utf8");
  assert.ok(config.includes(password), "Synapse logs in with it");
  await (await postgres.connect(addressOver(name, password))).close();
  await assert.rejects(postgres.connect(addressOver(name, `${password}0`)), { code: "database-unreachable" });

  const before = await roleOf(name);
  assert.match(before, /^t\tf\tf\tf\tSCRAM-SHA-256\$4096:/);
  const log = serverLog();
  assert.ok(log.includes(`CREATE ROLE "${name}" LOGIN`), "the log has everything else");
  for (const secret of [password, "SCRAM-SHA-256$"]) {
    assert.ok(!log.includes(secret), "no secret is in the server's log");
    assert.ok(!(ran.stdout + ran.stderr).includes(secret), "nor in what is said");
  }

  const again = await synliftWell(restore);
  assert.deepEqual(sentences(again), [
    `role ${name} and database ${name} exist already, and are left as they are`,
  ]);
  assert.equal(await roleOf(name), before);
});

/** Where the functions themselves are called. */
const system = { postgres, files: realFiles, machine: machineWith({ isRoot: userInfo().uid === 0 }) };
const all = system as unknown as System;
const anybody = { owner: undefined };

const orderFor = (name: string, administrator: string, password: string): RoleOrder => ({
  address: addressOver(name, "chosen by hand"),
  passwordFile: join(work, `${name}.password`),
  administrator: {
    ...addressOver(administrator, password),
    parameters: { ...addressOver(administrator, password).parameters, dbname: "postgres" },
  },
});

test("a user that exists keeps its password and gets its database, and is refused where its password is unknown", async () => {
  const { name, passwordFile, wish } = newPlace();
  await cluster.createRole(name, "as it was, ünd stays");
  const before = await roleOf(name);
  await assert.rejects(planRole(wish, new Map(), system), {
    code: "bad-usage",
    message: `role ${name} exists already, and there is no file ${passwordFile} with its password`,
  });
  writeFileSync(passwordFile, "as it was, ünd stays\n", { mode: 0o600 });
  const order = await planRole(wish, new Map(), system);
  const { roleExists, databaseExists } = await createRole(order, system);
  assert.deepEqual([roleExists, databaseExists], [true, false]);
  assert.equal(await databaseOf(name), `${name}\tUTF8\tC\tC`);
  assert.equal(await roleOf(name), before);
});

test("an interruption between user and database is made good by the next run, also by an administrator who is no superuser", async () => {
  await cluster.createRole("keeper", "kept");
  await cluster.sql("postgres", "alter role keeper createrole createdb");
  const { name } = newPlace();
  const order = orderFor(name, "keeper", "kept");
  const killed: Postgres = {
    async connect(...to) {
      const session = await postgres.connect(...to);
      const runAlone = session.runAlone.bind(session);
      session.runAlone = (sql) =>
        sql.startsWith("CREATE DATABASE") ? Promise.reject(new Error("killed")) : runAlone(sql);
      return session;
    },
  };
  await assert.rejects(createRole(order, { ...system, postgres: killed }), /killed/);
  const before = await roleOf(name);
  assert.match(before, /SCRAM-SHA-256/);
  assert.equal(await databaseOf(name), "");

  const { roleExists, databaseExists } = await createRole(order, system);
  assert.deepEqual([roleExists, databaseExists], [true, false]);
  assert.equal(await databaseOf(name), `${name}\tUTF8\tC\tC`);
  assert.equal(await roleOf(name), before);
  await (await postgres.connect(order.address)).close();
  assert.ok(!serverLog().includes("chosen by hand"));

  const whole = newPlace().name;
  await createRole(orderFor(whole, "keeper", "kept"), system);
  assert.equal(await databaseOf(whole), `${whole}\tUTF8\tC\tC`);
  await assert.rejects(
    cluster.sql("postgres", `set session authorization keeper; set role "${whole}"`),
    /permission denied/,
    "the administrator may act as the new user only while the database is created",
  );
});

test("an administrator who may not create users is told so before anything is created", async () => {
  await cluster.createRole("lowly", "low");
  await cluster.sql("postgres", "alter role lowly createdb");
  const { name, passwordFile, address } = newPlace();
  writeFileSync(join(work, "lowly.password"), "low\n", { mode: 0o600 });
  const given = {
    database: address,
    databasePasswordFile: passwordFile,
    createRole: true,
    adminDatabase: `host=127.0.0.1 port=${cluster.address.port} user=lowly dbname=postgres`,
    adminDatabasePasswordFile: join(work, "lowly.password"),
  };
  const { database, roles } = await DATABASE_OPTIONS.read(given, { name: "debian" }, anybody, all);
  const section = {
    engine: "postgres",
    serverVersion: 150_000,
    kept: undefined,
    dumpFormat: undefined,
  } as const;
  const databases = [{ store: "main", target: database, section }] as const;
  for (const dryRun of [true, false])
    await assert.rejects(createRoles({ databases }, { roles }, { dryRun }, system, noProgress), {
      code: "target-unsuitable",
      message: `PostgreSQL's user lowly may not create role ${name}`,
    });
  assert.ok(!existsSync(passwordFile), "no password for a user that does not exist");
  await assert.rejects(
    DATABASE_OPTIONS.read({ ...given, createRole: false }, { name: "own" }, anybody, all),
    {
      code: "bad-usage",
      message: "--admin-database: --create-role must be given, too",
    },
  );
});

test("what --create-role needs is said: a password file, a password in ASCII, an administrator on another host", async () => {
  const { passwordFile, wish } = newPlace();
  await assert.rejects(planRole({ ...wish, passwordFile: undefined }, new Map(), system), {
    code: "bad-usage",
    message: "--create-role needs --database-password-file",
  });
  const elsewhere = { parameters: { ...wish.typed.parameters, host: "db.example" } };
  await assert.rejects(planRole({ ...wish, typed: elsewhere }, new Map(), system), {
    code: "bad-usage",
    hint: /--admin-database 'host=db\.example /,
  });
  const passwords: GeneratedPasswords = new Map();
  const first = await planRole(wish, passwords, system);
  const second = await planRole({ ...wish, option: "--state-database" }, passwords, system);
  assert.equal(first.address.password, second.address.password, "one user has one password");
  await assert.rejects(planRole({ ...wish, passwordFile: `${passwordFile}.2` }, passwords, system), {
    code: "bad-usage",
    hint: "name the same file with both options",
  });
  writeFileSync(passwordFile, "pässword\n");
  await assert.rejects(planRole(wish, new Map(), system), { code: "bad-usage", message: /printable ASCII/ });
});

test("with --layout debian, --create-role is offered where the server has no such user, and nowhere else", async () => {
  const { name, address } = newPlace();
  const read = (database: string, layout: "debian" | "own" = "debian", more: object = {}) =>
    DATABASE_OPTIONS.read({ database, createRole: false, ...more }, { name: layout }, anybody, all);
  await assert.rejects(read(address), {
    code: "database-unreachable",
    hint: new RegExp(`^this PostgreSQL has no user ${name}: --create-role creates it`),
  });
  const notOffered = { code: "database-unreachable", hint: /^(?!.*--create-role)/ };
  await assert.rejects(read(address, "own"), notOffered);
  const how = { owner: undefined, offersRole: false };
  await assert.rejects(
    DATABASE_OPTIONS.read({ database: address, createRole: false }, { name: "debian" }, how, all),
    notOffered,
  );

  // Its administrator cannot be asked there: the socket is in another folder than PostgreSQL's usual one.
  const { socketFolder } = cluster.address;
  await assert.rejects(read(address.replace(socketFolder, "127.0.0.1")), notOffered);

  await cluster.createRole(name, "another one");
  writeFileSync(join(work, "guess"), "a guess\n", { mode: 0o600 });
  await assert.rejects(read(address, "debian", { databasePasswordFile: join(work, "guess") }), {
    code: "database-unreachable",
    hint: /^(?!.*--create-role).*check user and password/,
  });
});

test("a port at which no PostgreSQL answers is told as that, and --create-role is not offered for it", async (t) => {
  const { name, folder } = newPlace();
  const [silent, other] = [await freePort(), await freePort()];
  const server = createServer((socket) => socket.end("SSH-2.0-OpenSSH_9.2p1\r\n"));
  await new Promise<void>((resolve) => server.listen(other, "127.0.0.1", resolve));
  t.after(() => server.close());
  for (const place of [
    `host=127.0.0.1 port=${silent}`,
    `host=${cluster.address.socketFolder} port=${silent}`,
    `host=127.0.0.1 port=${other}`,
  ]) {
    const ran = await synlift([
      ...["restore", bundle, "--passphrase-file", `${bundle}.passphrase`, "--dry-run"],
      ...["--layout", "debian", "--owner", userInfo().username, "--config-dir", join(folder, "config")],
      ...["--media-dir", join(folder, "media"), "--database", `${place} user=${name} dbname=${name}`],
    ]);
    assert.equal(ran.code, 12, ran.stderr);
    assert.match(ran.stderr, /hint: check host and port/);
    assert.doesNotMatch(ran.stderr, /--create-role/);
  }
});

test("the verifier is that of RFC 7677's example", () => {
  assert.equal(
    scramVerifier("pencil", Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64")),
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
  );
});
