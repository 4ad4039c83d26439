import type { Homeserver } from "../../homeserver/homeserver.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import type { System } from "../../system/system.ts";
import type { RestoreRecord } from "../restore/record.ts";

/**
 * Reads the restored configuration, with paths on this host and the database's address from this host: in a container
 * both differ for Synapse. `fenced` says which names its files have now. Throws what `readHomeserver` throws.
 */
export async function readRestored(
  record: RestoreRecord,
  { fenced, workingFolder }: { fenced: boolean; workingFolder: string },
  { files, signal }: Pick<System, "files" | "signal">,
): Promise<Homeserver> {
  const { layout, databaseHere, databaseCommand, mas } = record;
  const homeserver = await readHomeserver(
    {
      configPaths: fenced ? record.fencedPaths : record.configPaths,
      masConfig: fenced ? mas?.fencedPaths : mas?.configPaths,
      workingFolder,
      databaseCommand,
      signal,
      map: layout?.map ?? [],
    },
    files,
  );
  const { database } = homeserver;
  if (!databaseHere || database.kind !== "postgres") return homeserver;
  return { ...homeserver, database: { ...database, args: { ...database.args, ...databaseHere } } };
}
