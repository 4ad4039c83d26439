import { join } from "node:path";
import { stringify } from "yaml";
import { MigrationError } from "../../../errors.ts";
import type { DatabaseRestore } from "../../../homeserver/database/target.ts";
import type { Files } from "../../../system/files/files.ts";
import { urlHost } from "../../../system/ip-address.ts";
import type { Machine } from "../../../system/machine.ts";
import { quoteShellWord } from "../../../system/shell-quoting.ts";
import type { Layout, LayoutFile, LayoutOwner, StartFacts } from "./layout.ts";
import { startScript } from "./start-script.ts";

/** What the image sees (docker/README.md in Synapse): all of it in one volume. */
const INSIDE = "/data";
const PORT = 8008;
/** The image's own account, where root lays things out (docker/start.py, UID and GID). */
const IMAGE_ACCOUNT: LayoutOwner = { name: "user id 991", uid: 991, gid: 991 };

/** The role and the database of Synapse in the container. */
export const COMPOSE_DATABASE = { user: "synapse", dbname: "synapse" } as const;
const POSTGRES_PORT = 5432;

export interface ComposePlaces {
  /** Absolute: contains everything. */
  readonly folder: string;
  /** The owner of the files; undefined for root: then the image's own account. */
  readonly owner: LayoutOwner | undefined;
  /** The address for the reverse proxy. */
  readonly listen: { readonly address: string; readonly port: number };
  /** The loopback port of this host through which the database is restored. */
  readonly databasePort: number;
}

export interface ComposeVersions {
  /** PostgreSQL's major version. */
  readonly postgres: number;
  /** Synapse's: "1.163.2"; undefined takes the newest. */
  readonly synapse: string | undefined;
}

/** Synapse and PostgreSQL in containers that docker compose runs. */
export function composeLayout({ folder, owner, listen }: ComposePlaces): Layout {
  const compose = `docker compose --project-directory ${quoteShellWord(folder)}`;
  const host = urlHost(listen.address);
  return {
    name: "compose",
    configDir: join(folder, "data"),
    mediaDir: join(folder, "data/media_store"),
    owner: owner ?? IMAGE_ACCOUNT,
    map: [{ inside: INSIDE, outside: join(folder, "data") }],
    units: [],
    pidFile: `${INSIDE}/homeserver.pid`,
    supervised: true,
    withoutWorkers: true,
    listen: { address: "0.0.0.0", port: PORT },
    url: `http://${host === "0.0.0.0" ? "127.0.0.1" : host === "[::]" ? "[::1]" : host}:${listen.port}`,
    start: `${compose} up --detach --wait synapse`,
    stop: `${compose} stop synapse`,
  };
}

/** How Synapse reaches the database, in the containers' own network. */
export const composeDatabase = (password: string): Record<string, string | number> => ({
  ...COMPOSE_DATABASE,
  host: "postgres",
  port: POSTGRES_PORT,
  password,
});

const passwordPath = (folder: string) => join(folder, "secrets/synapse-database");
const COMPOSE_FILE = "compose.yaml";

/** Arguments of docker that start only the database, and wait until it accepts connections. */
export const composeUp = (folder: string): string[] => [
  ...["compose", "--project-directory", folder, "--file", join(folder, COMPOSE_FILE)],
  ...["up", "--detach", "--wait", "postgres"],
];

/** Files that must exist before the database can be started. */
export function composeFiles(
  places: ComposePlaces,
  { owner }: Layout,
  versions: ComposeVersions,
  passwords: { readonly synapse: string; readonly postgres: string },
): LayoutFile[] {
  const { folder } = places;
  return [
    // The image reads them as an account that may not exist on this host. Their folder is private; bind mounts bypass it.
    { path: passwordPath(folder), content: `${passwords.synapse}\n`, mode: 0o444, keep: true },
    { path: join(folder, "secrets/postgres"), content: `${passwords.postgres}\n`, mode: 0o444, keep: true },
    {
      path: join(folder, "postgres-init/10-synapse.sh"),
      content: MAKE_DATABASE,
      mode: 0o755,
      folderMode: 0o755,
    },
    { path: join(folder, COMPOSE_FILE), content: composeYaml(places, owner!, versions), mode: 0o644 },
  ];
}

/** What the container runs instead of the image's entrypoint; it calls the entrypoint once `open` has passed. */
export function composeStart(
  { configDir }: Layout,
  { serverName, configPaths, opened }: StartFacts,
): LayoutFile {
  const command = ["/start.py", "run", ...configPaths.flatMap((path) => ["-c", path])];
  return {
    path: join(configDir, START),
    content: startScript({ serverName, opened, folder: INSIDE, command }),
    mode: 0o755,
  };
}

const START = "start-synapse";

function composeYaml(
  { listen, databasePort }: ComposePlaces,
  { uid, gid }: LayoutOwner,
  { postgres, synapse }: ComposeVersions,
): string {
  const host = urlHost(listen.address);
  const services = {
    postgres: {
      image: `docker.io/library/postgres:${postgres}`,
      restart: "unless-stopped",
      environment: {
        POSTGRES_PASSWORD_FILE: "/run/secrets/postgres",
        // Synapse refuses another collation (synapse/storage/engines/postgres.py).
        POSTGRES_INITDB_ARGS: "--encoding=UTF8 --locale=C",
      },
      secrets: ["postgres", "synapse-database"],
      volumes: [
        `./postgres:${postgres >= 18 ? "/var/lib/postgresql" : "/var/lib/postgresql/data"}`,
        "./postgres-init:/docker-entrypoint-initdb.d:ro",
      ],
      ports: [`127.0.0.1:${databasePort}:${POSTGRES_PORT}`],
      healthcheck: {
        // Over TCP: during its initialization, the image listens only on its socket.
        test: ["CMD", "pg_isready", "--host=127.0.0.1", "--username=synapse", "--dbname=synapse"],
        interval: "2s",
        timeout: "5s",
        retries: 60,
      },
    },
    synapse: {
      image: `ghcr.io/element-hq/synapse:${synapse === undefined ? "latest" : `v${synapse}`}`,
      restart: "unless-stopped",
      depends_on: { postgres: { condition: "service_healthy" } },
      entrypoint: ["/bin/sh", `${INSIDE}/${START}`],
      environment: { UID: String(uid), GID: String(gid) },
      volumes: [`./data:${INSIDE}`],
      ports: [`${host}:${listen.port}:${PORT}`],
    },
  };
  const secrets = {
    postgres: { file: "./secrets/postgres" },
    "synapse-database": { file: "./secrets/synapse-database" },
  };
  return `# Made by synlift: Synapse with its PostgreSQL. Start all of it with "docker compose up --detach".\n${stringify({ services, secrets })}`;
}

/** The image runs it once, when the database's folder is empty. psql reads the password itself, so it is in no command line. */
const MAKE_DATABASE = `#!/bin/sh
# Made by synlift: Synapse's role, which is not a superuser, and its database.
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="\${POSTGRES_USER:-postgres}" --dbname=postgres <<'END'
\\set password \`cat /run/secrets/synapse-database\`
CREATE ROLE synapse LOGIN PASSWORD :'password';
CREATE DATABASE synapse OWNER synapse ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
END
`;

/** compose has a single PostgreSQL database. Throws `target-unsuitable` for anything else. */
export function assertFitsCompose({ engine }: Packed, state: Packed | undefined, ports = false): void {
  if (engine === "sqlite" && !ports)
    throw new MigrationError(
      "target-unsuitable",
      "--layout compose has a PostgreSQL database, and the bundle has an SQLite database",
      {
        hint: "port it to PostgreSQL on the way: --port; or restore it as SQLite with another layout: --layout debian or pip, --database sqlite:PATH",
      },
    );
  if (state)
    throw new MigrationError(
      "target-unsuitable",
      "--layout compose has one database, and the bundle has a separate database for state groups",
      { hint: "use another layout: --layout debian or pip, with --database and --state-database" },
    );
}

type Packed = Pick<DatabaseRestore["section"], "engine">;

/** The password of an earlier run, or a new one. Writes nothing. */
export async function composePassword(
  folder: string,
  files: Files,
  machine: Pick<Machine, "random">,
): Promise<string> {
  const path = passwordPath(folder);
  return (await files.lstat(path))
    ? (await files.readText(path)).trim()
    : Buffer.from(machine.random(24)).toString("hex");
}
