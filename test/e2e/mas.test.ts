import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parse, stringify } from "yaml";
import type { HomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { makeNewPlace, type NewPlace } from "../support/old-server.ts";
import { scriptsIn } from "../support/real-world.ts";
import { filesBelow } from "../support/secrets.ts";
import { exportOf, makeSmallHomeserver } from "../support/small-homeserver.ts";
import { eventsOf, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A homeserver whose people sign in through a Matrix Authentication Service. That is not run here: its documented
// configuration, and some tables of its database, are all that a move looks at.

const ENCRYPTION = "c7e42fb8baba8f228b2e169fdf4c8216dffd5d33ad18bafd8b928c09ca46c718";
const TABLES = `
create table _sqlx_migrations (version bigint primary key, description text not null, success boolean not null);
insert into _sqlx_migrations values (20220530084123, 'jobs', true), (20250130170011, 'user sessions', true);
create table users (user_id uuid primary key default gen_random_uuid(), username text not null unique);
insert into users (username) select 'user' || n from generate_series(1, 20) n;
create table user_passwords (user_id uuid references users, hashed_password text not null, version integer not null);
insert into user_passwords select user_id, '$argon2id$secret-hash', 1 from users;
create table compat_sessions (compat_session_id uuid primary key default gen_random_uuid(), user_id uuid references users, device_id text);
insert into compat_sessions (user_id, device_id) select user_id, 'DEVICE' from users;`;

let cluster: PostgresCluster;
let home: HomeserverFolder;
let place: NewPlace;
let masConfig: string;
let work: string;
let bundle: string;
let opens: readonly string[];

before(async () => {
  cluster = await PostgresCluster.start();
  await makeMiniSynapse(cluster, "old");
  await cluster.createRole("mas", "secret-of-mas");
  await cluster.createDatabase("mas", { owner: "mas" });
  await cluster.sql("mas", `set role mas; ${TABLES}`);
  const { host, port } = cluster.address;
  home = await makeSmallHomeserver({
    database: { name: "psycopg2", args: { user: "mover", dbname: "old", host, port } },
    settings: {
      matrix_authentication_service: { enabled: true, endpoint: "http://127.0.0.1:8080/", secret: "shared" },
    },
  });
  work = temporaryFolder("mas");
  masConfig = writeMas({
    uri: `postgresql://mas:secret-of-mas@${host}:${port}/mas?sslmode=prefer`,
    max_connections: 10,
  });
  place = await makeNewPlace(cluster, "new", await freePort());
  bundle = join(work, "bundle");
  opens = ["--passphrase-file", `${bundle}.passphrase`];
});
after(() => cluster.stop());

/** With the key of its database in a file, as the service's documentation has it, and its signing keys in a folder. */
function writeMas(database: object, settings: object = {}): string {
  const folder = join(work, "service");
  mkdirSync(join(folder, "keys"), { recursive: true });
  writeFileSync(join(folder, "keys/rsa"), "-----BEGIN RSA PRIVATE KEY-----\n");
  writeFileSync(join(folder, "encryption"), `${ENCRYPTION}\n`, { mode: 0o600 });
  const path = join(folder, "config.yaml");
  const config = {
    http: { public_base: "https://auth.example.org/" },
    database,
    matrix: { homeserver: "example.org", secret: "shared", endpoint: "http://localhost:8008/" },
    secrets: { encryption_file: "encryption", keys_dir: "keys" },
    ...settings,
  };
  writeFileSync(path, `# The service that people sign in through.\n${stringify(config)}`, { mode: 0o600 });
  return path;
}

const exporting = (...more: string[]) => [...exportOf(home, bundle), ...more];
const named = () => ["--mas-config", masConfig];
const readOnly = () =>
  cluster.sql(
    "postgres",
    "select count(*) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where rolname = 'mas' and setconfig::text like '%read_only=on%'",
  );

test("nobody is moved without their accounts: the service must be named, or left behind on purpose", async () => {
  const ran = await synlift(exporting());
  assert.notEqual(ran.code, 0);
  assert.match(ran.stderr, /--mas-config/);
  const without = await synliftWell(exporting("--accept", "mas", "--dry-run"));
  assert.equal(resultOf(without).details["dryRun"], true);
});

test("a configuration without the key of the service's database is refused", async () => {
  const key = join(work, "service/encryption");
  rmSync(key);
  const ran = await synlift(exporting(...named()));
  assert.match(ran.stderr, /secrets.encryption/);
  assert.equal(eventsOf(ran).at(-1)?.code, "config-unreadable");
  writeFileSync(key, `${ENCRYPTION}\n`, { mode: 0o600 });
});

test("plan looks at the service's database, and says what restore will want", async () => {
  const ran = await synlift([
    ...["plan", "--config", home.configFile, "--working-directory", home.dataFolder, ...named(), "--json"],
  ]);
  const { findings } = resultOf(ran);
  assert.equal(findings.find(({ id }) => id === "mas")?.level, "note", ran.stdout);
  assert.equal(findings.filter(({ id, level }) => id === "database" && level === "ok").length, 2);
});

test("as long as the service is up, by a process or a connection, nothing is sealed", async () => {
  const masCli = join(scriptsIn({ "mas-cli": "sleep 60" }), "mas-cli");
  const running = spawn(masCli, ["server", "--config", masConfig]);
  const ran = await synlift(exporting(...named()));
  assert.equal(ran.code, 14, ran.stderr);
  assert.match(ran.stderr, /authentication service runs/);
  // Running, it says by itself where its configuration is.
  const found = await synlift(exporting());
  assert.match(found.stderr, /authentication service runs/);
  running.kill("SIGKILL");
  const { socketFolder, port } = cluster.address;
  const login = ["-h", socketFolder, "-p", String(port), "-U", "mas", "-d", "mas"];
  const connected = spawn("psql", [...login, "-c", "select pg_sleep(200)"], { stdio: "ignore" });
  const asleep = "select count(*) from pg_stat_activity where usename = 'mas'";
  while ((await cluster.sql("postgres", asleep)) === "0");
  const again = await synlift(exporting(...named()));
  connected.kill("SIGKILL");
  await cluster.sql(
    "postgres",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'mas'",
  );
  while ((await cluster.sql("postgres", asleep)) !== "0");
  assert.equal(again.code, 14, again.stderr);
  assert.match(again.stderr, /there are still connections to the homeserver's database: mas \(psql\)/);
});

test("its database is fenced and dumped before the homeserver's, and rollback lifts that fence too", async () => {
  const ran = await synliftWell(exporting(...named()));
  const written = eventsOf(ran).flatMap(({ type, id }) =>
    type === "begin" && id?.startsWith("write/") === true ? [id.slice("write/".length)] : [],
  );
  const order = [
    "customer_mas_config_export.tar.gz.gpg",
    "customer_mas_db_export.sql.gz.gpg",
    "customer_db_export.sql.gz.gpg",
  ];
  assert.deepEqual(
    written.filter((name) => order.includes(name)),
    order,
  );
  assert.equal(await readOnly(), "1");
  for (const path of filesBelow(bundle))
    for (const secret of [ENCRYPTION, "secret-of-mas"])
      assert.ok(!readFileSync(path).includes(secret), `a secret is in ${path}`);
  await synliftWell(["rollback", "--out", bundle, "--yes"]);
  assert.equal(await readOnly(), "0");

  await synliftWell(exporting(...named()));
  await cluster.sql("mas", "insert into users (username) values ('late')");
  const moved = resultOf(await synliftWell(["status", "--out", bundle, "--json"]));
  assert.ok(moved.findings.some(({ id }) => id === "source-written-since"));
  await synliftWell(exporting(...named(), "--db-format", "custom"));
});

test("restore gives the service a database and puts its configuration beside, both fenced", async () => {
  const restore = ["restore", bundle, ...opens, ...place.restoreArgs];
  const without = await synlift(restore);
  assert.match(without.stderr, /--mas-database must be given/);
  const { host, port } = cluster.address;
  const address = `host=${host} port=${port} user=new dbname=new_mas`;
  const further = ["--mas-database", address, "--mas-database-password-file", place.passwordFile];
  await synliftWell([...restore, ...further]);
  assert.equal(await cluster.sql("new_mas", "select count(*) from users"), "21");

  const path = join(place.configDir, "mas/config.yaml.fenced");
  const text = readFileSync(path, "utf8");
  assert.match(text, /^# The service that people sign in through/, "comments stay");
  assert.deepEqual((parse(text) as { database: unknown }).database, {
    ...{ max_connections: 10, host, port, username: "new", password: place.password, database: "new_mas" },
  });
  const { secrets, matrix, http } = parse(text) as Record<string, Record<string, string>>;
  assert.equal(http!["public_base"], "https://auth.example.org/");
  assert.equal(matrix!["endpoint"], `http://127.0.0.1:${place.port}/`);
  assert.equal(readFileSync(secrets!["encryption_file"]!, "utf8").trim(), ENCRYPTION);
  assert.match(readFileSync(join(secrets!["keys_dir"]!, "rsa"), "utf8"), /PRIVATE KEY/);
});

test("open proves the service too: its rows, and the key that they are encrypted with", async () => {
  const open = ["open", "--config-dir", place.configDir, ...opens, "--dry-run", "--json"];
  const { findings } = resultOf(await synliftWell(open));
  const levels = (id: string) => findings.filter((one) => one.id === id).map(({ level }) => level);
  assert.deepEqual(levels("mas-secret:secrets.encryption"), ["ok"]);
  assert.deepEqual(levels("row-counts"), ["ok", "ok"]);

  const { secrets } = parse(readFileSync(join(place.configDir, "mas/config.yaml.fenced"), "utf8")) as {
    secrets: { encryption_file: string };
  };
  writeFileSync(secrets.encryption_file, ENCRYPTION.replace("c7", "c8"));
  await cluster.sql("new_mas", "delete from compat_sessions");
  const ran = await synlift([...open]);
  assert.equal(ran.code, 43, ran.stderr);
  const blockers = resultOf(ran)
    .findings.filter(({ level }) => level === "blocker")
    .map(({ id }) => id);
  assert.deepEqual(blockers.sort(), ["mas-secret:secrets.encryption", "row-counts"]);
});
