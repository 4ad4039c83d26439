import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { PostgresCluster } from "./postgres-cluster.ts";
import { freePort } from "./server-process.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** The `database` block of homeserver.yaml. */
export interface DatabaseSettings {
  readonly name: "psycopg2" | "sqlite3";
  readonly args: Readonly<Record<string, string | number>>;
}

export interface HomeserverFolderOptions {
  readonly serverName?: string;
  /** SQLite in the data folder when left out. */
  readonly database?: DatabaseSettings;
  /** Top-level keys of homeserver.yaml that are added or replaced. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** All that a homeserver owns on disk, apart from a PostgreSQL database. */
export interface HomeserverFolder {
  readonly folder: string;
  readonly serverName: string;
  readonly configFile: string;
  readonly signingKeyPath: string;
  readonly mediaStorePath: string;
  /** The folder to start Synapse in. */
  readonly dataFolder: string;
  readonly registrationSharedSecret: string;
  readonly database: DatabaseSettings;
}

/** Writes the configuration and the signing key of a new homeserver that talks to nobody outside this host. */
export async function makeHomeserverFolder(options: HomeserverFolderOptions = {}): Promise<HomeserverFolder> {
  const { serverName = "old.example", settings = {} } = options;
  const folder = temporaryFolder("hs");
  const config = join(folder, "config");
  const dataFolder = join(folder, "data");
  const mediaStorePath = join(dataFolder, "media_store");
  for (const path of [config, dataFolder, mediaStorePath]) mkdirSync(path);

  const database = options.database ?? {
    name: "sqlite3",
    args: { database: join(dataFolder, "homeserver.db") },
  };
  const signingKeyPath = join(config, `${serverName}.signing.key`);
  const logConfig = join(config, "log.yaml");
  const registrationSharedSecret = secret();
  const homeserver = {
    server_name: serverName,
    pid_file: join(dataFolder, "homeserver.pid"),
    listeners: [loopbackListener(await freePort())],
    database,
    log_config: logConfig,
    media_store_path: mediaStorePath,
    registration_shared_secret: registrationSharedSecret,
    macaroon_secret_key: secret(),
    form_secret: secret(),
    password_config: { pepper: secret() },
    signing_key_path: signingKeyPath,
    report_stats: false,
    trusted_key_servers: [],
    suppress_key_server_warning: true,
    federation_domain_whitelist: [],
    presence: { enabled: false },
    bcrypt_rounds: 4,
    ...NO_LIMITS,
    ...settings,
  };
  const configFile = join(config, "homeserver.yaml");
  writeFileSync(configFile, stringify(homeserver), { mode: 0o600 });
  writeFileSync(logConfig, stringify(loggingTo(join(dataFolder, "homeserver.log"))));
  writeFileSync(signingKeyPath, newSigningKey(), { mode: 0o600 });
  const paths = { folder, serverName, configFile, signingKeyPath, mediaStorePath, dataFolder };
  return { ...paths, registrationSharedSecret, database };
}

/** Makes a role with a password and a database that Synapse accepts, both called `name`, and says how to reach it. */
export async function postgresDatabase(cluster: PostgresCluster, name: string): Promise<DatabaseSettings> {
  const password = secret();
  await cluster.createRole(name, password);
  await cluster.createDatabase(name, { owner: name });
  const { host, port } = cluster.address;
  return { name: "psycopg2", args: { user: name, password, dbname: name, host, port, cp_min: 1, cp_max: 5 } };
}

function loopbackListener(port: number): object {
  const resources = [{ names: ["client", "federation", "media"], compress: false }];
  return { port, type: "http", tls: false, bind_addresses: ["127.0.0.1"], x_forwarded: true, resources };
}

/** The line that Synapse itself writes: an ed25519 seed with a name of its own. */
function newSigningKey(): string {
  const version = randomBytes(3).toString("hex");
  return `ed25519 a_${version} ${randomBytes(32).toString("base64").replaceAll("=", "")}\n`;
}

function loggingTo(filename: string): object {
  return {
    version: 1,
    formatters: {
      precise: { format: "%(asctime)s - %(name)s - %(lineno)d - %(levelname)s - %(request)s - %(message)s" },
    },
    handlers: { file: { class: "logging.FileHandler", formatter: "precise", filename } },
    root: { level: "WARNING", handlers: ["file"] },
    disable_existing_loggers: false,
  };
}

function secret(): string {
  return randomBytes(24).toString("base64url");
}

const UNLIMITED = { per_second: 100_000, burst_count: 100_000 };

/** Tests do in a second what people do in a day. */
const NO_LIMITS = {
  rc_message: UNLIMITED,
  rc_registration: UNLIMITED,
  rc_login: { address: UNLIMITED, account: UNLIMITED, failed_attempts: UNLIMITED },
  rc_admin_redaction: UNLIMITED,
  rc_joins: { local: UNLIMITED, remote: UNLIMITED },
  rc_joins_per_room: UNLIMITED,
  rc_invites: { per_room: UNLIMITED, per_user: UNLIMITED, per_issuer: UNLIMITED },
  rc_media_create: UNLIMITED,
  rc_room_creation: UNLIMITED,
};
