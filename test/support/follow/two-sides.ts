import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { quoteShellWord } from "../../../src/system/shell-quoting.ts";
import type { HomeserverFolder } from "../lab/homeserver-folder.ts";
import type { MatrixClient } from "../lab/matrix-client.ts";
import { type PostgresCluster, postgresPrograms } from "../lab/postgres-cluster.ts";
import { freePort } from "../lab/server-process.ts";
import { type SshServer, startSshServer } from "../lab/ssh-server.ts";
import { synapsePython } from "../lab/synapse-server.ts";
import { removeFolder, temporaryFolder } from "../lab/temporary-folder.ts";
import type { OldServerOptions } from "../old-server.ts";
import { MAIN } from "../synlift.ts";
import { makeUnitServer, UNIT, type UnitServer } from "../unit-server.ts";
import { CuttableConnection } from "./cuttable-connection.ts";
import { killAtOnce, processesWith } from "./found-processes.ts";
import { tracesOnOldHost } from "./old-host.ts";
import { Writer, type WriterOptions } from "./writer.ts";

/** The way from the new host to the old one: an sshd of this machine is all that they share. */
export interface WayToOldHost {
  readonly ssh: SshServer;
  readonly way: CuttableConnection;
  /** The folder of synlift on the old host. */
  readonly exportFolder: string;
  /** Options of all commands of the new host that reach the old one. */
  readonly args: readonly string[];
  /** For `follow`: what starts synlift on the old host. */
  readonly sourceCommand: string;
  /** For `pull`. */
  readonly exportCommand: string;
  /** How the new Synapse will log in to the copy: as the old one does. */
  readonly database: { readonly name: string; readonly role: string; readonly password: string };
  close(): Promise<void>;
}

export interface OldSide {
  readonly home: Pick<HomeserverFolder, "dataFolder" | "database">;
  readonly configPaths: readonly string[];
  readonly cluster: PostgresCluster;
  /** For PATH there: with the systemctl that knows the unit. */
  readonly path: string;
  /** What starts synlift there. */
  readonly program?: readonly string[];
}

export async function wayTo({ home, configPaths, cluster, path, program }: OldSide): Promise<WayToOldHost> {
  const ssh = await startSshServer({ env: { PATH: path, NODE_TEST_CONTEXT: "" } });
  const way = await CuttableConnection.to(ssh.port);
  const known = join(ssh.folder, "known_hosts");
  appendFileSync(known, readFileSync(known, "utf8").replace(`:${ssh.port} `, `:${way.port} `));
  const folder = temporaryFolder("old");
  const exportFolder = join(folder, "synlift move");
  const { user, password, dbname, database } = home.database.args;
  const { socketFolder, port } = cluster.address;
  const administrator = `host=${socketFolder} port=${port} user=postgres dbname=${dbname ?? database}`;
  const command = (name: string, ...more: string[]) =>
    [
      ...[...(program ?? [process.execPath, MAIN]), name],
      ...configPaths.flatMap((path) => ["--config", path]),
      ...["--working-directory", home.dataFolder, ...more],
    ]
      .map(quoteShellWord)
      .join(" ");
  return {
    ...{ ssh, way, exportFolder },
    args: [
      ssh.address.replace(`:${ssh.port}`, `:${way.port}`),
      ...["--ssh-config", ssh.configFile, "--export-folder", exportFolder],
    ],
    sourceCommand: command("follow-source", "--admin-database", administrator),
    exportCommand: command("pull-sender", "--unit", UNIT),
    database: { name: String(dbname ?? database), role: String(user), password: String(password) },
    close: async () => {
      // The new host's, whatever became of a test.
      for (const found of processesWith(ssh.configFile)) killAtOnce(found);
      await way.stop();
      await ssh.stop();
      removeFolder(folder);
    },
  };
}

/** An old host on which people live, and the way to it. */
export interface TwoSides {
  readonly server: UnitServer;
  readonly to: WayToOldHost;
  /** People who write to the old server in rooms of all of them. */
  write(options?: Omit<WriterOptions, "people" | "roomIds" | "serverLog">): Promise<Writer>;
  /** Where the log of the old PostgreSQL is now. */
  position(): Promise<string>;
  /** All that could be left behind on the old host. */
  traces(): ReturnType<typeof tracesOnOldHost>;
  close(): Promise<void>;
}

/** As Debian's pg_hba.conf has it. */
const ACCESS = ["host replication all 127.0.0.1/32 scram-sha-256"];
/** What was acknowledged is in the log: a server that crashed has it. */
const SETTINGS = { synchronous_commit: "on" };

export async function makeTwoSides(
  database: Pick<OldServerOptions, "settings" | "access" | "major"> = {},
): Promise<TwoSides> {
  const server = await makeUnitServer({
    ...database,
    settings: { ...SETTINGS, ...database.settings },
    access: [...ACCESS, ...(database.access ?? [])],
  });
  const { cluster, people } = server.old;
  const to = await wayTo({ ...server.old, path: server.env.PATH });
  const writers: Writer[] = [];
  return {
    ...{ server, to },
    write: async (options = {}) => {
      const { alice, bob, carol } = people;
      const roomIds = [await roomOf(alice, [bob, carol]), await roomOf(bob, [alice, carol])];
      const serverLog = join(server.old.home.dataFolder, "homeserver.log");
      const writer = new Writer({ ...options, people: [alice, bob, carol], roomIds, serverLog });
      writers.push(writer);
      return writer;
    },
    position: () => cluster.sql("postgres", "select pg_current_wal_insert_lsn()"),
    traces: () => tracesOnOldHost(cluster, to.database.name, to.exportFolder),
    close: async () => {
      for (const writer of writers) await writer.stop();
      await to.close();
      await server.close();
    },
  };
}

export async function roomOf(owner: MatrixClient, others: readonly MatrixClient[]): Promise<string> {
  const invite = others.map(({ session }) => session.userId);
  const id = await owner.createRoom({ preset: "private_chat", invite });
  for (const other of others) await other.join(id);
  return id;
}

/** The new host: where the copy and then the new server are. */
export interface NewSide {
  /** Its path is in the arguments of all that runs here but ssh. */
  readonly folder: string;
  readonly configDir: string;
  readonly mediaDir: string;
  /** The data folder of the copy, and its port. */
  readonly data: string;
  readonly databasePort: number;
  /** Of the new Synapse. */
  readonly url: string;
  /** `synlift follow` that begins. */
  readonly follow: readonly string[];
  readonly status: readonly string[];
  readonly stop: readonly string[];
  /** `synlift pull --followed`. */
  readonly cutOver: readonly string[];
  /** The same, for the comparison beforehand alone. */
  readonly rehearse: readonly string[];
  readonly open: readonly string[];
  /** SQL as the copy's administrator, for what psql prints. */
  sql(text: string, database?: string): Promise<string>;
  /** Ends all that runs here. */
  close(): Promise<void>;
}

interface NewSideOptions {
  readonly folder?: string;
  /** The new PostgreSQL where the copy follows by logical replication; without, it is a standby. */
  readonly target?: PostgresCluster;
  /** The folder of the standby's programs; Debian's when left out. */
  readonly programs?: string;
  /** What the new Synapse needs in its environment. */
  readonly environment?: Readonly<Record<string, string>>;
}

export async function makeNewSide(
  { args, sourceCommand, exportCommand, database }: WayToOldHost,
  { folder = temporaryFolder("new"), target, programs, environment = {} }: NewSideOptions = {},
): Promise<NewSide> {
  const [configDir, mediaDir, data] = ["config", "media", "data"].map((name) => join(folder, name));
  const [databasePort, port] = [target?.address.port ?? (await freePort()), await freePort()];
  const passwordFile = join(folder, "database.password");
  mkdirSync(folder, { recursive: true });
  // Roles come along with a standby; otherwise synlift makes a password.
  if (!target) writeFileSync(passwordFile, `${database.password}\n`, { mode: 0o600 });
  const placeOfDatabase = [
    ...["--database", `host=127.0.0.1 port=${databasePort} user=${database.role} dbname=${database.name}`],
    ...["--database-password-file", passwordFile],
  ];
  const administrator = `host=${target?.address.socketFolder ?? ""} port=${databasePort} user=postgres dbname=postgres`;
  const copy = target
    ? ["--road", "logical", ...placeOfDatabase, "--admin-database", administrator]
    : [
        ...["--data-dir", data!, "--port", `${databasePort}`, "--checkpoint", "fast"],
        ...(programs === undefined ? [] : ["--postgres-programs", programs]),
      ];
  const config = join(configDir!, "homeserver.yaml");
  const pidFile = join(configDir!, "homeserver.pid");
  const synapse = synapsePython();
  // Where the old one has a folder of settings, this one has it too.
  const settings = join(configDir!, "conf.d");
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const start = `cd ${folder} && env ${variables.join(" ")} ${synapse} -m synapse.app.homeserver -c ${config} $(test ! -e ${settings} || echo -c ${settings}) -D`;
  const stop = `kill $(cat ${pidFile})`;
  const at = ["--config-dir", configDir!];
  const pull = [
    ...["pull", ...args, "--export-command", exportCommand, "--followed", ...at],
    ...[...placeOfDatabase, "--media-dir", mediaDir!, "--listen", `127.0.0.1:${port}`, "--json"],
  ];
  const place = {
    ...{ folder, configDir: configDir!, mediaDir: mediaDir!, data: data!, databasePort },
    url: `http://127.0.0.1:${port}`,
    follow: [
      ...["follow", ...args, "--source-command", sourceCommand, ...at],
      ...[...copy, "--media-dir", mediaDir!, "--yes", "--json"],
    ],
    status: ["follow", "status", ...at, "--json"],
    stop: ["follow", "stop", ...at, "--yes", "--json"],
    cutOver: [...pull, "--yes"],
    rehearse: [...pull, "--rehearse"],
    open: ["open", ...at, "--synapse", synapse, "--start-command", start, "--stop-command", stop, "--json"],
  };
  return {
    ...place,
    sql: (text, name = database.name) =>
      target ? target.sql(name, text) : psql(text, { port: databasePort, database: name }),
    close: async () => {
      for (const found of processesWith(folder)) killAtOnce(found);
      await Promise.resolve();
      removeFolder(folder);
    },
  };
}

const SOCKETS = "/var/run/postgresql";

function psql(text: string, { port, database }: { port: number; database: string }): Promise<string> {
  const isRoot = process.getuid?.() === 0;
  const program = join(postgresPrograms()!, "psql");
  const login = ["-h", SOCKETS, "-p", `${port}`, "-U", "postgres", "-d", database];
  const call = [program, "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", ...login, "-c", text];
  const [name, ...args] = isRoot
    ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", ...call]
    : call;
  return outputOf(spawn(name!, args, { stdio: ["ignore", "pipe", "pipe"] }));
}

function outputOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    let words = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (words += text));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(said.trimEnd());
      else reject(new Error(words));
    });
  });
}
