import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type HomeserverFolder, makeHomeserverFolder } from "./lab/homeserver-folder.ts";
import { copyHomeserver, keepHomeserver, keptHomeserver } from "./lab/kept-homeserver.ts";
import { populate, type Population } from "./lab/populate.ts";
import { PostgresCluster, postgresVersion } from "./lab/postgres-cluster.ts";
import { synapsePython, SynapseServer } from "./lab/synapse-server.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";

/** A password with everything that breaks careless connection strings. */
export const DATABASE_PASSWORD = "p@ss/w#r%d: 'it''s' \\ ünd spaces";

/** Passwords count, and nobody gets in without one. */
const ACCESS = ["local all postgres trust", "host all all 127.0.0.1/32 scram-sha-256"];

/** A homeserver that people lived on, with its PostgreSQL. */
export interface OldServer {
  readonly cluster: PostgresCluster;
  readonly home: HomeserverFolder;
  readonly server: SynapseServer;
  readonly people: Population;
  /** What export is given with --config. */
  readonly configPaths: readonly string[];
}

export interface OldServerOptions {
  readonly version?: string | undefined;
  readonly stopped?: boolean;
  /** Of its PostgreSQL. */
  readonly settings?: Readonly<Record<string, string>>;
  /** More lines of pg_hba.conf, before the others. */
  readonly access?: readonly string[];
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
}: OldServerOptions = {}): Promise<OldServer> {
  const kept = await keptHomeserver("old-server", [version ?? "newest", ...RECIPE], (folder) =>
    fill(folder, version),
  );
  const cluster = await PostgresCluster.start({
    access: [...access, ...ACCESS],
    settings,
    data: join(kept, "cluster"),
  });
  const { home, people } = await copyHomeserver(kept, { port: cluster.address.port });
  const folder = join(home.configFile, "../conf.d");
  const server = serverOf(home, version);
  if (!stopped) await server.start();
  return { cluster, home, server, people: people(server.baseUrl), configPaths: [home.configFile, folder] };
}

/** What it is made of. */
const RECIPE = [fileURLToPath(import.meta.url), postgresVersion(), `${process.getuid?.() ?? ""}`];

/** Fills a homeserver and keeps all that is left of it in a folder. */
async function fill(folder: string, version: string | undefined): Promise<void> {
  const cluster = await PostgresCluster.start({ access: ACCESS });
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
  const server = serverOf(home, version);
  await server.start();
  const people = await populate(server.baseUrl, home.registrationSharedSecret);
  await server.stop();
  await cluster.keepData(join(folder, "cluster"));
  await keepHomeserver(folder, home, people);
}

const serverOf = (home: HomeserverFolder, version: string | undefined) =>
  new SynapseServer({
    configFiles: [home.configFile, join(home.configFile, "../conf.d/limits.yaml")],
    folder: home.dataFolder,
    version,
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
