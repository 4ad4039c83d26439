import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { isOnThisHost, onThisHost } from "../../src/homeserver/path-map.ts";
import { readHomeserver } from "../../src/homeserver/read.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { folderWith } from "../support/folder-with.ts";

const MAP = [
  { inside: "/data", outside: "/srv/synapse" },
  { inside: "/data/media_store/", outside: "/big/media" },
  { inside: "/etc/hs.yaml", outside: "/srv/hs.yaml" },
];

test("a path in a container is found where the longest mount puts it", () => {
  const places = {
    "/data": "/srv/synapse",
    "/data/homeserver.yaml": "/srv/synapse/homeserver.yaml",
    "/data/media_store": "/big/media",
    "/data/media_store/local_content/a": "/big/media/local_content/a",
    "/data/media_store_old": "/srv/synapse/media_store_old",
    "/etc/hs.yaml": "/srv/hs.yaml",
  };
  for (const [inside, outside] of Object.entries(places)) assert.equal(onThisHost(inside, MAP), outside);
});

test("a path that no mount leads to stays as it is", () => {
  for (const path of ["/database", "/srv/synapse/homeserver.yaml", "/", "/etc/hs.yaml.bak"]) {
    assert.equal(onThisHost(path, MAP), path);
    assert.equal(isOnThisHost(path, MAP), false);
  }
  assert.equal(onThisHost("/data/x", []), "/data/x");
  assert.equal(isOnThisHost("/data/x", []), true);
  assert.equal(isOnThisHost("/data/x", MAP), true);
});

test("everything can be mounted", () => {
  assert.equal(onThisHost("/etc/x", [{ inside: "/", outside: "/mnt/root" }]), "/mnt/root/etc/x");
  assert.equal(onThisHost("/", [{ inside: "/", outside: "/mnt/root" }]), "/mnt/root");
});

test("the configuration of a container is read on this host, with all that it names", async (t) => {
  const folder = folderWith(t, {
    "config/homeserver.yaml": `server_name: example.org
report_stats: no
database: {name: psycopg2, args: {user: a, host: /sockets, password: geheim, sslrootcert: /data/ca.pem}}
media_store_path: /data/media_store
signing_key_path: keys/example.org.signing.key
macaroon_secret_key_path: /data/macaroon
app_service_config_files: [/data/appservices/irc.yaml, /elsewhere/as.yaml]
`,
    "config/conf.d/a.yaml": "public_baseurl: https://matrix.example.org/\n",
    "config/macaroon": "dark\n",
  });
  const map = [
    { inside: "/data", outside: join(folder, "config") },
    { inside: "/data/media_store", outside: "/big/media" },
    { inside: "/sockets", outside: "/run/postgresql" },
  ];
  const homeserver = await readHomeserver(
    { configPaths: ["homeserver.yaml", "/data/conf.d"], workingFolder: "/data", map },
    realFiles,
  );
  const outside = (name: string) => join(folder, "config", name);
  assert.deepEqual(
    homeserver.configFiles.map(({ path }) => path),
    [outside("homeserver.yaml"), outside("conf.d/a.yaml")],
  );
  assert.deepEqual(homeserver.configPaths, [outside("homeserver.yaml"), outside("conf.d")]);
  assert.equal(homeserver.mediaStore, "/big/media");
  assert.equal(homeserver.workingFolder, join(folder, "config"));
  assert.deepEqual(homeserver.signingKey, { kind: "file", path: outside("keys/example.org.signing.key") });
  assert.deepEqual(homeserver.secrets, [{ setting: "macaroon_secret_key", value: "dark" }]);
  assert.deepEqual(homeserver.database, {
    kind: "postgres",
    args: { user: "a", host: "/run/postgresql", password: "geheim", sslrootcert: outside("ca.pem") },
  });
  const appservices = homeserver.referenced.filter(({ role }) => role === "appservice");
  assert.deepEqual(
    appservices.map(({ path }) => path),
    [outside("appservices/irc.yaml"), "/elsewhere/as.yaml"],
  );
});

test("a single mounted file has its default signing key where the container has it", async (t) => {
  const folder = folderWith(t, {
    "hs.yaml": "server_name: example.org\nreport_stats: no\ndatabase: {args: {database: /data/a.db}}\n",
  });
  const map = [
    { inside: "/data", outside: "/srv/data" },
    { inside: "/data/homeserver.yaml", outside: join(folder, "hs.yaml") },
  ];
  const given = { configPaths: ["/data/homeserver.yaml"], workingFolder: "/", map };
  const homeserver = await readHomeserver(given, realFiles);
  assert.deepEqual(homeserver.signingKey, { kind: "file", path: "/srv/data/example.org.signing.key" });
  assert.deepEqual(homeserver.database, { kind: "sqlite", path: "/srv/data/a.db" });
  const elsewhere = await readHomeserver({ ...given, keysFolder: "/data/keys" }, realFiles);
  assert.deepEqual(elsewhere.signingKey, { kind: "file", path: "/srv/data/keys/example.org.signing.key" });
});

test("a configuration that is missing is named by its path on this host", async (t) => {
  const folder = folderWith(t, { a: "" });
  const map = [{ inside: "/data", outside: folder }];
  await assert.rejects(
    readHomeserver({ configPaths: ["/data/homeserver.yaml"], workingFolder: "/", map }, realFiles),
    { code: "config-unreadable", message: new RegExp(`no configuration file or folder at ${folder}`) },
  );
});
