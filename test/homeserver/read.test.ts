import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MigrationError } from "../../src/errors.ts";
import { readHomeserver } from "../../src/homeserver/read.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { folderWith, MINIMUM } from "../support/folder-with.ts";

const read = (folder: string, ...configPaths: string[]) =>
  readHomeserver({ configPaths, workingFolder: folder }, realFiles);

async function faultsOf(reading: Promise<unknown>): Promise<string> {
  try {
    await reading;
  } catch (error) {
    assert.ok(error instanceof MigrationError, String(error));
    assert.equal(error.code, "config-unreadable");
    return error.message;
  }
  assert.fail("it was read");
}

test("a later file replaces a whole top-level setting, not a part of it", async (t) => {
  const folder = folderWith(t, {
    "homeserver.yaml": `${MINIMUM}password_config:\n  pepper: salty\n  enabled: true\n`,
    "conf.d/z.yaml": "password_config:\n  enabled: false\n",
  });
  const { settings, secrets } = await read(folder, "homeserver.yaml", "conf.d");
  assert.deepEqual(settings["password_config"], { enabled: false });
  assert.deepEqual(secrets, []);
});

test("a folder gives its *.yaml files sorted by name, and nothing from below or beside", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `${MINIMUM}public_baseurl: first\n`,
    "conf.d/20.yaml": "public_baseurl: twenty\n",
    "conf.d/10.yaml": "public_baseurl: ten\n",
    "conf.d/30.yml": "public_baseurl: wrong ending\n",
    "conf.d/40.yaml~": "public_baseurl: editor's copy\n",
    "conf.d/below/50.yaml": "public_baseurl: too deep\n",
    "elsewhere.yaml": "public_baseurl: linked\n",
  });
  mkdirSync(join(folder, "conf.d/60.yaml"));
  const before = await read(folder, "a.yaml", "conf.d");
  assert.equal(before.settings["public_baseurl"], "twenty");
  assert.deepEqual(
    before.configFiles.map(({ path }) => path),
    ["a.yaml", "conf.d/10.yaml", "conf.d/20.yaml"].map((name) => join(folder, name)),
  );
  symlinkSync(join(folder, "elsewhere.yaml"), join(folder, "conf.d/25.yaml"));
  assert.equal((await read(folder, "a.yaml", "conf.d")).settings["public_baseurl"], "linked");
});

test("files without settings are passed over, but one file with settings there must be", async (t) => {
  const folder = folderWith(t, {
    "homeserver.yaml": MINIMUM,
    "conf.d/empty.yaml": "",
    "conf.d/list.yaml": "- a\n",
    "conf.d/comment.yaml": "# nothing\n",
  });
  mkdirSync(join(folder, "nothing.d"));
  assert.equal((await read(folder, "homeserver.yaml", "conf.d", "nothing.d")).configFiles.length, 1);
  assert.match(
    await faultsOf(read(folder, "conf.d", "nothing.d")),
    /nothing\.d: none of these files, and no \*\.yaml file in these folders, has a setting/,
  );
});

test("the folder of the last configuration file is where the signing key is looked for", async (t) => {
  const folder = folderWith(t, { "etc/homeserver.yaml": MINIMUM, "etc/conf.d/a.yaml": "a: 1\n" });
  const alone = await read(folder, "etc/homeserver.yaml");
  assert.deepEqual(alone.signingKey, { kind: "file", path: join(folder, "etc/example.org.signing.key") });
  const both = await read(folder, "etc/homeserver.yaml", "etc/conf.d");
  assert.deepEqual(both.signingKey, {
    kind: "file",
    path: join(folder, "etc/conf.d/example.org.signing.key"),
  });
});

test("a signing key in the settings wins over one in a file", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `${MINIMUM}signing_key: ed25519 a_1 c2VlZA\nsigning_key_path: /other.key\n`,
  });
  const { signingKey, referenced } = await read(folder, "a.yaml");
  assert.deepEqual(signingKey, { kind: "inline", text: "ed25519 a_1 c2VlZA" });
  assert.deepEqual(referenced, []);
});

test("relative paths start where the server runs, not where its configuration is", async (t) => {
  const folder = folderWith(t, {
    "etc/homeserver.yaml": `${MINIMUM}signing_key_path: keys/a.key
app_service_config_files: [bridge.yaml, /abs/other.yaml]
tls_certificate_path: tls/cert.pem
`,
  });
  const homeserver = await readHomeserver(
    { configPaths: [join(folder, "etc/homeserver.yaml")], workingFolder: "/var/lib/synapse" },
    realFiles,
  );
  assert.deepEqual(homeserver.database, { kind: "sqlite", path: "/var/lib/synapse/homeserver.db" });
  assert.equal(homeserver.mediaStore, "/var/lib/synapse/media_store");
  assert.deepEqual(
    homeserver.referenced.map(({ setting, path, role, required }) => [setting, path, role, required]),
    [
      ["signing_key_path", "/var/lib/synapse/keys/a.key", "signing-key", true],
      ["app_service_config_files[0]", "/var/lib/synapse/bridge.yaml", "appservice", true],
      ["app_service_config_files[1]", "/abs/other.yaml", "appservice", true],
      ["tls_certificate_path", "/var/lib/synapse/tls/cert.pem", "tls", false],
    ],
  );
});

test("all faults come in one list", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `server_name: 12
database: {name: psycopg2, args: {dbname: a, database: b}}
databases: {one: {}}
signing_key_path: [no]
listeners: [{type: http}]
macaroon_secret_key: a
macaroon_secret_key_path: b
`,
  });
  const message = await faultsOf(read(folder, "a.yaml"));
  for (const part of [
    "server_name is not a string",
    "report_stats is not set",
    "signing_key_path is not a path",
    "database and databases are both set",
    "listeners[0] has neither a port nor a path",
    "macaroon_secret_key and macaroon_secret_key_path are both set",
  ]) {
    assert.ok(message.includes(part), `${part} is not in: ${message}`);
  }
});

test("a file that is missing and one that is no YAML are told together, by line and column, without quoting it", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": "server_name: a\nmacaroon_secret_key: 'hunter2\n",
    "b.yaml": "form_secret: a: hunter3\n",
  });
  const message = await faultsOf(read(folder, "a.yaml", "b.yaml", "gone.yaml"));
  assert.match(message, /no configuration file or folder at .*gone\.yaml/);
  assert.match(message, /a\.yaml, line \d+, column \d+: a closing quote/);
  assert.match(message, /b\.yaml, line 1, column 14: a value holds a colon/);
  assert.doesNotMatch(message, /hunter/);
});

test("the arguments for PostgreSQL are kept as they are, without those of the connection pool", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `server_name: a
report_stats: no
database:
  name: psycopg2
  args: {user: synapse, password: 0123, database: old_alias, host: /run/pg, port: 5433, cp_min: 5, cp_max: 10, sslmode: ~}
`,
  });
  const { database } = await read(folder, "a.yaml");
  assert.deepEqual(database, {
    kind: "postgres",
    // 0123 is octal to PyYAML, and psycopg2 is handed what PyYAML made of it.
    args: { user: "synapse", password: 83, database: "old_alias", host: "/run/pg", port: 5433 },
  });
});

test("dbname and its old alias together are a fault, as they are to psycopg2", async (t) => {
  const folder = folderWith(t, {
    "a.yaml":
      "server_name: a\nreport_stats: no\ndatabase: {name: psycopg2, args: {dbname: a, database: b}}\n",
  });
  assert.match(await faultsOf(read(folder, "a.yaml")), /has both dbname and database/);
});

test("the old database_path is a SQLite database, and gives way to PostgreSQL", async (t) => {
  const folder = folderWith(t, {
    "old.yaml": "server_name: a\nreport_stats: no\ndatabase_path: old.db\n",
    "sqlite.yaml": "database: {name: sqlite3, args: {database: other.db}}\n",
    "postgres.yaml": "database: {name: psycopg2, args: {dbname: a}}\n",
    "none.yaml": "server_name: a\nreport_stats: no\n",
  });
  const old = { kind: "sqlite", path: join(folder, "old.db") };
  assert.deepEqual((await read(folder, "old.yaml")).database, old);
  assert.deepEqual((await read(folder, "old.yaml", "sqlite.yaml")).database, old);
  assert.equal((await read(folder, "old.yaml", "postgres.yaml")).database.kind, "postgres");
  assert.match(await faultsOf(read(folder, "none.yaml")), /no database setting/);
});

test("a split database is two, whatever their labels; a map of one is one, and what Synapse refuses is refused", async (t) => {
  const folder = folderWith(t, {
    "two.yaml": `server_name: a
report_stats: no
databases:
  main: {name: psycopg2, data_stores: [main], args: {dbname: a}}
  state: {name: psycopg2, data_stores: [state], args: {dbname: b}}
`,
    "mixed.yaml": `server_name: a
report_stats: no
databases:
  a: {name: psycopg2, data_stores: [main], args: {dbname: a}}
  b: {name: sqlite3, data_stores: [state], args: {database: b.db}}
`,
    "twice.yaml": `server_name: a
report_stats: no
databases:
  a: {name: psycopg2, data_stores: [main], args: {dbname: a}}
  b: {name: psycopg2, data_stores: [main], args: {dbname: b}}
`,
    "one.yaml": "server_name: a\nreport_stats: no\ndatabases: {main: {name: psycopg2, args: {dbname: a}}}\n",
  });
  assert.deepEqual((await read(folder, "two.yaml")).database, {
    kind: "postgres",
    args: { dbname: "a" },
    state: { dbname: "b" },
  });
  assert.deepEqual((await read(folder, "mixed.yaml")).database, { kind: "several", labels: ["a", "b"] });
  const twice = await faultsOf(read(folder, "twice.yaml"));
  assert.match(twice, /several labels of databases have the data store main/);
  assert.match(twice, /no label of databases has the data store state/);
  assert.deepEqual((await read(folder, "one.yaml")).database, { kind: "postgres", args: { dbname: "a" } });
});

test("secrets come from the settings or from their files, without the white space around them", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `${MINIMUM}macaroon_secret_key_path: macaroon.txt
form_secret: " kept as it is "
registration_shared_secret_path: made-at-start.txt
password_config: {pepper: salty}
oidc_providers:
  - {idp_id: a, client_secret: inline}
  - {idp_id: b, client_secret_path: oidc.txt}
`,
    "macaroon.txt": "\n  mac aroon \n\n",
    "oidc.txt": "from a file\n",
  });
  const { secrets, referenced } = await read(folder, "a.yaml");
  assert.deepEqual(Object.fromEntries(secrets.map(({ setting, value }) => [setting, value])), {
    macaroon_secret_key: "mac aroon",
    form_secret: " kept as it is ",
    "password_config.pepper": "salty",
    "oidc_providers[0].client_secret": "inline",
    "oidc_providers[1].client_secret": "from a file",
  });
  assert.deepEqual(
    referenced.filter(({ role }) => role === "secret").map(({ setting, required }) => [setting, required]),
    [
      ["macaroon_secret_key_path", true],
      ["registration_shared_secret_path", false],
      ["oidc_providers[1].client_secret_path", true],
    ],
  );
});

test("listeners are read with Synapse's defaults", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `${MINIMUM}listeners:
  - port: 8008
    type: http
    bind_addresses: ['::1', '127.0.0.1']
    resources: [{names: [client, federation]}, {names: [media]}]
  - {port: 9000, type: metrics}
  - {path: /run/synapse.sock, type: http, resources: [{names: [client]}]}
`,
  });
  assert.deepEqual((await read(folder, "a.yaml")).listeners, [
    { port: 8008, addresses: ["::1", "127.0.0.1"], tls: false, resources: ["client", "federation", "media"] },
    { port: 9000, addresses: ["0.0.0.0"], tls: false, resources: [] },
    { path: "/run/synapse.sock", addresses: [], tls: false, resources: ["client"] },
  ]);
});

test("a pipe in the place of a configuration is refused, and not waited for", async (t) => {
  const folder = folderWith(t, {});
  const pipe = join(folder, "homeserver.yaml");
  execFileSync("mkfifo", [pipe]);
  assert.match(await faultsOf(read(folder, pipe)), /homeserver\.yaml is neither a file nor a folder$/m);
});

test("files that libpq opens are looked for where Synapse runs, and what names no file stays", async (t) => {
  const args = [
    "passfile: secrets/pgpass",
    "sslcert: /etc/ssl/client.pem",
    "sslkey: client.key",
    "sslrootcert: system",
    "host: db.example.org",
  ];
  const folder = folderWith(t, {
    "homeserver.yaml": `server_name: example.org\nreport_stats: no\ndatabase:\n  name: psycopg2\n  args: {${args.join(", ")}}\n`,
  });
  const { database } = await read(folder, "homeserver.yaml");
  assert.deepEqual(database.kind === "postgres" && database.args, {
    passfile: join(folder, "secrets/pgpass"),
    sslcert: "/etc/ssl/client.pem",
    sslkey: join(folder, "client.key"),
    sslrootcert: "system",
    host: "db.example.org",
  });
});
