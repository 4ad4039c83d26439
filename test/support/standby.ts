import { execFileSync } from "node:child_process";
import { existsSync, appendFileSync, chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { thisMachine } from "../../src/journal/made-on.ts";
import { realMachine } from "../../src/system/machine.ts";
import { type PostgresCluster, unprivilegedAccount } from "./lab/postgres-cluster.ts";
import { freePort, ServerProcess } from "./lab/server-process.ts";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { type SshServer, startSshServer } from "./lab/ssh-server.ts";
import { synapsePython } from "./lab/synapse-server.ts";
import { DATABASE_PASSWORD } from "./old-server.ts";
import { MAIN } from "./synlift.ts";
import { makeUnitServer, UNIT, type UnitServer } from "./unit-server.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";

/** A standby of a server of this machine, as `synlift follow` leaves one, with what it remembers of it. */
interface Standby {
  readonly port: number;
  /** The folder of its socket, for psql. */
  readonly socketFolder: string;
  /** SQL as its administrator, for what psql prints. */
  sql(database: string, text: string): string;
  stop(): Promise<void>;
}

const PASSWORD = "follow'me";

async function makeStandby(
  cluster: PostgresCluster,
  {
    configDir,
    database,
    synapseRole,
    ssh,
  }: { configDir: string; database: string; synapseRole: string; ssh: SshServer },
): Promise<Standby> {
  const account = unprivilegedAccount();
  const { host, port: oldPort } = cluster.address;
  const file = await cluster.sql("postgres", "show hba_file");
  appendFileSync(file, "host replication all 127.0.0.1/32 scram-sha-256\n");
  await cluster.sql(
    "postgres",
    `create role synlift_follow login replication password '${PASSWORD.replaceAll("'", "''")}' in role pg_monitor, pg_read_all_data;
     select pg_create_physical_replication_slot('synlift_test', true); select pg_reload_conf()`,
  );
  const folder = temporaryFolder("standby", account);
  chmodSync(folder, 0o711);
  const data = join(folder, "data");
  const passfile = join(folder, "passfile");
  writeFileSync(passfile, `*:*:*:synlift_follow:${PASSWORD}\n`, { mode: 0o600 });
  if (account) chownSync(passfile, account.uid, account.gid);
  execFileSync(
    join(cluster.programs, "pg_basebackup"),
    [
      ...["-d", `host=${host} port=${oldPort} user=synlift_follow passfile=${passfile}`],
      ...["-D", data, "-R", "-S", "synlift_test", "-X", "stream", "-c", "fast"],
    ],
    { ...account, cwd: folder, stdio: ["ignore", "pipe", "pipe"] },
  );
  const port = await freePort();
  const settings = {
    listen_addresses: "127.0.0.1",
    port: `${port}`,
    unix_socket_directories: folder,
    unix_socket_permissions: "0777",
    fsync: "off",
    shared_buffers: "32MB",
    max_connections: "60",
    autovacuum: "off",
  };
  const server = new ServerProcess({
    program: join(cluster.programs, "postgres"),
    args: ["-D", data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    lastSignal: "SIGQUIT",
    folder,
    account,
    environment: {},
  });
  const sql = (dbname: string, text: string) =>
    execFileSync(
      join(cluster.programs, "psql"),
      [
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        folder,
        "-p",
        `${port}`,
        "-U",
        "lab",
        "-d",
        dbname,
        "-c",
        text,
      ],
      { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
    ).trimEnd();
  await server.untilReady(() => {
    try {
      return Promise.resolve(sql("postgres", "select pg_is_in_recovery()") === "t");
    } catch {
      return Promise.resolve(false);
    }
  }, 180);
  const own = join(configDir, ".synlift");
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "follow.passfile"), `*:*:*:synlift_follow:${PASSWORD}\n`, { mode: 0o600 });
  const id = randomUUID();
  const state = {
    ...{
      format: "synlift-follow",
      version: 1,
      id,
      madeOn: thisMachine(realMachine(process.pid, "/")),
      road: "standby",
    },
    ...{ serverName: "localhost", begun: new Date().toISOString(), stage: "following", compared: null },
    old: {
      ...{ address: ssh.address, sshConfig: ssh.configFile, senderCommand: "none", folder: "none" },
      ...{
        postgres: { host, port: oldPort },
        database,
        synapseRole,
        role: "synlift_follow",
        slot: "synlift_test",
      },
      systemIdentifier: await cluster.sql("postgres", "select system_identifier from pg_control_system()"),
      serverVersion: Number(await cluster.sql("postgres", "show server_version_num")),
    },
    tunnel: { folder: join(folder, "way") },
    here: {
      ...{
        kind: "standby",
        data,
        programs: cluster.programs,
        port,
        socketFolder: folder,
        account: "postgres",
      },
      ...{ administrator: "postgres", cluster: null },
    },
  };
  writeFileSync(join(own, "follow.json"), JSON.stringify(state));
  return { port, socketFolder: folder, sql, stop: () => server.stop("SIGQUIT", 20) };
}

/** A real Synapse with a standby of its database, and the commands that move it there. */
export interface FollowedMove {
  readonly server: UnitServer;
  readonly standby: Standby;
  readonly work: string;
  readonly configDir: string;
  /** Of the new Synapse. */
  readonly url: string;
  readonly pull: readonly string[];
  readonly openArgs: readonly string[];
  close(): Promise<void>;
}

export async function makeFollowedMove(): Promise<FollowedMove> {
  const server = await makeUnitServer();
  const work = temporaryFolder("followed");
  const configDir = join(work, "config");
  const ssh = await startSshServer({ env: { PATH: server.env.PATH, NODE_TEST_CONTEXT: "" } });
  const standby = await makeStandby(server.old.cluster, {
    configDir,
    database: "old",
    synapseRole: "old",
    ssh,
  });
  const passwordFile = join(work, "database.password");
  writeFileSync(passwordFile, `${DATABASE_PASSWORD}\n`, { mode: 0o600 });
  const { configPaths, home } = server.old;
  const words = [
    ...[process.execPath, MAIN, "pull-sender", ...configPaths.flatMap((path) => ["--config", path])],
    ...["--working-directory", home.dataFolder, "--unit", UNIT],
  ];
  const port = await freePort();
  const config = join(configDir, "homeserver.yaml");
  const python = synapsePython();
  const stopCommand = `kill $(cat ${join(configDir, "homeserver.pid")})`;
  return {
    ...{ server, standby, work, configDir, url: `http://127.0.0.1:${port}` },
    pull: [
      ...["pull", ssh.address, "--ssh-config", ssh.configFile, "--export-folder", join(work, "old")],
      ...["--export-command", words.map(quoteShellWord).join(" "), "--followed", "--json"],
      ...["--database", `host=127.0.0.1 port=${standby.port} user=old dbname=old`],
      ...["--database-password-file", passwordFile, "--config-dir", configDir],
      ...["--media-dir", join(work, "media"), "--listen", `127.0.0.1:${port}`],
    ],
    openArgs: [
      ...["open", "--config-dir", configDir, "--synapse", python, "--stop-command", stopCommand, "--json"],
      ...[
        "--start-command",
        `cd ${work} && ${python} -m synapse.app.homeserver -c ${config} -c ${join(configDir, "conf.d")} -D`,
      ],
    ],
    close: async () => {
      if (existsSync(join(configDir, "homeserver.pid"))) execFileSync("sh", ["-c", stopCommand]);
      await standby.stop();
      await ssh.stop();
      await server.close();
    },
  };
}
