import { basename } from "node:path";
import { MigrationError, tryRead } from "../../errors.ts";
import { programsOfMajor } from "../../homeserver/database/follow/server-programs.ts";
import { choosePort } from "../../homeserver/database/follow/standby-port.ts";
import { clusterExists } from "../../homeserver/database/follow/standby-server.ts";
import type { StandbyServer } from "../../homeserver/database/follow/standby.ts";
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
 * `target-unsuitable`, `permission-denied`, `bad-usage`.
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
  const socketFolder = (await files.stat(SOCKETS))?.kind === "folder" ? SOCKETS : "/tmp";
  const common = {
    programs: folder,
    port: await choosePort(place.port, socketFolder, system),
    socketFolder,
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
