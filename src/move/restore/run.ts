import { basename, dirname, join } from "node:path";
import type { Manifest } from "../../bundle/manifest.ts";
import { MigrationError } from "../../errors.ts";
import { assertNoConflicts, type ConfigPlan, writeConfig } from "../../homeserver/config/restore.ts";
import { majorOf } from "../../homeserver/database/facts.ts";
import {
  type DatabaseRestore,
  type DatabaseTarget,
  inspectDatabaseTarget,
} from "../../homeserver/database/target.ts";
import type { RoleOrder } from "../../homeserver/database/role/create.ts";
import { type MasPlan, type planMas, withMas } from "../../homeserver/mas/restore.ts";
import { blockUnits } from "../../homeserver/service/fence/new-server.ts";
import { listenerPorts } from "../../homeserver/service/ports.ts";
import { Journal } from "../../journal/journal.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { TableRows } from "../../homeserver/database/port/verify.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Access } from "../../system/files/access.ts";
import { giveEmptyFolder, makeOwnedFolder, mayBeGiven } from "../../system/files/owned-folder.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { assertDiskSpace } from "../disk-space.ts";
import { folderAccess } from "../folder-access.ts";
import { unitsToBlock } from "./blocked-units.ts";
import { halfFilled, wasBegun, wasFilled, wasRestored } from "./database-step.ts";
import {
  assertDumpsRestorable,
  confirmEmptying,
  isCustomFormat,
  type PgRestoreOptions,
} from "./fill-with-pg-restore.ts";
import type { ChosenLayout } from "./layouts/choose.ts";
import { planConfigFor, startFactsOf } from "./layouts/plan-config.ts";
import { prepareDatabase, writeStart } from "./layouts/prepare.ts";
import { findPortingSynapse } from "../port/synapse.ts";
import { createRoles } from "./roles.ts";
import { type Porting, type PortingByPython, portLogIn } from "./port-step.ts";
import { findRecord, newRecord, recordFolder, type RestoreRecord, writeRecord } from "./record.ts";

/** What is restored, from a bundle or by direct transfer. */
export interface RestoreSource {
  /** Of the bundle, or of the move. */
  readonly id: string;
  readonly serverName: string;
  readonly databases: readonly DatabaseRestore[];
  /** The packed configuration, by name. */
  readonly packed: ReadonlyMap<string, Uint8Array>;
  /** Bytes, approximately. */
  readonly databaseBytes: number;
  readonly mediaBytes: number;
  /** The databases are there already: they follow those of the source. */
  readonly follows?: boolean | undefined;
  /** See `ConfigTarget`. */
  readonly servesMedia?: boolean | undefined;
  /** Bytes of a decrypted dump in PostgreSQL's custom format. */
  readonly clearBytes?: (one: DatabaseRestore) => number;
  /** Plans the authentication service's configuration, where that is restored too. */
  readonly masFor?: (where: Parameters<typeof planMas>[2]) => Promise<MasPlan | undefined>;
}

/** The destination of a restore. */
export interface RestoreTarget {
  readonly layout: ChosenLayout;
  /** For Synapse's main database. */
  readonly database: DatabaseTarget;
  /** Databases whose role and owner PostgreSQL's administrator creates, where they do not exist. */
  readonly roles: readonly RoleOrder[];
  /** Address of the main database from this host, where it differs from Synapse's. */
  readonly databaseHere: Readonly<Record<string, string>> | undefined;
  /** For the state groups, where they have a database of their own. */
  readonly stateDatabase: DatabaseTarget | undefined;
  /** For the Matrix Authentication Service, where it is restored too. */
  readonly masDatabase: DatabaseTarget | undefined;
  /** The command prefix that runs psql and pg_dump where they can reach the databases. */
  readonly databaseCommand: readonly string[] | undefined;
  /** For dumps in PostgreSQL's custom format. */
  readonly pgRestore: PgRestoreOptions | undefined;
  /** For a database of SQLite that becomes one of PostgreSQL. */
  readonly porting: Porting | undefined;
  readonly publicBaseurl: string | undefined;
  /** The Python or environment in which Synapse is installed. */
  readonly synapse: string | undefined;
  readonly synapseVersion: string | undefined;
  readonly systemdDir: string | undefined;
}

export interface RestorePlan {
  readonly plan: ConfigPlan;
  readonly mas: MasPlan | undefined;
  readonly python: string | undefined;
  readonly dropIns: readonly string[];
  /** Undefined where nothing is ported. */
  readonly porting: PortingByPython | undefined;
}

/** What a configuration folder has before anything is restored into it. */
const RECORD = basename(recordFolder("/"));

const journalIn = (folder: string, files: Files) =>
  Journal.open(join(recordFolder(folder), "journal.json"), files);

/**
 * Checks everything that can be checked before the target is changed; except that a layout with its own database starts
 * it, and --create-role creates what is missing, unless this is a dry run. Throws `already-opened`, `target-not-empty`,
 * `target-unsuitable`, `disk-full`.
 */
export async function planRestore(
  source: RestoreSource,
  destination: RestoreTarget,
  given: { readonly dryRun: boolean; readonly yes: boolean },
  system: System,
  progress: Progress,
): Promise<RestorePlan> {
  const { files } = system;
  const { layout, database, publicBaseurl, synapse, synapseVersion } = destination;
  const { configDir: folder, mediaDir: store } = layout;
  const { id, databases, packed, servesMedia } = source;
  await assertNotOpened(folder, id, files);
  const { plan: own, python } = await planConfigFor(
    layout,
    { packed, databases, publicBaseurl, synapse, synapseVersion, servesMedia },
    system,
  );
  const mas = await source.masFor?.({
    folder,
    fencedSuffix: own.fence.suffix,
    ...(layout.listen ? { listen: layout.listen } : {}),
  });
  const { dropIns, findings } = await unitsToBlock(layout, destination.systemdDir, system);
  const planned = mas ? withMas(own, mas) : own;
  await assertNoConflicts(planned, files);
  const porting = await planPorting({ source, destination, python, dryRun: given.dryRun }, system, progress);
  const roles = await createRoles(source, destination, given, system, progress);
  const onHost = await hostFindings(layout, planned, system);
  const plan = { ...planned, findings: [...planned.findings, ...findings, ...onHost, ...roles.findings] };
  if (layout.compose && given.dryRun) return { plan, mas, python, dropIns, porting };
  if (source.follows) {
    await assertDiskSpace(store, source.mediaBytes, "the media", "--media-dir", files);
    return { plan, mas, python, dropIns, porting };
  }
  const postgres = majorOf(databases[0]?.section.serverVersion ?? 0);
  await prepareDatabase(layout, { postgres, synapse: synapseVersion }, database, system, progress);
  const before = await journalIn(folder, files);
  const untouched = databases.filter((one) => !wasBegun(id, one, before));
  for (const one of untouched) if (!roles.missing.has(one.target)) await inspectDatabaseTarget(one, system);
  if (roles.missing.size === 0) await checkCustomDumps(source, destination, before, given, system, progress);
  if (untouched.length > 0) {
    if (database.engine === "sqlite")
      await assertDiskSpace(
        dirname(database.path),
        source.databaseBytes,
        "the database",
        "--database",
        files,
      );
    await assertDiskSpace(store, source.mediaBytes, "the media", "--media-dir", files);
  }
  return { plan, mas, python, dropIns, porting };
}

/** What `open` would refuse later, and can be mended meanwhile. */
async function hostFindings(
  layout: ChosenLayout,
  { listeners }: ConfigPlan,
  system: System,
): Promise<Finding[]> {
  const { listen, compose, blocksReaders } = layout;
  // Where something else starts it, it is not known on which host.
  if (!blocksReaders) return [];
  const published = listen && [{ port: listen.port, addresses: [listen.address], tls: false, resources: [] }];
  const found = [
    ...(await listenerPorts((compose && published) ?? listeners, "warning", system.machine)),
    ...(compose ? [] : await foldersFor(layout, system)),
  ];
  return found.filter(({ level }) => level !== "ok");
}

/** Of folders that are not there yet, those above them. */
async function foldersFor(
  { owner, configDir, mediaDir, logFolder }: ChosenLayout,
  system: System,
): Promise<Finding[]> {
  const { files } = system;
  if (!owner) return [];
  const wanted: Access[] = [];
  for (const folder of [configDir, mediaDir, ...(logFolder === undefined ? [] : [logFolder])]) {
    let path = (await mayBeGiven(folder, [RECORD], files)) ? dirname(folder) : folder;
    while (path !== "/" && (await files.stat(path))?.kind !== "folder") path = dirname(path);
    wanted.push({ path, needs: "enter" });
  }
  const account = { ...owner, home: "/" };
  return folderAccess({ account, wanted, own: [configDir, mediaDir] }, "warning", system);
}

/** Finds the Synapse that ports the database, before anything is changed. Throws `program-missing`, `disk-full`. */
async function planPorting(
  {
    source: { serverName, databaseBytes },
    destination: { porting, layout, synapse, synapseVersion },
    python,
    dryRun,
  }: { source: RestoreSource; destination: RestoreTarget; python: string | undefined; dryRun: boolean },
  system: System,
  progress: Progress,
): Promise<PortingByPython | undefined> {
  if (!porting) return undefined;
  await assertDiskSpace(porting.folder, databaseBytes, "the SQLite database", "--media-dir", system.files);
  const { folder, installSynapse: install } = porting;
  const found = await findPortingSynapse(
    {
      synapse: synapse ?? python,
      configPaths: [],
      // Beside the file, which is removed with its folder.
      folder: dirname(folder),
      install,
      dryRun,
      version: synapseVersion,
    },
    system,
    progress,
  );
  return {
    ...porting,
    python: found.python,
    serverName,
    log: portLogIn(recordFolder(layout.configDir)),
  };
}

/** Checks, and asks about, databases that pg_restore will restore. */
async function checkCustomDumps(
  { id, databases, clearBytes }: RestoreSource,
  { pgRestore }: RestoreTarget,
  journal: Journal,
  given: { readonly dryRun: boolean; readonly yes: boolean },
  system: System,
  progress: Progress,
): Promise<void> {
  const due = databases.filter((one) => isCustomFormat(one) && !wasRestored(id, one, journal));
  if (!pgRestore || !clearBytes || due.length === 0) return;
  const dumps = due.map((restore) => ({ restore, bytes: clearBytes(restore) }));
  await assertDumpsRestorable(dumps, pgRestore, journal, system);
  for (const one of due) {
    const begun = halfFilled(id, one, journal);
    if (begun && !(await wasFilled(id, one, journal, system)))
      await confirmEmptying(one, begun, given, system, progress);
  }
}

/** What `open` needs to know about the source. */
export type Origin = Pick<Manifest, "rehearsal" | "recipients" | "outageSince"> & {
  /** Name of the file in the record's folder with the inventory's passphrase. */
  readonly passphrase?: string;
  /** How the old host of a direct transfer is asked again. */
  readonly oldHost?: RestoreRecord["oldHost"];
  /** Rows that were added for uploads from archives outside the bundle. */
  readonly addedUploads?: number;
  /** Rows of a database that was ported, by table. */
  readonly ported?: TableRows | undefined;
};

/**
 * Fences the new server, lets `fill` restore database and media and copy the inventory into the record's folder, and
 * writes the configuration last, under a name that no server reads. May be repeated after an interruption.
 */
export async function runRestore(
  { plan, mas, python, dropIns }: RestorePlan,
  source: Pick<RestoreSource, "id" | "serverName">,
  destination: RestoreTarget,
  fill: (journal: Journal) => Promise<Origin>,
  system: System,
): Promise<void> {
  const { files, machine } = system;
  const { layout, databaseHere, databaseCommand, synapseVersion: synapse } = destination;
  const { configDir: folder, owner } = layout;
  const { id, serverName } = source;
  // Made by hand as root, it would keep Synapse out, and only `open` would say so.
  if (owner && machine.isRoot)
    for (const one of [folder, layout.mediaDir]) await giveEmptyFolder(one, owner, [RECORD], files);
  await makeOwnedFolder(folder, owner, files);
  await files.makeFolder(recordFolder(folder));
  if (layout.logFolder !== undefined) await makeOwnedFolder(layout.logFolder, owner, files);
  // Before there is anything to start: installing a package during the restore would start it.
  await blockUnits({ fence: plan.fence, dropIns }, system);
  const held = await acquireLock(join(recordFolder(folder), "lock"), files, machine, folder);
  try {
    const filled = await fill(await journalIn(folder, files));
    const { addedUploads, ported } = filled;
    const origin = { ...filled, id };
    // Last, and under its fenced name: without it no server can start on the restored database.
    await writeConfig(plan, files);
    await writeStart(layout, startFactsOf(layout, plan, serverName), python, system);
    await writeRecord(
      folder,
      newRecord({
        origin,
        serverName,
        plan,
        mas,
        databaseCommand,
        layout,
        dropIns,
        databaseHere,
        synapse,
        addedUploads,
        ported,
        now: machine.now(),
      }),
      files,
    );
  } finally {
    await held.release();
  }
}

async function assertNotOpened(folder: string, id: string, files: Files): Promise<void> {
  const record = await findRecord(folder, files);
  if (record && record.bundle !== id) {
    throw new MigrationError(
      "target-not-empty",
      `${folder} already contains another restored homeserver: ${record.serverName}`,
      {
        hint: "choose another --config-dir",
      },
    );
  }
  if (record?.opened == null) return;
  throw new MigrationError(
    "already-opened",
    `${record.serverName} in ${folder} was opened on ${record.opened}`,
    {
      hint: "it is in use: restoring over it would lose what was written since",
    },
  );
}
