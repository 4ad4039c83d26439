import { join } from "node:path";
import { z } from "zod";
import type { Manifest } from "../../bundle/manifest.ts";
import type { KeySource } from "../../bundle/opening-keys.ts";
import { MigrationError } from "../../errors.ts";
import { ROLES } from "../../homeserver/config/pack/packed-file.ts";
import type { ConfigPlan } from "../../homeserver/config/restore.ts";
import type { MasPlan } from "../../homeserver/mas/restore.ts";
import type { Files } from "../../system/files/files.ts";
import type { Layout } from "./layouts/layout.ts";

/** What `restore` saves next to the new configuration for `open`. Contains no secret. */
const recordSchema = z.object({
  format: z.literal("synlift-restored"),
  version: z.literal(1),
  bundle: z.string(),
  serverName: z.string(),
  rehearsal: z.boolean(),
  /** Fingerprints of those whose secret keys open the inventory; left out when a passphrase does. */
  recipients: z.array(z.string()).min(1).optional(),
  /** Name of the file next to this one with the inventory's passphrase, after a direct transfer. */
  passphrase: z.string().optional(),
  /** How the old host of a direct transfer is asked again; null where that is not kept, and left out for a bundle. */
  oldHost: z
    .object({
      address: z.string(),
      sshConfig: z.string().optional(),
      senderCommand: z.string(),
      folder: z.string(),
    })
    .nullable()
    .optional(),
  /** Command prefix that runs PostgreSQL's programs where they can reach the database, if they cannot from here. */
  databaseCommand: z.array(z.string()).optional(),
  /** The authentication service's configuration, if it was restored too: as it is named once the fence is lifted, and before. */
  mas: z.object({ configPaths: z.array(z.string()), fencedPaths: z.array(z.string()) }).optional(),
  mediaStore: z.string(),
  /** What Synapse is to be given with `-c`, once the fence is lifted. */
  configPaths: z.array(z.string()),
  /** The same files by the names they have while the fence is set. */
  fencedPaths: z.array(z.string()),
  fence: z.object({ folder: z.string(), names: z.array(z.string()), suffix: z.string() }),
  /** Drop-ins that prevent systemd units from starting. */
  dropIns: z.array(z.string()).default([]),
  /** Every file of the configuration by its name below the folder; older records leave it to the inventory. */
  placed: z.array(z.object({ name: z.string(), role: z.enum(ROLES) })).optional(),
  /** How Synapse is laid out, and what the gates have to know of it. */
  layout: z
    .object({
      name: z.string(),
      map: z.array(z.object({ inside: z.string(), outside: z.string() })),
      url: z.string().optional(),
      start: z.string().optional(),
      stop: z.string().optional(),
      synapse: z.string().optional(),
    })
    .optional(),
  /** Where the database is reached from here, where Synapse reaches it elsewhere. No secret. */
  databaseHere: z.record(z.string(), z.string()).optional(),
  /** Rows that were written for uploads of archives beside the bundle. */
  addedUploads: z.number().optional(),
  /** Rows by table of a database that was ported from SQLite, as they were after what was mended. */
  ported: z.record(z.string(), z.number()).optional(),
  /** The account that owns the files; left out when it is the one that ran `restore`. */
  owner: z.object({ name: z.string(), uid: z.number(), gid: z.number() }).optional(),
  /** ISO 8601, or null when unknown. */
  outageSince: z.string().nullable(),
  restored: z.string(),
  /** When every gate had passed and the fence was about to be lifted. */
  opening: z.string().nullable(),
  /** When an earlier `open` had passed every gate, started the server, and had to stop it again. */
  started: z.string().nullable(),
  /** When it was first started with `open --isolated`: it contains what was written then. */
  tried: z.string().optional(),
  /** Set by `open`, once. */
  opened: z.string().nullable(),
  /** Ids of the findings that were accepted when it was opened. */
  accepted: z.array(z.string()),
});

export type RestoreRecord = z.infer<typeof recordSchema>;

/** Where synlift keeps its own things beside a restored configuration. */
export const recordFolder = (configFolder: string) => join(configFolder, ".synlift");
const recordPath = (configFolder: string) => join(recordFolder(configFolder), "restored.json");

/** The list of uploads that were compared by hash while the old server still ran. */
export const hashedMediaPath = (configFolder: string) => join(recordFolder(configFolder), "media-hashed.txt");

/** What was found then: `open` compares only what came since. */
export const comparedMediaPath = (configFolder: string) =>
  join(recordFolder(configFolder), "media-compared.json");

/** The record of a finished restore that is not opened yet. */
export function newRecord(made: {
  origin: Pick<Manifest, "id" | "rehearsal" | "recipients" | "outageSince"> &
    Partial<Pick<RestoreRecord, "passphrase" | "oldHost">>;
  serverName: string;
  plan: ConfigPlan;
  databaseCommand: readonly string[] | undefined;
  mas: MasPlan | undefined;
  layout: Layout;
  dropIns: readonly string[];
  /** Where the database is reached from here, where Synapse reaches it elsewhere. */
  databaseHere: Readonly<Record<string, string>> | undefined;
  /** Which Synapse the layout will run, where it decides. */
  synapse: string | undefined;
  /** Rows that were written for uploads of archives beside the bundle. */
  addedUploads?: number | undefined;
  ported?: Readonly<Record<string, number>> | undefined;
  now: number;
}): RestoreRecord {
  const { addedUploads = 0 } = made;
  const { origin, serverName, plan, databaseCommand, mas, layout, dropIns, databaseHere, synapse, now } =
    made;
  const { name, map, url, start, stop, owner, mediaDir: mediaStore } = layout;
  return {
    format: "synlift-restored",
    version: 1,
    bundle: origin.id,
    serverName,
    rehearsal: origin.rehearsal,
    ...(origin.recipients ? { recipients: origin.recipients } : {}),
    ...(origin.passphrase === undefined ? {} : { passphrase: origin.passphrase }),
    ...(origin.oldHost === undefined ? {} : { oldHost: origin.oldHost }),
    ...(databaseCommand ? { databaseCommand: [...databaseCommand] } : {}),
    ...(mas ? { mas: { configPaths: [...mas.configPaths], fencedPaths: [...mas.fencedPaths] } } : {}),
    mediaStore,
    configPaths: [...plan.configPaths],
    fencedPaths: [...plan.fencedPaths],
    fence: { ...plan.fence, names: [...plan.fence.names] },
    dropIns: [...dropIns],
    placed: plan.placed.map((file) => ({ ...file })),
    layout: {
      name,
      map: map.map((pair) => ({ ...pair })),
      ...(url === undefined ? {} : { url }),
      ...(start === undefined ? {} : { start }),
      ...(stop === undefined ? {} : { stop }),
      ...(synapse === undefined ? {} : { synapse }),
    },
    ...(databaseHere ? { databaseHere } : {}),
    ...(addedUploads === 0 ? {} : { addedUploads }),
    ...(made.ported ? { ported: { ...made.ported } } : {}),
    ...(owner ? { owner: { name: owner.name, uid: owner.uid, gid: owner.gid } } : {}),
    outageSince: origin.outageSince,
    restored: new Date(now).toISOString(),
    opening: null,
    started: null,
    opened: null,
    accepted: [],
  };
}

/** The given key for the inventory, or else the passphrase that a direct transfer saves next to its record. */
export function keyFor({ passphrase }: RestoreRecord, configFolder: string, given: KeySource): KeySource {
  const nothing = Object.values(given).every((one) => one === undefined);
  return nothing && passphrase !== undefined ? { file: join(recordFolder(configFolder), passphrase) } : given;
}

export async function writeRecord(configFolder: string, record: RestoreRecord, files: Files): Promise<void> {
  await files.makeFolder(recordFolder(configFolder));
  await files.writeAtomically(recordPath(configFolder), `${JSON.stringify(record, null, 2)}\n`);
}

/** Undefined when nothing was restored there. Throws `bundle-damaged`. */
export async function findRecord(configFolder: string, files: Files): Promise<RestoreRecord | undefined> {
  const path = recordPath(configFolder);
  if (!(await files.lstat(path))) return undefined;
  try {
    return recordSchema.parse(JSON.parse(await files.readText(path)));
  } catch (error) {
    if (error instanceof MigrationError) throw error;
    throw new MigrationError("bundle-damaged", `${path} cannot be read`, {
      hint: "run the restore again",
      cause: error,
    });
  }
}

/** Throws `bundle-incomplete` when nothing was restored there. */
export async function readRecord(configFolder: string, files: Files): Promise<RestoreRecord> {
  const record = await findRecord(configFolder, files);
  if (record) return record;
  throw new MigrationError("bundle-incomplete", `${configFolder} has no finished restore`, {
    hint: "give the folder that restore was given with --config-dir, after the restore has finished",
  });
}
