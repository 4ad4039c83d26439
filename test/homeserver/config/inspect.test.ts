import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { inspectConfig } from "../../../src/homeserver/config/inspect.ts";
import { readHomeserver } from "../../../src/homeserver/read.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { folderWith, MINIMUM } from "../../support/folder-with.ts";

async function inspected(t: TestContext, contents: Record<string, string>) {
  const folder = folderWith(t, contents);
  const configPaths = Object.keys(contents).filter((name) => name.endsWith(".yaml"));
  return inspectConfig(await readHomeserver({ configPaths, workingFolder: folder }, realFiles), realFiles);
}

/** What is told of every configuration is left out, unless it is what a test is about. */
const USUAL = /^(?:secrets|macaroon-fallback|listeners|host-rewritten) /;

const told = (findings: readonly { id: string; level: string }[]) =>
  findings.map(({ id, level }) => `${id} ${level}`).filter((line) => !USUAL.test(line));

test("a configuration with nothing wrong in it has nothing above a note", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}macaroon_secret_key: dark
form_secret: darker
password_config: {pepper: salty}
registration_shared_secret_path: secret
pid_file: hs.pid
listeners: [{port: 8008, bind_addresses: [127.0.0.1], resources: [{names: [client, federation]}]}]
`,
    secret: "darkest\n",
  });
  assert.deepEqual(
    findings.map(({ id, level }) => `${id} ${level}`),
    ["server-name ok", "database-sqlite note", "secrets note", "listeners ok", "host-rewritten note"],
  );
  assert.deepEqual(
    findings[2]!.evidence?.map((line) => line.replace(/ in .*\//, " in …/")),
    [
      "macaroon_secret_key: in the configuration",
      "password_config.pepper: in the configuration",
      "form_secret: in the configuration",
      "registration_shared_secret: in …/secret",
    ],
  );
  assert.deepEqual(findings[3]!.evidence, ["port 8008 on 127.0.0.1: client, federation"]);
  assert.deepEqual(findings[4]!.evidence, [
    "database.args",
    "media_store_path",
    "signing_key_path",
    "registration_shared_secret_path",
    "pid_file",
  ]);
  assert.doesNotMatch(JSON.stringify(findings), /dark|salty/);
});

test("what stands in for a macaroon secret is told", async (t) => {
  const fallback = async (more: string) =>
    (await inspected(t, { "a.yaml": MINIMUM + more })).find(({ id }) => id === "macaroon-fallback")?.sentence;
  assert.match(
    (await fallback("registration_shared_secret: a\n"))!,
    /uses registration_shared_secret in its place/,
  );
  assert.match((await fallback(""))!, /a hash of the signing key/);
  assert.equal(await fallback("macaroon_secret_key: a\n"), undefined);
});

test("a pepper that a later file throws away is found", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}password_config: {pepper: salty, enabled: true}\n`,
    "b.yaml": "password_config: {enabled: true}\n",
  });
  assert.deepEqual(told(findings), [
    "server-name ok",
    "pepper-overridden blocker",
    "config-overridden:password_config warning",
    "database-sqlite note",
  ]);
  assert.doesNotMatch(JSON.stringify(findings), /salty/);
});

test("a setting given twice is a note, and one that loses parts of it a warning", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}public_baseurl: a\nemail: {smtp_host: a, smtp_user: b}\nenable_search: yes\n`,
    "b.yaml": "public_baseurl: b\nemail: {smtp_host: a}\nenable_search: true\n",
  });
  assert.deepEqual(told(findings), [
    "server-name ok",
    "config-overridden:public_baseurl note",
    "config-overridden:email warning",
    "database-sqlite note",
    "host-addresses note",
  ]);
  assert.ok(
    findings[2]!.evidence!.some((line) =>
      line.startsWith("email.smtp_user is set in an earlier file and has no effect"),
    ),
  );
});

test("files that are named and missing are found, and how bad that is depends on the file", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}registration_shared_secret_path: gone
macaroon_secret_key_path: gone
app_service_config_files: [gone, a.yaml]
listeners: [{port: 8448, tls: true, resources: [{names: [federation]}]}]
tls_certificate_path: gone
templates: {custom_template_directory: a.yaml}
`,
  });
  assert.deepEqual(told(findings).slice(2), [
    "file-missing:macaroon_secret_key_path blocker",
    "file-missing:registration_shared_secret_path note",
    "file-missing:app_service_config_files[0] blocker",
    "file-missing:tls_certificate_path warning",
    "file-missing:templates.custom_template_directory warning",
    "appservice-broken:app_service_config_files[1] blocker",
  ]);
});

test("a certificate that no listener uses may be missing", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}tls_certificate_path: gone
tls_private_key_path: gone
listeners: [{port: 8008, tls: false, resources: [{names: [client]}]}]
`,
  });
  assert.deepEqual(
    told(findings).filter((line) => line.includes("missing")),
    [],
  );
});

test("what a move needs to know of is told: several databases, a removed experiment, a bad name", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `server_name: "not a name"
report_stats: no
experimental_features: {msc3861: {enabled: true}}
databases:
  main: {name: psycopg2, data_stores: [main], args: {dbname: a}}
  state: {name: sqlite3, data_stores: [state], args: {database: b.db}}
`,
  });
  assert.deepEqual(told(findings), [
    "server-name blocker",
    "database-mixed blocker",
    "config-removed:experimental_features.msc3861 warning",
  ]);
});

test("what else changes a move is told: a separate sign-in, retention, an unsafe locale, a daemon", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `server_name: example.org:8448
report_stats: no
database: {name: psycopg2, allow_unsafe_locale: true, args: {dbname: a}}
matrix_authentication_service: {enabled: true, endpoint: "http://me:geheim@127.0.0.1:8080/", secret: geheim}
retention: {enabled: true}
media_retention: {local_media_lifetime: 90d, remote_media_lifetime: null}
daemonize: true
`,
  });
  assert.deepEqual(told(findings), [
    "server-name ok",
    "unsafe-locale note",
    "mas warning",
    "retention note",
    "media-retention note",
    "host-addresses note",
    "daemonize note",
  ]);
  assert.deepEqual(findings.find(({ id }) => id === "media-retention")?.evidence, [
    "local_media_lifetime: 90d",
  ]);
  assert.doesNotMatch(JSON.stringify(findings), /geheim/);
  assert.match(findings.find(({ id }) => id === "mas")!.sentence, /at http:\/\/127\.0\.0\.1:8080\/,/);
});

test("neighbours of the host are listed, without the passwords in their addresses", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}macaroon_secret_key: dark
redis: {enabled: true, host: redis, password: geheim}
email: {smtp_host: localhost, smtp_pass: geheim}
http_proxy: http://me:geheim@proxy:3128
https_proxy: me:geheim@proxy:3128
turn_uris: ["turn:turn.example.org"]
instance_map: {main: {host: 127.0.0.1, port: 9093}}
listeners: [{path: /run/hs.sock, type: http, tls: true, resources: [{names: [client]}]}, {port: 9000, type: manhole}]
`,
  });
  const left = findings.find(({ id }) => id === "host-addresses");
  assert.deepEqual(left?.evidence, [
    "listeners[0].path: /run/hs.sock",
    "redis.host: redis",
    "instance_map.main.host: 127.0.0.1",
    "email.smtp_host: localhost",
    "turn_uris[0]: turn:turn.example.org",
    "http_proxy: http://proxy:3128",
    "https_proxy: proxy:3128",
  ]);
  const listeners = findings.find(({ id }) => id === "listeners");
  assert.equal(listeners?.level, "note");
  assert.deepEqual(listeners.evidence, [
    "/run/hs.sock, with TLS: client",
    "port 9000 on :: and 0.0.0.0: no HTTP",
  ]);
  assert.doesNotMatch(JSON.stringify(findings), /geheim/);
});

test("a file that only a container has is told to be fetched from there", async (t) => {
  const folder = folderWith(t, {
    "a.yaml": `${MINIMUM}templates: {custom_template_directory: /templates}\n`,
  });
  const homeserver = await readHomeserver(
    { configPaths: ["/data/a.yaml"], workingFolder: "/data", map: [{ inside: "/data", outside: folder }] },
    realFiles,
  );
  const finding = (await inspectConfig(homeserver, realFiles)).find(({ id }) =>
    id.startsWith("file-missing"),
  );
  assert.match(finding!.hint!, /docker cp/);
});
