import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { basename, delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { parse } from "yaml";
import { flipped } from "../support/bytes.ts";
import { freePort } from "../support/lab/server-process.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo, makeNewPlace, makeOldServer, type OldServer } from "../support/old-server.ts";
import { scriptsIn } from "../support/real-world.ts";
import { StandInSystemctl } from "../support/stand-in-systemctl.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// The layouts of a restored server, each with its fence, run as far as this machine has what they need. One bundle is
// made for all.

let old: OldServer;
let bundle: string;
let key: string[];

before(async () => {
  old = await makeOldServer({ stopped: true });
  bundle = join(temporaryFolder("layouts"), "bundle");
  key = ["--passphrase-file", `${bundle}.passphrase`];
  await synliftWell(exportTo(old, bundle));
});

after(async () => {
  await old.server.stop();
  await old.cluster.stop();
});

const databaseArgs = ({ restoreArgs }: { restoreArgs: readonly string[] }) => restoreArgs.slice(0, 4);

test("with pip, synlift's start script refuses to start the server until open has verified it, and open needs no command", async () => {
  const place = await makeNewPlace(old.cluster, "pip", await freePort());
  const folder = join(place.folder, "srv");
  const args = [
    "--layout",
    "pip",
    "--folder",
    folder,
    "--synapse",
    synapsePython(),
    "--listen",
    `127.0.0.1:${place.port}`,
  ];
  await synliftWell(["restore", bundle, ...key, ...databaseArgs(place), ...args, "--without-workers"]);

  const script = join(folder, "start-synapse");
  const refused = spawnSync(script, { encoding: "utf8" });
  assert.equal(refused.status, 78);
  assert.match(refused.stderr, /old\.example has not been verified yet/);
  const unit = readFileSync(join(folder, "synapse.service"), "utf8");
  assert.match(unit, new RegExp(`^ConditionPathExists=${folder}/config/\\.opened-by-synlift$`, "m"));

  const config = ["--config-dir", join(folder, "config"), ...key, "--synapse", synapsePython(), "--json"];
  const opened = resultOf(await synliftWell(["open", ...config]));
  try {
    assert.equal(opened.details["opened"], true);
    assert.ok(opened.findings.some(({ id, level }) => id === "answers" && level === "ok"));
    assert.ok(existsSync(join(folder, "config/.opened-by-synlift")));
  } finally {
    execFileSync("sh", ["-c", `kill $(cat ${folder}/homeserver.pid)`]);
  }
});

test("with Debian's layout the unit is blocked by a condition before anything is restored, and open removes it", async () => {
  const place = await makeNewPlace(old.cluster, "debian", await freePort());
  const units = temporaryFolder("units");
  const dropIn = join(units, "matrix-synapse.service.d/synlift-restore.conf");
  const systemd = new StandInSystemctl([
    {
      name: "matrix-synapse.service",
      start: place.startCommand,
      pidFile: join(place.configDir, "homeserver.pid"),
    },
  ]);
  const env = { PATH: systemd.path };
  const layout = ["--layout", "debian", "--config-dir", place.configDir, "--media-dir", place.mediaDir];
  const args = [
    ...layout,
    "--owner",
    userInfo().username,
    "--systemd-dir",
    units,
    "--listen",
    `127.0.0.1:${place.port}`,
  ];
  const restore = ["restore", bundle, ...key, ...databaseArgs(place), ...args, "--json"];

  await synlift(restore, { env, killWhen: (said) => /"begin".*"restore\/database"/.test(said) });
  assert.ok(existsSync(dropIn), "the unit is blocked before the database is restored");
  await synliftWell(restore, { env });
  assert.match(
    readFileSync(dropIn, "utf8"),
    new RegExp(`^\\[Unit\\]\\nConditionPathExists=${place.configDir}/\\.opened-by-synlift$`, "m"),
  );
  assert.ok(systemd.calls.includes("daemon-reload "));

  const opened = resultOf(await synliftWell(["open", ...place.openArgs, ...key, "--json"], { env }));
  try {
    assert.equal(opened.details["opened"], true);
    assert.equal(existsSync(dropIn), false);
    assert.ok(systemd.isActive("matrix-synapse.service"));
  } finally {
    systemd.run("stop", "matrix-synapse.service");
  }
});

test("with --prepare-only nothing that starts a server is written or asked, and open verifies it and does not start it", async () => {
  const place = await makeNewPlace(old.cluster, "prepared", await freePort());
  const units = temporaryFolder("units");
  const systemd = new StandInSystemctl([]);
  const env = { PATH: systemd.path };
  const folders = ["--config-dir", place.configDir, "--media-dir", place.mediaDir, "--systemd-dir", units];
  const listen = ["--owner", userInfo().username, "--listen", `127.0.0.1:${place.port}`];
  const restore = ["restore", bundle, ...key, ...databaseArgs(place), ...folders, ...listen];
  const prepare = [...restore, "--layout", "debian", "--prepare-only"];
  await synliftWell(prepare, { env });
  assert.deepEqual(readdirSync(units), []);
  assert.deepEqual(readdirSync(place.folder).sort(), ["config", "database.password", "media"]);
  assert.ok(existsSync(join(place.configDir, "homeserver.yaml.fenced")));

  const open = ["open", ...place.openArgs, ...key, "--json"];
  const proven = resultOf(await synliftWell([...open, "--dry-run"], { env }));
  assert.ok(proven.findings.every(({ level }) => level === "ok"));
  const opened = resultOf(await synliftWell([...open, "--no-start"], { env }));
  assert.equal(opened.details["opened"], true);
  assert.ok(existsSync(join(place.configDir, "homeserver.yaml")));
  assert.deepEqual(systemd.calls, []);
});

test("a server whose account cannot enter the folders above it, or whose port is in use, is told so by restore, and stays closed", async (t) => {
  const place = await makeNewPlace(old.cluster, "closed", await freePort());
  const above = join(place.folder, "above");
  mkdirSync(above, { mode: 0o700 });
  const configDir = join(above, "config");
  // As somebody made it by hand.
  mkdirSync(configDir, { mode: 0o700 });
  const account = userInfo().uid === 0 ? "postgres" : userInfo().username;
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(place.port, "127.0.0.1", resolve));
  t.after(() => other.close());
  const folders = ["--config-dir", configDir, "--media-dir", place.mediaDir, "--owner", account];
  const restore = [
    ...["restore", bundle, ...key, ...databaseArgs(place), ...folders],
    ...["--listen", `127.0.0.1:${place.port}`, "--json"],
  ];
  const open = [
    "open",
    "--config-dir",
    configDir,
    "--synapse",
    synapsePython(),
    ...key,
    "--dry-run",
    "--json",
  ];
  const ids = ["folder-access", "listener-ports"];
  const told = (ran: Awaited<ReturnType<typeof synlift>>) =>
    resultOf(ran).findings.filter(({ id }) => ids.includes(id));
  const inUse = `port ${place.port} on 127.0.0.1 is in use by node, process ${process.pid}`;
  for (const args of [[...restore, "--dry-run"], restore]) {
    const found = told(await synliftWell(args));
    assert.ok(found.every(({ level }) => level === "warning"));
    assert.deepEqual(found.find(({ id }) => id === "listener-ports")?.evidence, [inUse]);
    if (account === "postgres")
      assert.match(
        found.find(({ id }) => id === "folder-access")!.hint!,
        new RegExp(`chmod o\\+x ${above}$`),
      );
  }
  const closed = await synlift(open);
  assert.equal(closed.code, 43, closed.stderr);
  const blockers = told(closed).filter(({ level }) => level === "blocker");
  assert.deepEqual(blockers.find(({ id }) => id === "listener-ports")?.evidence, [inUse]);
  assert.ok(existsSync(join(configDir, "homeserver.yaml.fenced")), "the fence is set");
  if (account === "postgres") {
    assert.notEqual(statSync(configDir).uid, 0, "the empty folder was given to the account");
    assert.match(blockers.find(({ id }) => id === "folder-access")!.sentence, new RegExp(`: ${above}$`));
    execFileSync("sh", [
      "-c",
      blockers.find(({ id }) => id === "folder-access")!.hint!.replace(/^[^:]*: /, ""),
    ]);
  }
  await new Promise((resolve) => other.close(resolve));
  const now = told(await synlift(open));
  assert.deepEqual(
    now.map(({ id, level }) => `${id} ${level}`).sort(),
    ids.map((id) => `${id} ok`),
  );
});

test("a bundle that is received through a pipe is restored and not kept; a damaged one changes nothing", async () => {
  const place = await makeNewPlace(old.cluster, "piped", await freePort());
  const tar = (folder: string) => ["tar", "-C", join(folder, ".."), "-cf", "-", basename(folder)] as const;
  const restore = ["restore", "-", ...place.restoreArgs, "--json"];
  const before = readdirSync(place.folder);
  const damaged = join(temporaryFolder("damaged"), "bundle");
  cpSync(bundle, damaged, { recursive: true });
  const artifact = join(damaged, "customer_db_export.sql.gz.gpg");
  writeFileSync(artifact, flipped(readFileSync(artifact), 1000));
  const refused = await synlift([...restore, ...key], { pipedFrom: [...tar(damaged)] });
  assert.equal(refused.code, 20, refused.stderr);
  assert.match(refused.stderr, /customer_db_export/);
  assert.deepEqual(readdirSync(place.folder), before);

  for (const unusable of [[], ["--passphrase-fd", "0"]]) {
    const ran = await synlift([...restore, ...unusable], { pipedFrom: [...tar(bundle)] });
    assert.equal(ran.code, 2, ran.stderr);
  }
  await synliftWell([...restore, ...key], { pipedFrom: [...tar(bundle)] });
  assert.deepEqual(readdirSync(place.folder).sort(), [...before, "config", "media"].sort());
  const open = ["open", ...place.openArgs, ...key, "--dry-run", "--json"];
  const proven = resultOf(await synliftWell(open));
  assert.ok(proven.findings.every(({ level }) => level === "ok"));

  const again = ["--config-dir", join(place.folder, "other"), ...key];
  const failed = await synlift([...restore, ...again], { pipedFrom: [...tar(bundle)] });
  assert.equal(failed.code, 40, failed.stderr);
  assert.match(failed.stderr, /the received bundle is kept in/);
  assert.ok(existsSync(join(`${place.mediaDir}.spool`, "manifest.json")));
});

test("with compose, one file has Synapse and PostgreSQL, and what it names exists and is consistent", async () => {
  const { port } = old.cluster.address;
  const folder = join(temporaryFolder("compose"), "srv");
  const clients = await freePort();
  // As the image would: the role and the database, with the password that was made for it.
  const docker = scriptsIn({
    docker: `echo "$*" >> ${folder}.calls
case "$*" in
  *"up --detach --wait postgres") psql -X -q -h ${old.cluster.address.socketFolder} -p ${port} -U ${old.cluster.address.superuser} -d postgres <<END
\\set password \`cat ${folder}/secrets/synapse-database\`
SELECT 'CREATE ROLE synapse LOGIN PASSWORD ' || quote_literal(:'password') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'synapse') \\gexec
SELECT 'CREATE DATABASE synapse OWNER synapse ENCODING ''UTF8'' LC_COLLATE ''C'' LC_CTYPE ''C'' TEMPLATE template0' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'synapse') \\gexec
END
  ;;
  *) exit 1;;
esac`,
  });
  const env = { PATH: `${docker}${delimiter}${process.env["PATH"] ?? ""}` };
  const args = [
    "--layout",
    "compose",
    "--folder",
    folder,
    "--database-port",
    String(port),
    "--synapse-version",
    "1.163.2",
  ];
  const restore = ["restore", bundle, ...key, ...args, "--listen", `127.0.0.1:${clients}`, "--json"];
  await synliftWell(restore, { env });

  const compose = parse(readFileSync(join(folder, "compose.yaml"), "utf8")) as Compose;
  const { postgres, synapse } = compose.services;
  assert.match(postgres.image, /postgres:15$/);
  assert.equal(synapse.image, "ghcr.io/element-hq/synapse:v1.163.2");
  assert.deepEqual(synapse.ports, [`127.0.0.1:${clients}:8008`]);
  for (const volume of [...postgres.volumes!, ...synapse.volumes!].map((one) => one.split(":")[0]!)) {
    if (volume !== "./postgres") assert.ok(existsSync(join(folder, volume)), volume);
  }
  for (const { file } of Object.values(compose.secrets)) assert.ok(existsSync(join(folder, file)), file);
  assert.equal(statSync(join(folder, "secrets")).mode & 0o777, 0o700);

  const text = readFileSync(join(folder, "data/homeserver.yaml.fenced"), "utf8");
  const settings = parse(text, { version: "1.1" }) as Record<string, unknown>;
  const password = readFileSync(join(folder, "secrets/synapse-database"), "utf8").trim();
  assert.equal(settings["media_store_path"], "/data/media_store");
  assert.equal(settings["signing_key_path"], "/data/old.example.signing.key");
  const { args: database } = settings["database"] as { args: Record<string, unknown> };
  assert.equal(database["host"], "postgres");
  assert.equal(database["password"], password);
  assert.match(
    readFileSync(join(folder, "data/start-synapse"), "utf8"),
    /\/start\.py run -c \/data\/homeserver\.yaml -c \/data\/conf\.d/,
  );
  assert.doesNotMatch(readFileSync(`${folder}.calls`, "utf8"), new RegExp(password));

  const open = ["open", "--config-dir", join(folder, "data"), ...key, "--dry-run", "--json"];
  const { findings } = resultOf(await synliftWell(open, { env }));
  assert.deepEqual(
    findings.filter(({ level }) => level !== "ok"),
    [],
    "the gates find the container's paths and its database from this host",
  );
});

interface Compose {
  readonly services: Record<"postgres" | "synapse", { image: string; ports: string[]; volumes?: string[] }>;
  readonly secrets: Record<string, { file: string }>;
}

test("options that a layout requires are asked for, and options that it does not allow are refused", async () => {
  const restore = ["restore", bundle, ...key];
  for (const [args, words] of [
    [["--layout", "pip", "--database", "dbname=x"], /requires\s+--folder/],
    [["--layout", "compose", "--folder", "/x", "--database", "dbname=x"], /has\s+its\s+own\s+database/],
    [["--layout", "compose", "--folder", "/x", "--media-dir", "/y"], /puts\s+everything\s+below\s+--folder/],
    [["--database", "dbname=x"], /--config-dir and --media-dir/],
    [
      ["--layout", "compose", "--folder", "/x", "--prepare-only"],
      /cannot\s+be\s+combined\s+with\s+--prepare-only/,
    ],
    [
      ["--layout", "debian", "--database", "dbname=x", "--prepare-only", "--unit", "x"],
      /--unit\s+blocks\s+a\s+unit/,
    ],
    [["--layout", "snap", "--database", "dbname=x"], /--layout/],
  ] as const) {
    const ran = await synlift([...restore, ...args]);
    assert.equal(ran.code, 2, ran.stderr);
    assert.match(ran.stderr, words);
  }
});
