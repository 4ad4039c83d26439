import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { PostgresCluster, unprivilegedAccount } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { type SshServer, startSshServer } from "../support/lab/ssh-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { synlift, synliftWell } from "../support/synlift.ts";

const STAND_IN = fileURLToPath(new URL("../support/follow/stand-in-source.ts", import.meta.url));
const SLOT = "synlift_test";
let old: PostgresCluster;
let ssh: SshServer;
let folder: string;
let answers: string;

before(async () => {
  old = await PostgresCluster.start({
    access: [
      "host replication synlift_follow 127.0.0.1/32 scram-sha-256",
      "host all synlift_follow 127.0.0.1/32 scram-sha-256",
      "local all all trust",
      "host all all 127.0.0.1/32 trust",
    ],
    settings: { max_connections: "77", max_slot_wal_keep_size: "64MB" },
  });
  await makeMiniSynapse(old, "synapse");
  await old.sql(
    "postgres",
    "create role synlift_follow login replication password 'of the copy'; grant pg_monitor, pg_read_all_data to synlift_follow",
  );
  ssh = await startSshServer();
  folder = temporaryFolder("follow", unprivilegedAccount());
  chmodSync(folder, 0o755);
  answers = join(folder, "answers.json");
  const systemIdentifier = await old.sql("postgres", "select system_identifier from pg_control_system()");
  const version = Number(await old.sql("postgres", "show server_version_num"));
  const common = { subject: "example.org", findings: [] };
  writeFileSync(
    answers,
    JSON.stringify({
      facts: {
        ...{ type: "facts", ...common, changes: ["create the role synlift_follow"] },
        roads: { standby: [], logical: ["not tried"] },
        source: {
          ...{ version, versionText: "15", architecture: "x86_64", systemIdentifier, recovering: false },
          administrator: { name: "postgres", isSuperuser: true },
          ...{ settings: {}, autoConf: {}, slots: [], walSenders: 0, disk: null, tablespaces: [] },
          databases: ["postgres", "synapse"].map((name) => ({
            ...{ name, bytes: 10_000_000, collate: "C", ctype: "C", provider: "c", collationVersion: null },
          })),
          ...{ database: "synapse", stateDatabase: null, masDatabase: null, schemaVersion: 92 },
          ...{ backgroundUpdates: 0, hbaFile: "pg_hba.conf", access: [], role: null },
        },
      },
      prepare: {
        ...{ type: "prepared", ...common, host: "127.0.0.1", port: old.address.port, role: "synlift_follow" },
        ...{
          password: "of the copy",
          slot: SLOT,
          publication: null,
          database: "synapse",
          stateDatabase: null,
        },
        ...{
          masDatabase: null,
          synapseRole: "mover",
          administrator: "postgres",
          architecture: "x86_64",
          systemIdentifier,
          serverVersion: version,
          keeps: 64 * 1024 * 1024,
        },
      },
      undo: { type: "undone", leftToDo: [], findings: [] },
    }),
  );
});

after(async () => {
  await ssh.stop();
  await old.stop();
});

const source = () => `${[process.execPath, STAND_IN, answers].map(quoteShellWord).join(" ")} #`;

async function copyAt(name: string) {
  const configDir = join(folder, `${name} config`);
  mkdirSync(configDir);
  const data = join(folder, `${name} data`);
  return {
    configDir,
    data,
    args: [
      ...[
        "follow",
        ssh.address,
        "--config-dir",
        configDir,
        "--data-dir",
        data,
        "--port",
        `${await freePort()}`,
      ],
      ...["--ssh-config", ssh.configFile, "--source-command", source(), "--checkpoint", "fast", "--json"],
    ],
  };
}

test("A copy begins, follows, is looked at and ends; nothing of it is left.", async () => {
  const { args, configDir, data } = await copyAt("whole");
  const ran = await synlift([...args, "--yes", "--until-caught-up"]);
  assert.equal(ran.code, 0, ran.stderr);
  console.error(ran.stdout, ran.stderr);
  const status = await synliftWell(["follow", "status", "--config-dir", configDir, "--json"]);
  console.error(status.stdout);
  const stopped = await synliftWell(["follow", "stop", "--config-dir", configDir, "--yes", "--json"]);
  console.error(stopped.stdout, stopped.stderr);
  assert.equal(existsSync(data), false);
});
