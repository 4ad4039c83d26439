import { dirname, join } from "node:path";
import { MigrationError, reasonOf } from "../../../errors.ts";
import type { ProgramCall } from "../../../system/programs/programs.ts";
import type { System } from "../../../system/system.ts";
import { portFault } from "./standby-port.ts";
import type { Required } from "./standby-settings.ts";
import { type StandbyServer, standbyAccount } from "./standby.ts";

type Host = Pick<System, "files" | "programs" | "machine">;

/** Milliseconds in which pg_ctl and its like answer; a stop writes everything to disk first. */
const QUICK_MS = 60_000;
const STOP_MS = 600_000;
/** Seconds that a start may take: before it answers, a standby has to have read its log up to a consistent state. */
const START_SECONDS = 3600;

/** Where Debian has the configuration of a cluster. */
const DEBIAN_CLUSTERS = "/etc/postgresql";

export const clusterFolder = ({ major, name }: NonNullable<StandbyServer["cluster"]>) =>
  join(DEBIAN_CLUSTERS, String(major), name);

/** Whether Debian's programs know it: pg_dropcluster may leave its folder, with what others have put into `conf.d`. */
export const clusterExists = async (
  cluster: NonNullable<StandbyServer["cluster"]>,
  { files }: Pick<Host, "files">,
): Promise<boolean> => (await files.lstat(join(clusterFolder(cluster), "postgresql.conf"))) !== undefined;

/** Settings of the standby, beside those of the package. */
export const clusterSettings = (cluster: NonNullable<StandbyServer["cluster"]>) =>
  join(clusterFolder(cluster), "conf.d", "synlift-follow.conf");

/** A program of the server's own version, as the account that owns it. */
export function serverCall(
  server: StandbyServer,
  name: string,
  args: readonly string[],
  { machine }: Pick<Host, "machine">,
): ProgramCall {
  const account = machine.isRoot ? { account: standbyAccount(server, machine) } : {};
  return { name: join(server.programs, name), args, folder: "/", ...account };
}

/** Whether a server runs in the data folder. */
export async function isRunning(server: StandbyServer, host: Host): Promise<boolean> {
  if (!(await host.files.lstat(join(server.data, "postmaster.pid")))) return false;
  return exitsWell(serverCall(server, "pg_ctl", ["status", "-D", server.data], host), host);
}

async function exitsWell(call: ProgramCall, { programs }: Host): Promise<boolean> {
  try {
    await programs.run({ ...call, timeout: QUICK_MS });
    return true;
  } catch (error) {
    if (reasonOf(error, "exit-status")) return false;
    throw error;
  }
}

/**
 * Starts it, unless it runs. It stays when this process ends. Throws `start-failed` with where its log is, or with what uses its port: a
 * server that got one of several addresses would start, and Synapse would reach something else on the others.
 */
export async function startStandby(server: StandbyServer, host: Host): Promise<void> {
  await assertStartable(server, host);
  if (await isRunning(server, host)) return;
  const { cluster, data } = server;
  const call: ProgramCall = cluster
    ? { name: "pg_ctlcluster", args: [String(cluster.major), cluster.name, "start"] }
    : serverCall(
        server,
        "pg_ctl",
        ["start", "-D", data, "-l", logFile(server), "-w", "-t", String(START_SECONDS), "-s"],
        host,
      );
  try {
    await host.programs.startDetached(call);
  } catch (error) {
    if (!(error instanceof MigrationError) || (await isRunning(server, host))) return;
    throw new MigrationError("start-failed", `the standby in ${data} does not start: ${error.message}`, {
      hint: `its log says why: ${logFile(server)}`,
      cause: error,
    });
  }
}

/** Does nothing where it runs. Throws `start-failed` when something else has its port. */
export async function assertStartable(server: StandbyServer, host: Host): Promise<void> {
  if (await isRunning(server, host)) return;
  const fault = await portFault(server, host);
  // systemd may have started it meanwhile.
  if (fault === undefined || (await isRunning(server, host))) return;
  throw new MigrationError("start-failed", `the standby in ${server.data} is not started: ${fault}`, {
    hint: `a copy that is complete stays, and is not made again: end what uses the port, and run the same command again; or give the copy another port: synlift follow --port ${server.port + 1}`,
  });
}

/** Stops it, unless it does not run. */
export async function stopStandby(server: StandbyServer, host: Host): Promise<void> {
  if (!(await isRunning(server, host))) return;
  const { cluster } = server;
  const call: ProgramCall = cluster
    ? { name: "pg_ctlcluster", args: [String(cluster.major), cluster.name, "stop", "-m", "fast"] }
    : serverCall(server, "pg_ctl", ["stop", "-D", server.data, "-m", "fast", "-w", "-s"], host);
  await host.programs.run({ ...call, timeout: STOP_MS });
}

/** Inside of the data folder: the account that owns it need not be able to write around it. */
const logFile = ({ cluster, data }: StandbyServer): string =>
  cluster ? `/var/log/postgresql/postgresql-${cluster.major}-${cluster.name}.log` : join(data, "server.log");

/** What is in a data folder. */
export type DataFolder =
  | { readonly kind: "missing" | "empty" }
  /** A copy that was not completed, or something else that is no data folder: `systemIdentifier` where it has one. */
  | { readonly kind: "incomplete"; readonly systemIdentifier: string | undefined }
  /** A copy that was not started, or a standby. */
  | { readonly kind: "standby"; readonly systemIdentifier: string }
  /** A server of its own: one that was promoted, or that was never a copy. */
  | { readonly kind: "own"; readonly systemIdentifier: string };

/** Reads only. Nothing is decided by what the state file says: only what a folder is tells whether it may be removed. */
export async function lookAtData(server: StandbyServer, host: Host): Promise<DataFolder> {
  const { files } = host;
  const { data } = server;
  if ((await files.stat(data))?.kind !== "folder") return { kind: "missing" };
  if ((await files.list(data)).length === 0) return { kind: "empty" };
  const has = async (name: string) => (await files.lstat(join(data, name))) !== undefined;
  const systemIdentifier = await systemIdentifierOf(server, host);
  // pg_basebackup writes this file last of all.
  if (systemIdentifier === undefined) return { kind: "incomplete", systemIdentifier };
  if ((await has("standby.signal")) || (await has("backup_label")))
    return { kind: "standby", systemIdentifier };
  return { kind: "own", systemIdentifier };
}

/** Whether the copy is whole: pg_basebackup writes its manifest under its name once everything else is there and on disk. */
export const isComplete = async (server: StandbyServer, host: Host): Promise<boolean> =>
  (await lookAtData(server, host)).kind === "standby" &&
  (await host.files.lstat(join(server.data, "backup_manifest"))) !== undefined;

async function systemIdentifierOf(server: StandbyServer, host: Host): Promise<string | undefined> {
  return /^Database system identifier:\s+(\d+)$/m.exec((await controlData(server, host)) ?? "")?.[1];
}

/** What pg_controldata(1) calls them. */
const IN_CONTROL_DATA: Readonly<Record<keyof Required, string>> = {
  max_connections: "max_connections",
  max_worker_processes: "max_worker_processes",
  max_wal_senders: "max_wal_senders",
  max_prepared_transactions: "max_prepared_xacts",
  max_locks_per_transaction: "max_locks_per_xact",
};

/** The settings of the old server that the standby has met in its log; 0 where it does not say. */
export async function settingsInLog(server: StandbyServer, host: Host): Promise<Required> {
  const said = (await controlData(server, host)) ?? "";
  const value = (name: string) =>
    Number(new RegExp(`^${name} setting:\\s+(\\d+)$`, "m").exec(said)?.[1] ?? 0);
  return Object.fromEntries(
    Object.entries(IN_CONTROL_DATA).map(([name, called]) => [name, value(called)]),
  ) as unknown as Required;
}

async function controlData(server: StandbyServer, host: Host): Promise<string | undefined> {
  if (!(await host.files.lstat(join(server.data, "global/pg_control")))) return undefined;
  try {
    return await host.programs.run({
      ...serverCall(server, "pg_controldata", ["-D", server.data], host),
      env: { LC_ALL: "C" },
      timeout: QUICK_MS,
    });
  } catch (error) {
    if (reasonOf(error, "exit-status")) return undefined;
    throw error;
  }
}

/** Makes Debian's cluster with an empty data folder, owned by its account. Throws `program-failed`. */
export async function createCluster(
  server: StandbyServer & { readonly cluster: NonNullable<StandbyServer["cluster"]> },
  host: Host,
): Promise<void> {
  const { major, name } = server.cluster;
  const where = ["-d", server.data, "-p", String(server.port), "-s", server.socketFolder];
  await host.programs.run({
    name: "pg_createcluster",
    args: [...where, "--locale=C", "--encoding=UTF8", String(major), name],
    timeout: STOP_MS,
  });
  await emptyFolder(server.data, host);
}

/** Makes an empty data folder that its account owns. Throws `file-missing` when the folder around it does not exist. */
export async function createDataFolder(server: StandbyServer, { files, machine }: Host): Promise<void> {
  const around = dirname(server.data);
  if ((await files.stat(around))?.kind !== "folder")
    throw new MigrationError("file-missing", `there is no folder ${around} for the copy`, {
      hint: `make it, so that the account ${server.account} can enter it`,
    });
  await files.makeFolder(server.data, 0o700);
  const account = standbyAccount(server, machine);
  if (machine.isRoot) await files.setOwner(server.data, account.uid, account.gid);
}

/** Removes everything in a folder; the folder stays. */
export async function emptyFolder(folder: string, { files, programs }: Pick<Host, "files" | "programs">) {
  const paths = (await files.list(folder)).map((name) => join(folder, name));
  if (paths.length > 0)
    await programs.run({ name: "rm", args: ["-rf", "--one-file-system", "--", ...paths], timeout: STOP_MS });
}

/**
 * Removes a standby with its data and, with Debian, its configuration. May be repeated. Throws `already-opened` for a server that was
 * promoted: it may have what is nowhere else.
 */
export async function removeStandby(
  server: StandbyServer,
  oldSystemIdentifier: string,
  host: Host,
): Promise<void> {
  await assertIsCopy(server, oldSystemIdentifier, host);
  const { cluster, data } = server;
  if (cluster && (await clusterExists(cluster, host))) {
    await stopStandby(server, host);
    // pg_dropcluster leaves what it did not make, and with it the folder.
    await host.files.remove(clusterSettings(cluster));
    await host.programs.run({
      name: "pg_dropcluster",
      args: ["--stop", String(cluster.major), cluster.name],
      timeout: STOP_MS,
    });
  } else await stopStandby(server, host);
  if ((await host.files.lstat(data))?.kind === "folder") {
    await emptyFolder(data, host);
    await host.files.removeEmptyFolder(data);
  }
  if (cluster) await host.files.remove(logFile(server));
}

/** Throws `already-opened`. */
export async function assertIsCopy(
  server: StandbyServer,
  oldSystemIdentifier: string,
  host: Host,
): Promise<void> {
  const found = await lookAtData(server, host);
  if (found.kind === "own" && found.systemIdentifier === oldSystemIdentifier)
    throw new MigrationError(
      "already-opened",
      `the server in ${server.data} was promoted: it is no copy any more`,
      {
        hint: `synlift removes no promoted database. If nothing is to be kept of it: ${removalCommand(server)}`,
      },
    );
  const isOther =
    (found.kind === "standby" && found.systemIdentifier !== oldSystemIdentifier) ||
    // What initdb has made and nobody has ever started has no such file.
    (found.kind === "own" && (await host.files.lstat(join(server.data, "postmaster.opts"))) !== undefined);
  if (isOther)
    throw new MigrationError(
      "target-not-empty",
      `${server.data} has a server that is no copy of the old one`,
      {
        hint: "give another name or folder: --cluster, --data-dir",
      },
    );
}

/** What a person would type to remove it for good. */
export const removalCommand = ({ cluster, data }: Pick<StandbyServer, "cluster" | "data">) =>
  cluster ? `pg_dropcluster --stop ${cluster.major} ${cluster.name}` : `stop it, then rm -r ${data}`;
