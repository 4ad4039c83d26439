import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { configInputs, packConfig } from "../../../src/homeserver/config/export.ts";
import { isFenced, liftFence, setFence } from "../../../src/homeserver/config/fence.ts";
import { PATHS_NAME } from "../../../src/homeserver/config/pack/packed-file.ts";
import {
  assertNoConflicts,
  type ConfigTarget,
  planConfig,
  writeConfig,
} from "../../../src/homeserver/config/restore.ts";
import { verifyConfig } from "../../../src/homeserver/config/verify.ts";
import type { Homeserver } from "../../../src/homeserver/homeserver.ts";
import { readHomeserver } from "../../../src/homeserver/read.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { folderWith } from "../../support/folder-with.ts";

const SALT = new Uint8Array(32).fill(7);
const KEY = "ed25519 a_test AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";

/** A homeserver with something of everything. Its working folder is `run`, its configuration in `etc`. */
const EVERYTHING = {
  "etc/homeserver.yaml": `# Our server, since 2019
server_name: "example.org"
report_stats: no
pid_file: /var/run/matrix-synapse.pid
listeners:
  # the proxy comes here
  - port: 8008
    type: http
    tls: false
    bind_addresses: ['::1', '127.0.0.1']
    resources:
      - names: [client, federation]
        compress: false
  - port: 9093
    type: http
    resources: [{names: [replication]}]
log_config: "../etc/log.yaml"
media_store_path: replaced-below
signing_key_path: /nowhere
macaroon_secret_key_path: ../etc/secret
registration_shared_secret: "0640"
password_config:
  pepper: "no"
app_service_config_files:
  - ../etc/bridges/a/registration.yaml # the first bridge
  - ../etc/bridges/b/registration.yaml
templates:
  custom_template_directory: ../etc/mail
email:
  template_dir: ../etc/mail
  smtp_pass: letmein
tls_certificate_path: ../etc/cert.pem
`,
  "etc/conf.d/10-database.yaml": `database:
  name: psycopg2
  args:
    # of the old machine
    user: synapse
    password: "old-password"
    database: synapse
    host: old.example
    cp_min: 5
    cp_max: 10
`,
  "etc/conf.d/20-paths.yaml": "media_store_path: media\nsigning_key_path: ../etc/key\n",
  "etc/conf.d/README": "not yaml",
  "etc/key": KEY,
  "etc/secret": "macaroons\n",
  "etc/log.yaml":
    "version: 1\nhandlers:\n  file: {class: logging.FileHandler, filename: /var/log/matrix-synapse/homeserver.log}\n",
  "etc/bridges/a/registration.yaml": "id: a\nas_token: aaa\n",
  "etc/bridges/b/registration.yaml": "id: b\nas_token: bbb\n",
  "etc/mail/notice.html": "<p>",
  "etc/mail/parts/head.html": "<head>",
  "etc/cert.pem": "CERTIFICATE",
  "run/placeholder": "",
};

async function everything(t: TestContext, changed: Record<string, string> = {}) {
  const folder = folderWith(t, { ...EVERYTHING, ...changed });
  const homeserver = await readHomeserver(
    { configPaths: ["../etc/homeserver.yaml", "../etc/conf.d"], workingFolder: join(folder, "run") },
    realFiles,
  );
  return { folder, homeserver };
}

async function packed(homeserver: Homeserver): Promise<Map<string, Uint8Array>> {
  const { entries } = await packConfig(homeserver, realFiles, SALT);
  return new Map(entries.map(({ name, content }) => [name, content]));
}

const targetAt = (folder: string): ConfigTarget => ({
  folder,
  mediaStore: "/new/media",
  database: {
    dbname: "moved",
    user: "mover",
    password: "new: password",
    host: "/run/postgresql",
    port: 5433,
  },
  listen: { address: "127.0.0.1", port: 18008 },
  fencedSuffix: ".fenced",
});

const emptyFolder = (t: TestContext) => join(folderWith(t, { "beside.txt": "" }), "new");

test("every file that the settings name travels under its own name", async (t) => {
  const { folder, homeserver } = await everything(t);
  const { entries, section, findings } = await packConfig(homeserver, realFiles, SALT);
  assert.deepEqual(entries.map(({ name }) => name).sort(), [
    "appservices/registration-2.yaml",
    "appservices/registration.yaml",
    "conf.d/10-database.yaml",
    "conf.d/20-paths.yaml",
    "files/log.yaml",
    "homeserver.yaml",
    "key",
    "secrets/secret",
    PATHS_NAME,
    "templates/mail/notice.html",
    "templates/mail/parts/head.html",
    "tls/cert.pem",
  ]);
  assert.deepEqual(findings, []);
  assert.deepEqual(section.order, ["homeserver.yaml", "conf.d/"]);
  assert.deepEqual(
    section.files.find(({ name }) => name === "appservices/registration-2.yaml"),
    {
      name: "appservices/registration-2.yaml",
      path: join(folder, "etc/bridges/b/registration.yaml"),
      setting: "app_service_config_files[1]",
      role: "appservice",
      mode: 0o640,
    },
  );
});

test("the inventory's section holds no secret", async (t) => {
  const { homeserver } = await everything(t);
  const { section } = await packConfig(homeserver, realFiles, SALT);
  assert.deepEqual(section.secrets.map(({ setting }) => setting).sort(), [
    "email.smtp_pass",
    "macaroon_secret_key",
    "password_config.pepper",
    "registration_shared_secret",
  ]);
  assert.doesNotMatch(JSON.stringify(section), /macaroons|letmein|old-password|AAEC/);
});

test("a configuration folder does not mix with the archive's own folders", async (t) => {
  const folder = folderWith(t, {
    "tls/a.yaml":
      "server_name: a\nreport_stats: no\ndatabase_path: x\nsigning_key: ed25519 a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\ntls_certificate_path: cert.yaml\n",
    "cert.yaml": "not: settings",
  });
  const homeserver = await readHomeserver({ configPaths: ["tls"], workingFolder: folder }, realFiles);
  assert.deepEqual([...(await packed(homeserver)).keys()], ["tls-2/a.yaml", "tls/cert.yaml", PATHS_NAME]);
});

test("what is missing and needed is told in one list, the rest is warned of", async (t) => {
  const { folder, homeserver } = await everything(t);
  rmSync(join(folder, "etc/cert.pem"));
  const { section, findings } = await packConfig(homeserver, realFiles, SALT);
  // Nobody listens with it.
  assert.deepEqual(findings, []);
  const listening = homeserver.listeners.map((listener) => ({ ...listener, tls: true }));
  const warned = await packConfig({ ...homeserver, listeners: listening }, realFiles, SALT);
  assert.deepEqual(section.missing, [
    { setting: "tls_certificate_path", path: join(folder, "etc/cert.pem") },
  ]);
  assert.deepEqual(
    warned.findings.map(({ id, level }) => `${id} ${level}`),
    ["file-missing:tls_certificate_path warning"],
  );

  rmSync(join(folder, "etc/secret"));
  rmSync(join(folder, "etc/bridges/a/registration.yaml"));
  const both =
    /etc\/secret \(macaroon_secret_key_path\); no file at .*a\/registration\.yaml \(app_service_config_files\[0\]\)/;
  await assert.rejects(packConfig(homeserver, realFiles, SALT), { code: "file-missing", message: both });
  rmSync(join(folder, "etc/key"));
  await assert.rejects(packConfig(homeserver, realFiles, SALT), {
    code: "signing-key-missing",
    message: /no signing key at .*etc\/key; .*secret/,
    hint: /check signing_key_path in .*silently generates a new key/,
  });
});

test("links are followed for single files and not inside template folders", async (t) => {
  const { folder, homeserver } = await everything(t);
  rmSync(join(folder, "etc/key"));
  writeFileSync(join(folder, "real.key"), KEY);
  symlinkSync(join(folder, "real.key"), join(folder, "etc/key"));
  symlinkSync("/etc/passwd", join(folder, "etc/mail/passwd.html"));
  symlinkSync("/etc", join(folder, "etc/mail/etc"));
  const names = await packed(homeserver);
  assert.equal(Buffer.from(names.get("key")!).toString(), KEY);
  assert.deepEqual([...names.keys()].filter((name) => name.startsWith("templates/")).length, 2);
});

test("the journal sees a changed file, and nothing else", async (t) => {
  const { folder, homeserver } = await everything(t);
  const inputs = async () => configInputs((await packConfig(homeserver, realFiles, SALT)).entries, SALT);
  const first = await inputs();
  assert.deepEqual(await inputs(), first);
  assert.match(String(first["config"]), /^[0-9a-f]{64}$/);
  writeFileSync(join(folder, "etc/secret"), "macaroonz\n");
  assert.notDeepEqual(await inputs(), first);
});

test("on the new host the settings are the same, but for what is bound to the host", async (t) => {
  const { homeserver } = await everything(t);
  const folder = emptyFolder(t);
  const plan = planConfig({ packed: await packed(homeserver), target: targetAt(folder) });
  await writeConfig(plan, realFiles);
  await liftFence(plan.fence, realFiles);
  const moved = await readHomeserver({ configPaths: plan.configPaths, workingFolder: "/" }, realFiles);

  assert.deepEqual(moved.settings, {
    ...homeserver.settings,
    pid_file: join(folder, "matrix-synapse.pid"),
    listeners: [
      {
        port: 18008,
        type: "http",
        tls: false,
        bind_addresses: ["127.0.0.1"],
        resources: [{ names: ["client", "federation"], compress: false }],
      },
      { port: 9093, type: "http", resources: [{ names: ["replication"] }] },
    ],
    log_config: join(folder, "files/log.yaml"),
    media_store_path: "/new/media",
    signing_key_path: join(folder, "key"),
    macaroon_secret_key_path: join(folder, "secrets/secret"),
    app_service_config_files: [
      join(folder, "appservices/registration.yaml"),
      join(folder, "appservices/registration-2.yaml"),
    ],
    templates: { custom_template_directory: join(folder, "templates/mail") },
    email: { template_dir: join(folder, "templates/mail"), smtp_pass: "letmein" },
    tls_certificate_path: join(folder, "tls/cert.pem"),
    database: {
      name: "psycopg2",
      args: {
        user: "mover",
        password: "new: password",
        dbname: "moved",
        host: "/run/postgresql",
        port: 5433,
        cp_min: 5,
        cp_max: 10,
      },
    },
  });
  assert.deepEqual(moved.secrets, homeserver.secrets);
  for (const { path } of moved.referenced) assert.ok(statSync(path), path);
});

test("the comments are still there, and the value is changed in the file where it counts", async (t) => {
  const { homeserver } = await everything(t);
  const folder = emptyFolder(t);
  await writeConfig(planConfig({ packed: await packed(homeserver), target: targetAt(folder) }), realFiles);
  const written = (name: string) => readFileSync(join(folder, name), "utf8");
  assert.match(
    written("homeserver.yaml.fenced"),
    /^# Our server, since 2019\nserver_name: "example.org"\nreport_stats: no\n/,
  );
  assert.match(written("homeserver.yaml.fenced"), /# the proxy comes here\n {2}- port: 18008\n/);
  assert.match(written("homeserver.yaml.fenced"), /registration\.yaml # the first bridge\n/);
  assert.match(written("homeserver.yaml.fenced"), /\nmedia_store_path: replaced-below\n/);
  assert.match(
    written("homeserver.yaml.fenced"),
    /\nregistration_shared_secret: "0640"\npassword_config:\n {2}pepper: "no"\n/,
  );
  assert.match(written("conf.d/20-paths.yaml"), /^media_store_path: \/new\/media\n/);
  assert.match(written("conf.d/10-database.yaml"), /# of the old machine\n/);
  assert.ok(
    written("files/log.yaml").includes(`filename: "${folder}/homeserver.log"`) ||
      written("files/log.yaml").includes(`filename: ${folder}/homeserver.log`),
  );
});

test("the changes are told line by line, without the passwords", async (t) => {
  const { homeserver } = await everything(t);
  const { files } = planConfig({ packed: await packed(homeserver), target: targetAt("/new") });
  const changes = files.flatMap((file) => file.changes);
  for (const line of [
    "- database.args.password: <hidden>",
    "+ database.args.password: <hidden>",
    "- database.args.host: old.example",
    "+ database.args.host: /run/postgresql",
    "- database.args.database: synapse",
    "- media_store_path: media",
    "+ media_store_path: /new/media",
    "- listeners[0].port: 8008",
    "+ listeners[0].port: 18008",
    "- handlers.file.filename: /var/log/matrix-synapse/homeserver.log",
    "+ handlers.file.filename: /new/homeserver.log",
  ]) {
    assert.ok(changes.includes(line), `${line} is not in\n${changes.join("\n")}`);
  }
  assert.doesNotMatch(changes.join("\n"), /old-password|new: password|letmein/);
});

test("on the new host, too, a certificate that is missing is told only where a listener uses it", async (t) => {
  const told = async (more: Record<string, string>) => {
    const { folder, homeserver } = await everything(t, more);
    rmSync(join(folder, "etc/cert.pem"));
    const { findings } = planConfig({ packed: await packed(homeserver), target: targetAt("/new") });
    return findings
      .filter(({ id }) => id === "config-files-missing")
      .flatMap(({ evidence = [] }) => evidence);
  };
  assert.deepEqual(await told({}), []);
  const listener = "listeners: [{port: 8448, type: http, tls: true, resources: [{names: [federation]}]}]\n";
  const [line = "", ...others] = await told({ "etc/conf.d/tls.yaml": listener });
  assert.match(line, /^tls_certificate_path: /);
  assert.deepEqual(others, []);
});

test("log files go where the new host has them, if that is another folder", async (t) => {
  const { homeserver } = await everything(t);
  const target = { ...targetAt("/new"), logFolder: "/var/log/elsewhere", pidFile: "/run/synapse.pid" };
  const changes = planConfig({ packed: await packed(homeserver), target }).files.flatMap(
    (file) => file.changes,
  );
  assert.ok(
    changes.includes("+ handlers.file.filename: /var/log/elsewhere/homeserver.log"),
    changes.join("\n"),
  );
  assert.ok(changes.includes("+ pid_file: /run/synapse.pid"), changes.join("\n"));
});

test("Redis and the instances are named as left alone, also on loopback, and not where there are no workers", async (t) => {
  const services =
    "redis: {enabled: true, host: 127.0.0.1}\ninstance_map: {main: {host: 127.0.0.1, port: 9093}}\n";
  const { homeserver } = await everything(t, { "etc/conf.d/workers.yaml": services });
  const noted = async (more: Partial<ConfigTarget>) =>
    planConfig({ packed: await packed(homeserver), target: { ...targetAt("/new"), ...more } }).findings.find(
      ({ id }) => id === "config-left-alone",
    );
  const found = await noted({});
  assert.equal(found?.level, "note");
  assert.deepEqual(found.evidence, [
    "redis.host: 127.0.0.1",
    "instance_map.main.host: 127.0.0.1",
    "instance_map.main.port: 9093",
  ]);
  assert.equal(await noted({ withoutWorkers: true }), undefined);
});

test("keys, secrets and settings can be read by their owner alone", async (t) => {
  const { homeserver } = await everything(t);
  const folder = emptyFolder(t);
  await writeConfig(planConfig({ packed: await packed(homeserver), target: targetAt(folder) }), realFiles);
  for (const name of [
    "homeserver.yaml.fenced",
    "conf.d/10-database.yaml",
    "key",
    "secrets/secret",
    "appservices/registration.yaml",
  ]) {
    assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  }
  assert.equal(statSync(folder).mode & 0o777, 0o700);
});

test("the new server has no configuration to start from until the fence is lifted", async (t) => {
  const { homeserver } = await everything(t);
  const folder = emptyFolder(t);
  const plan = planConfig({ packed: await packed(homeserver), target: targetAt(folder) });
  await writeConfig(plan, realFiles);
  const given = { configPaths: plan.configPaths, workingFolder: "/" };
  await assert.rejects(
    readHomeserver(given, realFiles),
    /no configuration file or folder at .*homeserver\.yaml/,
  );
  // By the names that they have until then it can be read, for the gates.
  const before = await readHomeserver({ ...given, configPaths: plan.fencedPaths }, realFiles);
  assert.equal(await isFenced(plan.fence, realFiles), true);
  await liftFence(plan.fence, realFiles);
  await liftFence(plan.fence, realFiles);
  assert.equal(await isFenced(plan.fence, realFiles), false);
  assert.deepEqual((await readHomeserver(given, realFiles)).settings, before.settings);
  await setFence(plan.fence, realFiles);
  assert.equal(await isFenced(plan.fence, realFiles), true);
});

test("a configuration that begins with a folder is fenced file by file", async (t) => {
  const folder = folderWith(t, {
    "conf.d/a.yaml": "server_name: a\nreport_stats: no\n",
    "conf.d/b.yaml": `server_name: a\nreport_stats: no\ndatabase_path: x\nsigning_key: ${KEY}`,
  });
  const homeserver = await readHomeserver({ configPaths: ["conf.d"], workingFolder: folder }, realFiles);
  const target = { ...targetAt(emptyFolder(t)), database: { database: "/new/homeserver.db" } };
  const plan = planConfig({ packed: await packed(homeserver), target });
  await writeConfig(plan, realFiles);
  await assert.rejects(readHomeserver({ configPaths: plan.configPaths, workingFolder: "/" }, realFiles));
  await liftFence(plan.fence, realFiles);
  const moved = await readHomeserver({ configPaths: plan.configPaths, workingFolder: "/" }, realFiles);
  assert.deepEqual(moved.database, { kind: "sqlite", path: "/new/homeserver.db" });
});

test("a database of SQLite is replaced by one of PostgreSQL, however it was named", async (t) => {
  const args = { user: "new", dbname: "new", host: "127.0.0.1", port: 5432, password: "secret" };
  for (const setting of [
    "database_path: x",
    "database: {name: sqlite3, args: {database: x, cp_max: 3}}",
    "database:\n  args:\n    database: x\ndatabase_path: y",
  ]) {
    const folder = folderWith(t, {
      "a.yaml": `server_name: a\nreport_stats: no\n${setting}\nsigning_key: ${KEY}`,
    });
    const homeserver = await readHomeserver({ configPaths: ["a.yaml"], workingFolder: folder }, realFiles);
    const target = { ...targetAt(emptyFolder(t)), database: args };
    const plan = planConfig({ packed: await packed(homeserver), target });
    await writeConfig(plan, realFiles);
    await liftFence(plan.fence, realFiles);
    const moved = await readHomeserver({ configPaths: plan.configPaths, workingFolder: "/" }, realFiles);
    assert.deepEqual(moved.database, { kind: "postgres", args }, setting);
    assert.equal("database_path" in moved.settings, false);
  }
});

test("writing again does nothing, and never overwrites a file of somebody else", async (t) => {
  const { homeserver } = await everything(t);
  const folder = emptyFolder(t);
  const plan = planConfig({ packed: await packed(homeserver), target: targetAt(folder) });
  await writeConfig(plan, realFiles);
  const before = statSync(join(folder, "key")).ino;
  await writeConfig(plan, realFiles);
  assert.equal(statSync(join(folder, "key")).ino, before);

  writeFileSync(join(folder, "tls/cert.pem"), "another");
  await assert.rejects(assertNoConflicts(plan, realFiles), {
    code: "target-not-empty",
    message: /tls\/cert\.pem/,
  });
  writeFileSync(join(folder, "tls/cert.pem"), "CERTIFICATE");
  writeFileSync(join(folder, "key"), "ed25519 other");
  await assert.rejects(writeConfig(plan, realFiles), {
    code: "target-not-empty",
    message: /another signing key at .*key/,
  });
});

test("nothing is written when something is in the way, and no link is followed out of the folder", async (t) => {
  const { homeserver } = await everything(t);
  const folder = emptyFolder(t);
  const plan = planConfig({ packed: await packed(homeserver), target: targetAt(folder) });
  mkdirSync(folder);
  symlinkSync("/tmp", join(folder, "tls"));
  await assert.rejects(writeConfig(plan, realFiles), {
    code: "target-not-empty",
    message: /new\/tls already exists/,
  });
  assert.equal(statSync(join(folder, "key"), { throwIfNoEntry: false }), undefined);
  rmSync(join(folder, "tls"));
  writeFileSync(join(folder, "homeserver.yaml"), "server_name: in-use");
  await assert.rejects(writeConfig(plan, realFiles), {
    code: "target-not-empty",
    message: /without a fence/,
  });
});

test("an archive with names that lead elsewhere is refused", async (t) => {
  const { homeserver } = await everything(t);
  const good = await packed(homeserver);
  const paths = JSON.parse(new TextDecoder().decode(good.get(PATHS_NAME))) as {
    files: { name: string }[];
    order: string[];
  };
  const target = targetAt("/new");
  for (const name of ["../evil", "/etc/evil", "a/../../evil", "a\\b", "a\0b", "", "a//b", ".", "a/."]) {
    const files = [...paths.files, { ...paths.files[0]!, name, role: "other" }];
    const list = new TextEncoder().encode(JSON.stringify({ ...paths, files }));
    const hostile = new Map([...good, [name, new Uint8Array()], [PATHS_NAME, list]]);
    assert.throws(() => planConfig({ packed: hostile, target }), { code: "bundle-damaged" }, name);
    const order = new TextEncoder().encode(JSON.stringify({ ...paths, order: [name] }));
    assert.throws(
      () => planConfig({ packed: new Map([...good, [PATHS_NAME, order]]), target }),
      { code: "bundle-damaged" },
      name,
    );
  }
});

test("an archive that lacks something or holds too much is refused", async (t) => {
  const { homeserver } = await everything(t);
  const good = await packed(homeserver);
  const target = targetAt("/new");
  const without = (name: string) => new Map([...good].filter(([one]) => one !== name));
  for (const bad of [
    without("key"),
    without("homeserver.yaml"),
    without(PATHS_NAME),
    new Map([...good, ["more", new Uint8Array()]]),
  ]) {
    assert.throws(() => planConfig({ packed: bad, target }), { code: "bundle-damaged" });
  }
  assert.throws(() => planConfig({ packed: new Map([...good, [PATHS_NAME, Buffer.from("{}")]]), target }), {
    code: "bundle-damaged",
  });
});

test("a moved homeserver passes the gates, and one with another name or secret does not", async (t) => {
  const { homeserver } = await everything(t);
  const { section } = await packConfig(homeserver, realFiles, SALT);
  assert.deepEqual(
    new Set(verifyConfig(section, homeserver, SALT).map(({ level }) => level)),
    new Set(["ok"]),
  );

  const changed = (text: Record<string, string>) => everything(t, text).then((other) => other.homeserver);
  const blockers = (other: Homeserver) =>
    verifyConfig(section, other, SALT)
      .filter(({ level }) => level === "blocker")
      .map(({ id }) => id);
  assert.deepEqual(blockers(await changed({ "etc/secret": "other" })), ["secret:macaroon_secret_key"]);
  assert.deepEqual(blockers(await changed({ "etc/conf.d/z.yaml": "password_config: {}" })), [
    "secret:password_config.pepper",
  ]);
  assert.deepEqual(blockers(await changed({ "etc/conf.d/z.yaml": "server_name: other.org" })), [
    "server-name",
  ]);

  const unpeppered = await changed({ "etc/conf.d/z.yaml": "password_config: {}" });
  const before = (await packConfig(unpeppered, realFiles, SALT)).section;
  const appeared = verifyConfig(before, homeserver, SALT).filter(({ level }) => level !== "ok");
  assert.deepEqual(
    appeared.map(({ id, level }) => `${id} ${level}`),
    ["secret:password_config.pepper blocker"],
  );
  assert.doesNotMatch(JSON.stringify(appeared), /"no"/);
});

test("a Synapse that gets the media of matrix-media-repo serves it, which the diff shows; otherwise that it does not is said", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `server_name: a\nreport_stats: no\nenable_media_repo: false\ndatabase_path: x\nsigning_key: ${KEY}`,
  });
  const homeserver = await readHomeserver({ configPaths: ["a.yaml"], workingFolder: folder }, realFiles);
  const target = { ...targetAt(emptyFolder(t)), database: { database: "/new/homeserver.db" } };
  const source = await packed(homeserver);
  const planned = (more: Partial<ConfigTarget>) => {
    const { files, findings } = planConfig({ packed: source, target: { ...target, ...more } });
    return {
      changes: files.flatMap(({ changes }) => changes).filter((line) => line.includes("enable_media_repo")),
      told: findings.some(({ id, level }) => id === "media-external" && level === "warning"),
    };
  };
  const set = ["- enable_media_repo: false", "+ enable_media_repo: true"];
  assert.deepEqual(planned({ servesMedia: true }), { changes: set, told: false });
  assert.deepEqual(planned({}), { changes: [], told: true });
  assert.deepEqual(planned({ servesMedia: false }), { changes: [], told: false });
});
