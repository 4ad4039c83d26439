import { MigrationError } from "../../errors.ts";
import { addressOfStore, connect } from "../../homeserver/database/address.ts";
import { parseRoleName, roleState } from "../../homeserver/database/fence.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import type { Change, FenceRecord } from "../../homeserver/service/fence/record.ts";
import { containerState } from "../../system/containers.ts";
import type { System } from "../../system/system.ts";
import { isOurs } from "../../proxies/mark.ts";
import { unitState } from "../../system/systemd/systemctl.ts";

export interface Lifted {
  readonly lifted: readonly string[];
  /** What could not be looked at, and why. */
  readonly unknown: readonly string[];
}

/**
 * Which recorded changes to this host are no longer in effect, a sentence each: a person may have undone them. Changes nothing.
 */
export async function findLifted(record: FenceRecord, system: System): Promise<Lifted> {
  const changes = record.activeChanges.filter(({ made }) => made !== null);
  const needsConfig = changes.some(({ kind }) => kind === "role-writes");
  const homeserver = needsConfig ? await readConfig(record, system) : undefined;
  const lifted: string[] = [];
  const unknown: string[] = [];
  for (const change of changes) {
    try {
      const found = await lookAt(change, record, homeserver, system);
      if (found !== undefined) lifted.push(found);
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      unknown.push(`${change.name}: ${error.message}`);
    }
  }
  return { lifted, unknown };
}

/** Undefined when the configuration cannot be read; `changedSinceFenced` says so. */
async function readConfig(record: FenceRecord, { files, signal }: System): Promise<Homeserver | undefined> {
  try {
    return await readHomeserver({ ...record.source, signal }, files);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return undefined;
  }
}

async function lookAt(
  { kind, name, before }: Change,
  { supervisor }: FenceRecord,
  homeserver: Homeserver | undefined,
  system: System,
): Promise<string | undefined> {
  const { programs, files } = system;
  switch (kind) {
    case "unit-enabled": {
      const { file } = await unitState(name, programs);
      return file.startsWith("enabled") ? `the unit ${name} is enabled again` : undefined;
    }
    case "unit-running": {
      const { isActive } = await unitState(name, programs);
      return isActive ? `the unit ${name} is running` : undefined;
    }
    case "unit-masked": {
      const { known, file } = await unitState(name, programs);
      return known && !file.startsWith("masked") ? `the unit ${name} is no longer masked` : undefined;
    }
    case "unit-held":
      return (await files.lstat(before!))
        ? undefined
        : `${before!}, which blocked ${name}, is no longer there`;
    case "restart-policy":
    case "container-running": {
      if (supervisor.kind !== "containers") return undefined;
      const { isRunning, policy } = await containerState(supervisor.engine, name, programs);
      if (kind === "container-running") return isRunning ? `the container ${name} is running` : undefined;
      return policy === "no" ? undefined : `the container ${name} has the restart policy ${policy} again`;
    }
    case "role-writes":
      return homeserver && (await lookAtRole(name, homeserver, system));
    case "file-writes": {
      const found = await files.stat(name);
      return found && (found.mode & 0o222) !== 0 ? `${name} is writable again` : undefined;
    }
    case "web-server":
      return (await files.stat(name)) && isOurs(await files.readText(name))
        ? undefined
        : `${name} no longer holds the maintenance answer`;
    case "running":
      // Who runs it is unknown: `changedSinceFenced` looks for its processes and listeners.
      return undefined;
  }
}

async function lookAtRole(name: string, homeserver: Homeserver, system: System): Promise<string | undefined> {
  const { role, store } = parseRoleName(name);
  const address = addressOfStore(store, homeserver);
  if (!address) return undefined;
  const { session } = await connect(address, system, homeserver.mediaStore);
  const { before } = await roleState(session).finally(() => session.close());
  return before === "on" ? undefined : `the database role ${role} may write again`;
}
