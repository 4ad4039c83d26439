import { basename } from "node:path";
import { MigrationError, reasonOf, tryRead } from "../../errors.ts";
import { programsOfMajor } from "../../homeserver/database/follow/server-programs.ts";
import { clusterExists } from "../../homeserver/database/follow/standby-server.ts";
import type { StandbyServer } from "../../homeserver/database/follow/standby.ts";
import { connectionString } from "../../system/postgres/postgres.ts";
import type { System } from "../../system/system.ts";

/** Where the standby is to be; what is left out is chosen. */
export interface StandbyPlace {
  /** The name of Debian's cluster. */
  readonly cluster: string | undefined;
  /** Absolute. Without `cluster`, a folder that no package looks after. */
  readonly dataDir: string | undefined;
  /** The folder with PostgreSQL's programs. */
  readonly programs: string | undefined;
  readonly port: number | undefined;
}

/** It stays the new server's database, so it is named after what it is for. */
const DEFAULT_CLUSTER = "synapse";
const ACCOUNT = "postgres";
const SOCKETS = "/var/run/postgresql";

/**
 * Where a new standby of a server of this major version will be. Makes nothing. Throws `program-missing`, `target-not-empty`,
 * `permission-denied`, `bad-usage`.
 */
export async function chooseStandby(
  place: StandbyPlace,
  major: number,
  administrator: string,
  system: System,
): Promise<StandbyServer> {
  const { files, machine, programs } = system;
  const { folder } = await programsOfMajor(major, place.programs, system);
  const hasClusters = (await programs.find("pg_createcluster")) !== undefined;
  const account = machine.isRoot ? ACCOUNT : machine.user;
  if (!machine.account(account))
    throw new MigrationError(
      "program-missing",
      `this host has no account ${account}, which owns PostgreSQL's data`,
      {
        hint: "install PostgreSQL as a package, which makes it",
      },
    );
  const isCluster = place.cluster !== undefined || (hasClusters && place.dataDir === undefined);
  const common = {
    programs: folder,
    port: place.port ?? (await freePort(folder, system)),
    socketFolder: (await files.stat(SOCKETS))?.kind === "folder" ? SOCKETS : "/tmp",
    account,
    administrator,
  };
  if (!isCluster) {
    if (place.dataDir === undefined)
      throw new MigrationError(
        "bad-usage",
        "--data-dir: must be given where Debian's pg_createcluster is not installed",
        {
          hint: "name a folder for the copy, such as /var/lib/pgsql/synapse",
        },
      );
    await assertUnused(place.dataDir, system);
    return { ...common, data: place.dataDir, cluster: null };
  }
  if (!hasClusters)
    throw new MigrationError(
      "program-missing",
      "pg_createcluster is not installed, which makes Debian's clusters",
      {
        hint: "apt-get install postgresql-common, or leave out --cluster and give --data-dir",
      },
    );
  if (!machine.isRoot)
    throw new MigrationError("permission-denied", "only root can make a PostgreSQL cluster", {
      hint: "run synlift as root, or give a folder of this account with --data-dir",
    });
  const cluster = { major, name: place.cluster ?? DEFAULT_CLUSTER };
  const data = place.dataDir ?? `/var/lib/postgresql/${major}/${cluster.name}`;
  if (await clusterExists(cluster, system))
    throw new MigrationError(
      "target-not-empty",
      `this host has a PostgreSQL cluster ${major}/${cluster.name} already`,
      {
        hint: `give another name with --cluster; or, if nobody needs it: pg_dropcluster --stop ${major} ${cluster.name}`,
      },
    );
  await assertUnused(data, system);
  return { ...common, data, cluster };
}

async function assertUnused(data: string, { files }: System): Promise<void> {
  const names = (await tryRead(() => files.list(data))) ?? [];
  if (names.length === 0) return;
  throw new MigrationError("target-not-empty", `${data} is not empty: it has ${basename(names[0]!)}`, {
    hint: "the copy needs a folder of its own: give another one with --data-dir",
  });
}

const FIRST_PORT = 5432;
const PORTS = 50;
/** pg_isready(1): nothing answers there. */
const NO_RESPONSE = 2;

/** The first port from PostgreSQL's own on at which no server answers: another one is given with --port. */
async function freePort(folder: string, { programs, files }: System): Promise<number> {
  for (let port = FIRST_PORT; port < FIRST_PORT + PORTS; port++) {
    if ((await files.lstat(`${SOCKETS}/.s.PGSQL.${port}`)) !== undefined) continue;
    const place = connectionString({ host: "127.0.0.1", port: String(port), connect_timeout: "3" });
    const call = { name: `${folder}/pg_isready`, args: ["--quiet", "-d", place], timeout: 10_000 };
    const status = await programs.run(call).then(
      () => 0,
      (error: unknown) => reasonOf(error, "exit-status")?.status ?? 0,
    );
    if (status === NO_RESPONSE) return port;
  }
  throw new MigrationError("bad-usage", `all ports from ${FIRST_PORT} on are in use`, {
    hint: "give one with --port",
  });
}
