import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { postgresDatabase } from "../support/lab/homeserver-folder.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeNewPlace, type NewPlace } from "../support/old-server.ts";
import {
  addMessages,
  makeSqliteServer,
  onDatabase,
  plant,
  PLANTED_SEQUENCES,
  readEverything,
  type SqliteServer,
  writeEverywhere,
} from "../support/ported.ts";
import { ServedCopy } from "../support/served-copy.ts";
import { resultOf, synliftWell } from "../support/synlift.ts";

// A large homeserver on SQLite moves to another host and is on PostgreSQL there: ported on the new host, from a bundle and from
// host to host; and, to compare the outages, ported on the old one before it moves.

/** Fewer for a quick run. */
const MESSAGES = Number(process.env["PORT_MESSAGES"] ?? 100_000);

let old: SqliteServer;
let crowded: string;
let cluster: PostgresCluster;
let served: ServedCopy;
let work: string;
const places: NewPlace[] = [];

before(async () => {
  cluster = await PostgresCluster.start({
    access: ["local all postgres trust", "host all all 127.0.0.1/32 scram-sha-256"],
    settings: { shared_buffers: "256MB", max_wal_size: "4GB" },
  });
  old = await makeSqliteServer();
  await old.server.stop();
  crowded = addMessages(old.path, MESSAGES);
  plant(old.path, PLANTED_SEQUENCES);
  served = await ServedCopy.start(old);
  work = temporaryFolder("port-move-long");
});

after(async () => {
  for (const { configDir, stopCommand } of places)
    if (existsSync(join(configDir, "homeserver.pid"))) execFileSync("sh", ["-c", stopCommand]);
  await served.stop();
  await cluster.stop();
});

async function newPlace(name: string): Promise<NewPlace> {
  const place = await makeNewPlace(cluster, name, await freePort());
  places.push(place);
  return place;
}

/** Opens what was restored there; seconds of the outage since the export began to stop the old server, or found it stopped. */
async function opened(place: NewPlace, more: readonly string[]): Promise<number> {
  const ran = await synliftWell([
    ...["open", ...place.openArgs, ...more],
    ...["--start-command", place.startCommand, "--stop-command", place.stopCommand, "--json"],
  ]);
  const { details, findings } = resultOf(ran);
  assert.ok(findings.every(({ level }) => level === "ok" || level === "note"));
  return details["outageSeconds"] as number;
}

/** Old tokens, old devices, all rooms, threads, messages from device to device; then the server is not needed any more. */
async function mustWork({ url, database, stopCommand, configDir }: NewPlace): Promise<void> {
  assert.ok(Number(await cluster.sql(database, "select count(*) from events")) > MESSAGES);
  await readEverything(old, url, { except: [crowded] });
  await writeEverywhere(old, url);
  execFileSync("sh", [
    "-c",
    `${stopCommand}; while test -e ${join(configDir, "homeserver.pid")}; do sleep 0.2; done`,
  ]);
}

test(`a running server with ${MESSAGES} events is pulled from host to host, and is on PostgreSQL there`, async (t) => {
  const place = await newPlace("pulled");
  const ran = await synliftWell([
    ...[...served.pullArgs, ...place.restoreArgs, "--port", "--synapse", synapsePython(), "--yes", "--json"],
  ]);
  assert.equal(served.isActive, false);
  const sequences = resultOf(ran).findings.find(({ id }) => id === "port-sequences");
  assert.match(sequences?.sentence ?? "", /were raised/);
  t.diagnostic(`outage, pulled and ported on the new host: ${(await opened(place, [])).toFixed(0)} s`);
  await mustWork(place);
});

test(`one with ${MESSAGES} events moves in a bundle, and is ported on the new host`, async (t) => {
  const place = await newPlace("ported");
  const bundle = join(work, "bundle");
  const key = ["--passphrase-file", `${bundle}.passphrase`];
  await synliftWell(["export", ...old.config, "--out", bundle, "--json"]);
  const port = ["--port", "--synapse", synapsePython()];
  await synliftWell(["restore", bundle, ...key, ...place.restoreArgs, ...port, "--json"]);
  t.diagnostic(
    `outage, from a bundle and ported on the new host: ${(await opened(place, key)).toFixed(0)} s`,
  );
  await mustWork(place);
});

test(`one with ${MESSAGES} events is ported on the old host, and moves on PostgreSQL`, async (t) => {
  const place = await newPlace("moved");
  const began = performance.now();
  const database = await postgresDatabase(cluster, "before");
  const { host, port, user, password, dbname } = database.args;
  const passwordFile = join(work, "before.password");
  writeFileSync(passwordFile, String(password), { mode: 0o600 });
  await synliftWell([
    ...["port", ...old.config, "--to", `host=${host!} port=${port!} user=${user!} dbname=${dbname!}`],
    ...[
      "--to-password-file",
      passwordFile,
      "--out",
      join(work, "port"),
      "--synapse",
      synapsePython(),
      "--json",
    ],
  ]);
  onDatabase(old, database);
  const ported = (performance.now() - began) / 1000;
  const bundle = join(work, "bundle-of-postgresql");
  const key = ["--passphrase-file", `${bundle}.passphrase`];
  await synliftWell(["export", ...old.config, "--out", bundle, "--json"]);
  await synliftWell(["restore", bundle, ...key, ...place.restoreArgs, "--json"]);
  const rest = await opened(place, key);
  t.diagnostic(
    `outage, ported on the old host: ${(ported + rest).toFixed(0)} s, ${ported.toFixed(0)} s of them the port`,
  );
  await mustWork(place);
});
