import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import type { PostgresAddress } from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";
import { clusterFolder, lookAtData } from "./standby-server.ts";
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

async function writeClusterFiles(
  server: StandbyServer,
  required: Required,
  logins: readonly SynapseLogin[],
  system: System,
): Promise<void> {
  const { files } = system;
  const folder = clusterFolder(server.cluster!);
  const conf = join(folder, "conf.d");
  if ((await files.stat(conf))?.kind !== "folder") await files.makeFolder(conf, 0o755);
  await write(join(conf, "synlift-follow.conf"), standbySettings(required), server, system, 0o644);
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
  try {
    const names = AT_LEAST_AS_LARGE.map((name) => `current_setting('${name}')::int AS "${name}"`);
    return await session.one<Required>(`SELECT ${names.join(", ")}`);
  } finally {
    await session.close();
  }
}

const settingsLeft = (left: readonly string[]): Finding => ({
  id: "follow-settings-left",
  level: "note",
  sentence:
    "settings that ALTER SYSTEM made on the old server do not hold on the new one, because they belong to its host",
  evidence: [...new Set(left)].toSorted(),
  hint: "set those that you want here, too, before or after the move",
});
