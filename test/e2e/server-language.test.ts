import assert from "node:assert/strict";
import { chmodSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { exportOf, makeSmallHomeserver } from "../support/small-homeserver.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A whole move between databases of a server whose host speaks German.

/** Peer authentication needs an account of this host; as root another one than root. */
const PEER = userInfo().uid === 0 ? "nobody" : userInfo().username;
let cluster: PostgresCluster;
let work: string;

before(async () => {
  work = temporaryFolder("language");
  chmodSync(work, 0o755);
  cluster = await PostgresCluster.start({
    language: "de_DE",
    access: ["local all postgres trust", `local all ${PEER} peer`, "host all all 127.0.0.1/32 scram-sha-256"],
  });
  await makeMiniSynapse(cluster, "synapse");
  await cluster.createRole(PEER, "not asked for");
  await cluster.sql("postgres", `grant mover to "${PEER}"; alter role "${PEER}" createdb`);
});
after(() => cluster.stop());

const address = (dbname: string) => ({
  ...{ host: cluster.address.socketFolder, port: cluster.address.port, user: PEER, dbname },
});

test("a server that speaks German is planned for, exported from and restored to, as the account that it knows", async () => {
  assert.match(
    await cluster.sql("postgres", "select 'x'::int").catch((error: unknown) => String(error)),
    /FEHLER: {2}ungültige Eingabesyntax/,
  );
  const database = { name: "psycopg2", args: { ...address("synapse"), cp_min: 1 } } as const;
  const home = await makeSmallHomeserver({ database });
  const out = join(work, "bundle");

  const plan = await synlift([
    ...["plan", "--config", home.configFile, "--working-directory", home.dataFolder, "--json"],
  ]);
  const { findings } = resultOf(plan);
  assert.equal(findings.find(({ id }) => id === "pg-dump")?.level, "ok", plan.stdout);

  await synliftWell(exportOf(home, out));
  const opening = ["--passphrase-file", `${out}.passphrase`, "--json"];
  const target = Object.entries(address("new"))
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
  const folders = ["--config-dir", join(work, "new"), "--media-dir", join(work, "media")];
  const restore = ["restore", out, "--database", target, ...folders, ...opening];
  await synliftWell(restore);
  assert.equal(await cluster.sql("new", "select count(*) from events"), "500");
});
