import type { Homeserver } from "../../homeserver/homeserver.ts";
import { findMasConfig, usesMas } from "../../homeserver/mas/find.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { chooseSource, type GivenSource } from "../../homeserver/service/find/choose.ts";
import { findLaunches } from "../../homeserver/service/find/find.ts";
import type { FoundLaunches, Launch } from "../../homeserver/service/find/launch.ts";
import type { Finding } from "../../report/finding.ts";
import { machineUnknownFindings } from "./changed-since.ts";
import type { System } from "../../system/system.ts";

export interface ExportSource {
  readonly homeserver: Homeserver;
  readonly launch: Launch | undefined;
  readonly launches: FoundLaunches;
  /** How the configuration was read. */
  readonly source: FenceRecord["source"];
  readonly findings: readonly Finding[];
}

/**
 * The homeserver to export: the one given by options; the one that an earlier run into this folder has fenced, because
 * its masked units are no longer found; or the only one on this host. Throws what `chooseSource` and
 * `readHomeserver` do.
 */
export async function findExportSource(
  given: GivenSource,
  folder: string,
  system: System,
): Promise<ExportSource> {
  const { files, machine, signal } = system;
  const launches = await findLaunches(system);
  const record = await FenceRecord.read(folder, files, machine);
  record?.assertMadeHere();
  const fenced =
    given.configPaths.length === 0 && record && record.activeChanges.length > 0 ? record : undefined;
  const chosen = fenced
    ? { source: fenced.source, launch: undefined, findings: [] }
    : await chooseSource(launches, given, files);
  const read = await readHomeserver({ ...chosen.source, masConfig: undefined, signal }, files);
  // A service that an earlier run has stopped may no longer be found.
  const named = chosen.source.masConfig ?? record?.source.masConfig;
  const wanted = given.withoutMas !== true;
  const masConfig = wanted ? (named ?? (usesMas(read) ? await findMasConfig(system) : undefined)) : undefined;
  const homeserver = masConfig ? await readHomeserver({ ...chosen.source, masConfig, signal }, files) : read;
  const { configPaths, workingFolder, map = [], keysFolder, databaseCommand, databaseServer } = chosen.source;
  return {
    homeserver,
    launch: chosen.launch,
    launches,
    source: {
      configPaths: [...configPaths],
      workingFolder,
      map: map.map((pair) => ({ ...pair })),
      ...(keysFolder === undefined ? {} : { keysFolder }),
      ...(databaseCommand === undefined ? {} : { databaseCommand: [...databaseCommand] }),
      ...(databaseServer === undefined ? {} : { databaseServer: { ...databaseServer } }),
      ...(masConfig === undefined ? {} : { masConfig: [...masConfig] }),
    },
    findings: [...machineUnknownFindings(record), ...chosen.findings],
  };
}
