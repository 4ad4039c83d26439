import type { z } from "zod";
import type { ChosenLayout } from "../../move/restore/layouts/choose.ts";
import type { RestoredServer } from "../../move/restore/restored-server.ts";
import type { RestoreTarget } from "../../move/restore/run.ts";
import type { System } from "../../system/system.ts";
import { DATABASE_OPTIONS } from "./database.ts";
import { PORT_SWITCH, PORTING_OPTIONS } from "./fixes.ts";
import { LAYOUT_OPTIONS } from "./layout.ts";

/** Where a homeserver is restored, from a bundle or by direct transfer. */
export const TARGET_SCHEMA = {
  ...LAYOUT_OPTIONS.schema,
  ...DATABASE_OPTIONS.schema,
  ...PORT_SWITCH.schema,
  ...PORTING_OPTIONS.schema,
};

export const TARGET_GROUPS = [
  LAYOUT_OPTIONS,
  DATABASE_OPTIONS,
  { ...PORTING_OPTIONS, options: [PORT_SWITCH, ...PORTING_OPTIONS.options] },
];

/** Without an authentication service and without pg_restore. Throws `bad-usage`, and errors of the database connection. */
export async function targetOf(
  given: z.infer<z.ZodObject<typeof TARGET_SCHEMA>>,
  layout: ChosenLayout,
  system: System,
  { offersRole = true }: { readonly offersRole?: boolean } = {},
): Promise<RestoreTarget> {
  const databases = await DATABASE_OPTIONS.read(given, layout, { owner: given.owner, offersRole }, system);
  return {
    layout,
    database: databases.database,
    roles: databases.roles,
    databaseHere: databases.databaseHere,
    stateDatabase: databases.stateDatabase,
    masDatabase: undefined,
    pgRestore: undefined,
    porting: given.port ? { folder: `${layout.mediaDir}.port`, ...PORTING_OPTIONS.read(given) } : undefined,
    databaseCommand: given.databaseCommand,
    publicBaseurl: given.publicBaseurl,
    synapse: given.synapse,
    synapseVersion: given.synapseVersion,
    systemdDir: given.systemdDir,
  };
}

/** For scripts: the same of a bundle and of a direct transfer. */
export const restoreDetails = (
  result: { readonly kind: "dry-run" } | { readonly kind: "restored"; readonly server: RestoredServer },
) =>
  result.kind === "dry-run"
    ? { dryRun: true }
    : {
        serverName: result.server.serverName,
        bundle: result.server.id,
        configDir: result.server.configDir,
        mediaDir: result.server.mediaDir,
      };
