import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type HomeserverFolder, makeHomeserverFolder } from "./lab/homeserver-folder.ts";
import { copyHomeserver, keepHomeserver, keptHomeserver } from "./lab/kept-homeserver.ts";
import { populate, type Population } from "./lab/populate.ts";
import { debianMajor, PostgresCluster, postgresVersion } from "./lab/postgres-cluster.ts";
import { synapsePython, type SynapseOptions, SynapseServer } from "./lab/synapse-server.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";

/** A password with everything that breaks careless connection strings. */
export const DATABASE_PASSWORD = "p@ss/w#r%d: 'it''s' \\ ünd spaces";

/** Passwords count, and nobody gets in without one; as Debian has it, with the form of passwords of that version. */
const accessOf = (major: number) => [
  "local all postgres trust",
  `host all all 127.0.0.1/32 ${major < 14 ? "md5" : "scram-sha-256"}`,
];

/** A homeserver that people lived on, with its PostgreSQL. */
export interface OldServer {
  readonly cluster: PostgresCluster;
  readonly home: HomeserverFolder;
  readonly server: SynapseServer;
  readonly people: Population;
  /** What export is given with --config. */
  readonly configPaths: readonly string[];
  /** What its Synapse, and a later one on the same PostgreSQL, needs in its environment. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface OldServerOptions {
  readonly version?: string | undefined;
  readonly stopped?: boolean;
  /** Of its PostgreSQL. */
  readonly settings?: Readonly<Record<string, string>>;
  /** More lines of pg_hba.conf, before the others. */
  readonly access?: readonly string[];
  /** Of its PostgreSQL; Debian's when left out. */
  readonly major?: number | undefined;
}

/**
 * One that was filled through the client API, running unless it is to be `stopped`. Its configuration is a file and a folder. All have the
 * same people and content: it is filled once, and copied.
 */
export async function makeOldServer({
  version,
  stopped = false,
  settings = {},
  access = [],
  major = debianMajor(),
}: OldServerOptions = {}): Promise<OldServer> {
  const environment = major < LEAST_POSTGRES ? anyPostgres() : {};
  const its = { version, environment };
  const kept = await keptHomeserver("old-server", [version ?? "newest", `${major}`, ...RECIPE], (folder) =>
    fill(folder, major, its),
  );
  const cluster = await PostgresCluster.start({
    access: [...access, ...accessOf(major)],
    settings,
    major,
    data: join(kept, "cluster"),
  });
  const { home, people } = await copyHomeserver(kept, { port: cluster.address.port });
  const folder = join(home.configFile, "../conf.d");
  const server = serverOf(home, its);
  if (!stopped) await server.start();
  const configPaths = [home.configFile, folder];
  return { ...{ cluster, home, server, configPaths, environment }, people: people(server.baseUrl) };
}

/** Below, Synapse does not start (synapse/storage/engines/postgres.py, check_database). */
const LEAST_POSTGRES = 14;

/**
 * A Synapse of the time of an older PostgreSQL is not in the lab: this one does not ask for the version. Python imports that module before
 * anything else (its documentation, site).
 */
function anyPostgres(): Readonly<Record<string, string>> {
  const folder = temporaryFolder("python");
  writeFileSync(join(folder, "sitecustomize.py"), ANY_POSTGRES);
  return { PYTHONPATH: folder };
}

const ANY_POSTGRES = `
from synapse.storage.engines.postgres import PostgresEngine

check = PostgresEngine.check_database
PostgresEngine.check_database = lambda self, connection, *_, **__: check(self, connection, True)
`;

/** What it is made of. */
const RECIPE = [fileURLToPath(import.meta.url), postgresVersion(), `${process.getuid?.() ?? ""}`];

/** Fills a homeserver and keeps all that is left of it in a folder. */
async function fill(folder: string, major: number, its: ItsSynapse): Promise<void> {
  const cluster = await PostgresCluster.start({ access: accessOf(major), major });
  await cluster.createRole("old", DATABASE_PASSWORD);
  await cluster.createDatabase("old", { owner: "old" });
  const { host, port } = cluster.address;
  const args = {
    user: "old",
    password: DATABASE_PASSWORD,
    database: "old",
    host,
    port,
    cp_min: 1,
    cp_max: 5,
  };
  const home = await makeHomeserverFolder({ database: { name: "psycopg2", args } });
  // As Debian has it: settings of their own in a folder beside the file.
  const settings = join(home.configFile, "../conf.d");
  mkdirSync(settings);
  writeFileSync(join(settings, "limits.yaml"), "max_upload_size: 20M\nenable_registration: no\n");
  const server = serverOf(home, its);
  await server.start();
  const people = await populate(server.baseUrl, home.registrationSharedSecret);
  await server.stop();
  await cluster.keepData(join(folder, "cluster"));
  await keepHomeserver(folder, home, people);
}

type ItsSynapse = Pick<SynapseOptions, "version" | "environment">;

const serverOf = (home: HomeserverFolder, its: ItsSynapse) =>
  new SynapseServer({
    configFiles: [home.configFile, join(home.configFile, "../conf.d/limits.yaml")],
    folder: home.dataFolder,
    ...its,
  });

/** Arguments of `export` for it, for a bundle in that folder. */
export const exportTo = (
  { configPaths, home }: Pick<OldServer, "configPaths" | "home">,
  out: string,
): string[] => [
  ...["export", ...configPaths.flatMap((path) => ["--config", path]), "--working-directory", home.dataFolder],
  ...["--out", out, "--json"],
];

/** Where a bundle is restored on the same machine: empty folders and a database that does not exist yet. */
export interface NewPlace {
  readonly folder: string;
  readonly configDir: string;
  readonly mediaDir: string;
  readonly passwordFile: string;
  readonly password: string;
  readonly database: string;
  readonly port: number;
  readonly url: string;
  /** Arguments of `restore` after the bundle and the passphrase. */
  readonly restoreArgs: readonly string[];
  /** Arguments of `open` that say where it was restored and what will run there. */
  readonly openArgs: readonly string[];
  readonly startCommand: string;
  readonly stopCommand: string;
}

/** Makes a role that may create its database, and the paths; the database itself is left to `restore`. */
export async function makeNewPlace(cluster: PostgresCluster, name: string, port: number): Promise<NewPlace> {
  const folder = temporaryFolder("new");
  const password = `${DATABASE_PASSWORD} ${randomBytes(4).toString("hex")}`;
  await cluster.createRole(name, password);
  await cluster.sql("postgres", `alter role "${name}" createdb`);
  const passwordFile = join(folder, "database.password");
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const { host, port: databasePort } = cluster.address;
  const [configDir, mediaDir] = [join(folder, "config"), join(folder, "media")];
  const config = join(configDir, "homeserver.yaml");
  const database = `host=${host} port=${databasePort} user=${name} dbname=${name}`;
  return {
    folder,
    configDir,
    mediaDir,
    passwordFile,
    password,
    database: name,
    port,
    url: `http://127.0.0.1:${port}`,
    restoreArgs: [
      ...["--database", database, "--database-password-file", passwordFile],
      ...["--config-dir", configDir, "--media-dir", mediaDir, "--listen", `127.0.0.1:${port}`],
    ],
    openArgs: ["--config-dir", configDir, "--synapse", synapsePython()],
    startCommand: `cd ${folder} && ${synapsePython()} -m synapse.app.homeserver -c ${config} -c ${join(configDir, "conf.d")} -D`,
    stopCommand: `kill $(cat ${join(configDir, "homeserver.pid")})`,
  };
}
