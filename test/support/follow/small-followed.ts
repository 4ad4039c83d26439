import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { quoteShellWord } from "../../../src/system/shell-quoting.ts";
import { PostgresCluster, unprivilegedAccount } from "../lab/postgres-cluster.ts";
import { freePort } from "../lab/server-process.ts";
import { type SshServer, startSshServer } from "../lab/ssh-server.ts";
import { temporaryFolder } from "../lab/temporary-folder.ts";
import { makeMiniSynapse } from "../mini-synapse.ts";

const STAND_IN = fileURLToPath(new URL("stand-in-source.ts", import.meta.url));
export const SLOT = "synlift_test";

/** A small PostgreSQL that can be followed through a real sshd; what synlift would do on that host was done already. */
export interface SmallFollowed {
  readonly old: PostgresCluster;
  readonly ssh: SshServer;
  /** What the old host answers, as JSON, by what it is asked. */
  readonly answersFile: string;
  /** What the old host was asked, one a line. */
  readonly askedFile: string;
  /** A place for a copy, with what `follow` is given. */
  copy(name: string, below?: string): Promise<Copy>;
  stop(): Promise<void>;
}

export interface Copy {
  readonly configDir: string;
  readonly data: string;
  readonly port: number;
  /** Of `follow`, with the old host. */
  readonly args: readonly string[];
}

export async function startSmallFollowed(): Promise<SmallFollowed> {
  const old = await PostgresCluster.start({
    access: [
      "host replication synlift_follow 127.0.0.1/32 scram-sha-256",
      "host all synlift_follow 127.0.0.1/32 scram-sha-256",
      "local all all trust",
      "host all all 127.0.0.1/32 trust",
    ],
    // More than this host's default, without which a standby would not start.
    settings: {
      max_connections: "117",
      min_wal_size: "32MB",
      max_wal_size: "32MB",
    },
  });
  await makeMiniSynapse(old, "synapse");
  await old.sql(
    "postgres",
    `create role synlift_follow login replication password 'of the copy';
    grant pg_monitor, pg_read_all_data to synlift_follow;
    set password_encryption to md5; alter role mover password 'an old password';
    alter system set max_slot_wal_keep_size = '256MB';
    alter system set archive_command = 'false'; alter system set work_mem = '5MB'`,
  );
  const ssh = await startSshServer();
  const folder = temporaryFolder("follow", unprivilegedAccount());
  chmodSync(folder, 0o755);
  const answers = join(folder, "answers.json");
  writeFileSync(answers, JSON.stringify(await answersOf(old)));
  const source = [process.execPath, STAND_IN, answers].map(quoteShellWord).join(" ");
  return {
    old,
    ssh,
    answersFile: answers,
    askedFile: `${answers}.asked`,
    async copy(name, below = folder) {
      const configDir = join(folder, `${name} config`);
      mkdirSync(configDir);
      const [data, port] = [join(below, `${name} data`), await freePort()];
      const args = [
        ...["follow", ssh.address, "--config-dir", configDir, "--data-dir", data, "--port", `${port}`],
        // The folder on the old host, which it would be given.
        ...["--ssh-config", ssh.configFile, "--source-command", `${source} #`, "--checkpoint", "fast"],
        "--without-media",
      ];
      return { configDir, data, port, args };
    },
    async stop() {
      await ssh.stop();
      await old.stop();
    },
  };
}

async function answersOf(old: PostgresCluster): Promise<object> {
  const systemIdentifier = await old.sql("postgres", "select system_identifier from pg_control_system()");
  const version = Number(await old.sql("postgres", "show server_version_num"));
  const common = { subject: "example.org", findings: [] };
  const databases = ["postgres", "synapse", "wiki"].map((name) => ({
    ...{ name, bytes: 10_000_000, collate: "C", ctype: "C", provider: "c", collationVersion: null },
  }));
  return {
    facts: {
      ...{ type: "facts", ...common, changes: ["what fits best"] },
      changesFor: { standby: ["create the role synlift_follow"], logical: ["publish the tables"] },
      roads: { standby: [], logical: ["not tried"] },
      source: {
        ...{ version, versionText: "15", architecture: "x86_64", systemIdentifier, recovering: false },
        administrator: { name: "postgres", isSuperuser: true },
        ...{ settings: {}, autoConf: {}, slots: [], walSenders: 0, disk: null, tablespaces: [], databases },
        ...{ database: "synapse", stateDatabase: null, masDatabase: null, schemaVersion: 92 },
        ...{ backgroundUpdates: 0, hbaFile: "pg_hba.conf", access: [], role: null },
      },
    },
    prepare: {
      ...{ type: "prepared", ...common, host: "127.0.0.1", port: old.address.port, role: "synlift_follow" },
      ...{ password: "of the copy", slot: SLOT, publication: null, database: "synapse", stateDatabase: null },
      ...{ masDatabase: null, synapseRole: "mover", administrator: "postgres", architecture: "x86_64" },
      ...{ systemIdentifier, serverVersion: version, keeps: 256 * 1024 * 1024 },
    },
    undo: { type: "undone", leftToDo: ["look at pg_hba.conf"], findings: [] },
  };
}
