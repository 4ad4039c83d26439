import { dirname, join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import type { PostgresAddress, PostgresSession } from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";
import { choosePort } from "./standby-port.ts";
import {
  clusterExists,
  clusterFolder,
  clusterSettings,
  lookAtData,
  settingsInLog,
  startStandby,
  stopStandby,
} from "./standby-server.ts";
import {
  accessLines,
  AT_LEAST_AS_LARGE,
  followSettings,
  identLines,
  keptSettings,
  ownAccess,
  ownSettings,
  type Required,
  standbySettings,
  withRequired,
  type SynapseLogin,
  withLines,
} from "./standby-settings.ts";
import { type StandbyServer, standbyAccount } from "./standby.ts";

export interface StandbySource {
  readonly old: PostgresAddress;
  readonly oldForServer: Readonly<Record<string, string>>;
  readonly slot: string | null;
  readonly systemIdentifier: string;
  readonly logins: readonly SynapseLogin[];
}

/**
 * Makes a standby of a complete copy: what it follows, and what it needs to start and to be logged in to. Settings of the old server that
 * belong to its host are left behind. May be repeated. Throws `bundle-mismatch` for a copy of another server.
 */
export async function setUpStandby(
  source: StandbySource,
  server: StandbyServer,
  system: System,
): Promise<Finding[]> {
  const { files } = system;
  const found = await lookAtData(server, system);
  if (found.kind !== "standby" || found.systemIdentifier !== source.systemIdentifier)
    throw new MigrationError("bundle-mismatch", `${server.data} is no copy of the old server`, {
      hint: "begin again: synlift follow … --begin-again",
    });
  const required = await requiredSettings(source.old, system);
  const at = (name: string) => join(server.data, name);
  const auto = at("postgresql.auto.conf");
  const { kept, left } = keptSettings(followed(await files.readText(auto)));
  await write(auto, followSettings(kept, source.oldForServer, source.slot), server, system);
  if (server.cluster) await writeClusterFiles(server, required, source.logins, system);
  else {
    await write(at("postgresql.conf"), ownSettings(server, required), server, system);
    await write(at("pg_hba.conf"), ownAccess(accessLines(server, source.logins)), server, system);
    await write(at("pg_ident.conf"), `${identLines(server).join("\n")}\n`, server, system);
  }
  // Last: with it, a start makes a standby of the folder, and never a server of its own.
  await write(at("standby.signal"), "", server, system);
  return left.length === 0 ? [] : [settingsLeft(left)];
}

/** What an earlier run wrote is written again. */
const followed = (text: string) =>
  text
    .split("\n")
    .filter((line) => !/^primary_(conninfo|slot_name) = /.test(line))
    .join("\n");

/**
 * Gives a running standby what it must have, where the old server was given more since: with less it stops in the middle of the log.
 * Returns what was raised, after a restart of the standby.
 */
export async function raiseToOld(
  old: PostgresSession,
  here: PostgresSession,
  server: StandbyServer,
  system: System,
): Promise<readonly string[]> {
  const raised = await raise(await requiredIn(old), await requiredIn(here), server, system);
  if (raised.length > 0) {
    await stopStandby(server, system);
    await startStandby(server, system);
  }
  return raised;
}

/** The same for one that does not start, from what it has read in the old server's log. Starts nothing. */
export async function raiseToLog(server: StandbyServer, system: System): Promise<readonly string[]> {
  const text = await system.files.readText(requiredFile(server));
  const own = Object.fromEntries(
    AT_LEAST_AS_LARGE.map((name) => [
      name,
      Number(new RegExp(`^${name} = (\\d+)$`, "m").exec(text)?.[1] ?? 0),
    ]),
  ) as Required;
  return raise(await settingsInLog(server, system), own, server, system);
}

const requiredFile = (server: StandbyServer) =>
  server.cluster ? clusterSettings(server.cluster) : join(server.data, "postgresql.conf");

async function raise(
  there: Required,
  own: Required,
  server: StandbyServer,
  system: System,
): Promise<readonly string[]> {
  const raised = AT_LEAST_AS_LARGE.filter((name) => there[name] > own[name]);
  if (raised.length === 0) return [];
  const required = Object.fromEntries(
    AT_LEAST_AS_LARGE.map((name) => [name, Math.max(there[name], own[name])]),
  ) as Required;
  const path = requiredFile(server);
  const text = withRequired(await system.files.readText(path), required);
  await write(path, text, server, system, server.cluster ? 0o644 : 0o600);
  return raised.map((name) => `${name} = ${required[name]}`);
}

/**
 * Gives a copy another port, also one that is complete: its data stays. A server that runs is stopped for that, and started by whoever
 * follows. A dry run only checks. May be repeated. Throws `target-unsuitable`.
 */
export async function changePort(
  server: StandbyServer,
  port: number,
  { dryRun }: { readonly dryRun: boolean },
  system: System,
): Promise<void> {
  await choosePort(port, server.socketFolder, system);
  if (dryRun) return;
  await stopStandby(server, system);
  const { cluster } = server;
  if (cluster && (await clusterExists(cluster, system)))
    await system.programs.run({
      name: "pg_conftool",
      args: [String(cluster.major), cluster.name, "set", "port", String(port)],
      timeout: CONFTOOL_MS,
    });
  // A copy that is not complete has no such file: it is written with everything else.
  const settings = join(server.data, "postgresql.conf");
  if (!cluster && (await system.files.lstat(settings))) {
    const text = await system.files.readText(settings);
    await write(settings, text.replace(/^port = .*$/m, `port = ${port}`), server, system);
  }
}

const CONFTOOL_MS = 60_000;

async function writeClusterFiles(
  server: StandbyServer,
  required: Required,
  logins: readonly SynapseLogin[],
  system: System,
): Promise<void> {
  const { files } = system;
  const folder = clusterFolder(server.cluster!);
  const settings = clusterSettings(server.cluster!);
  if ((await files.stat(dirname(settings)))?.kind !== "folder")
    await files.makeFolder(dirname(settings), 0o755);
  await write(settings, standbySettings(required), server, system, 0o644);
  for (const [name, lines] of [
    ["pg_hba.conf", accessLines(server, logins)],
    ["pg_ident.conf", identLines(server)],
  ] as const) {
    const path = join(folder, name);
    await write(path, withLines(await files.readText(path), lines), server, system, 0o640);
  }
}

async function write(
  path: string,
  content: string,
  server: StandbyServer,
  { files, machine }: System,
  mode = 0o600,
): Promise<void> {
  await files.writeAtomically(path, content, mode);
  const account = standbyAccount(server, machine);
  if (machine.isRoot) await files.setOwner(path, account.uid, account.gid);
}

async function requiredSettings(old: PostgresAddress, { postgres }: System): Promise<Required> {
  const session = await postgres.connect(old);
  return requiredIn(session).finally(() => session.close());
}

const requiredIn = (session: PostgresSession) =>
  session.one<Required>(
    `SELECT ${AT_LEAST_AS_LARGE.map((name) => `current_setting('${name}')::int AS "${name}"`).join(", ")}`,
  );

const settingsLeft = (left: readonly string[]): Finding => ({
  id: "follow-settings-left",
  level: "note",
  sentence:
    "settings that ALTER SYSTEM made on the old server do not hold on the new one, because they belong to its host",
  evidence: [...new Set(left)].toSorted(),
  hint: "set those that you want here, too, before or after the move",
});
