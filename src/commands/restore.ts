import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { checkManifest, checkParts, refuseDamage } from "../bundle/check.ts";
import { lockToOpen } from "../bundle/opening-lock.ts";
import { unprovenOrigin } from "../bundle/origin.ts";
import { Bundle } from "../bundle/reader.ts";
import { MigrationError } from "../errors.ts";
import { refuseConflicts, writeConfig, type ConfigPlan } from "../homeserver/config/restore.ts";
import { databaseBytes } from "../homeserver/database/artifact.ts";
import { majorOf } from "../homeserver/database/facts.ts";
import { describeTarget, inspectDatabaseTarget } from "../homeserver/database/target.ts";
import { rewriteFor, startedAs } from "../homeserver/layouts/plan-config.ts";
import { prepareDatabase, writeStart } from "../homeserver/layouts/prepare.ts";
import { masPlanOf, withMas } from "../homeserver/mas/restore.ts";
import { findManifest } from "../homeserver/media/archive/read.ts";
import { archiveInFolder } from "../homeserver/media/archive/source.ts";
import { makeOwnedFolder } from "../homeserver/owned-folder.ts";
import { findRecord, newRecord, recordFolder, writeRecord } from "../homeserver/record.ts";
import { readConfigArtifact } from "../homeserver/restore.ts";
import { databaseStep, wasBegun } from "../homeserver/restore-database.ts";
import {
  addedUploads,
  archiveFoldersStep,
  foreignArchiveId,
  foreignArchiveStep,
  mediaStep,
} from "../homeserver/restore-media.ts";
import { mustHaveRoom } from "../homeserver/room.ts";
import { sectionsOf } from "../homeserver/sections.ts";
import { dropInOf, holdUnits } from "../homeserver/service/new-fence.ts";
import { Journal } from "../journal/journal.ts";
import { takeLock } from "../journal/lock.ts";
import { runSteps } from "../journal/run-steps.ts";
import type { Finding } from "../report/finding.ts";
import type { Files } from "../system/files.ts";
import type { Command, Outcome } from "./command.ts";
import {
  DATABASE_COMMAND,
  databaseCommandSchema,
  databasesToFill,
  FURTHER_DATABASES,
  furtherDatabasesSchema,
} from "./database-options.ts";
import { databaseOf, LAYOUT_OPTIONS, layoutOf, layoutSchema } from "./layout-options.ts";
import { checked, DRY_RUN, dryRunSchema, KEY_OPTIONS, keySchema, keySource } from "./options.ts";

const schema = z.object({
  argument: z.string().min(1),
  database: z.string().min(1).optional(),
  databasePasswordFile: z.string().optional(),
  ...furtherDatabasesSchema,
  ...databaseCommandSchema,
  ...layoutSchema,
  mediaAs: z.enum(["store", "archive"], "write store or archive").default("store"),
  mediaArchive: z.array(z.string().min(1)).default([]),
  ...keySchema,
  ...dryRunSchema,
});

export const restoreCommand: Command<z.infer<typeof schema>> = {
  name: "restore",
  summary:
    "Unpack a bundle into an empty database and two folders. The new server stays fenced until `open`.",
  argument: { name: "BUNDLE", about: "folder of the bundle" },
  options: [
    {
      flags: "--database <address>",
      about:
        "empty PostgreSQL database, or one to be made: 'host=… user=… dbname=…'; no password. For a bundle of SQLite: sqlite:PATH, a file to be made",
    },
    { flags: "--database-password-file <file>", about: "file whose only line is that user's password" },
    ...FURTHER_DATABASES,
    DATABASE_COMMAND,
    ...LAYOUT_OPTIONS,
    {
      flags: "--media-as <kind>",
      about:
        "store (the default): the media store of Synapse; archive: folders for the importer of matrix-media-repo",
    },
    {
      flags: "--media-archive <folder>",
      about:
        "archive of this server's media that matrix-media-repo made, to be restored too; may be given several times",
      many: true,
    },
    ...KEY_OPTIONS,
    DRY_RUN,
  ],
  example:
    "synlift restore /srv/move --passphrase-file /root/move.passphrase --database 'dbname=synapse user=synapse host=127.0.0.1' " +
    "--database-password-file /root/db.password --layout debian",
  parse: (given) => checked(schema, given),

  async run(options, system, view) {
    const { files, machine, signal } = system;
    const layout = layoutOf(options, system);
    const { configDir: folder, mediaDir: store, owner } = layout;
    const { target, here } = await databaseOf(options, layout, system);

    // Everything that can be known is looked at before the target is touched.
    const bundle = await Bundle.open(resolve(machine.folder, options.argument), files);
    const lock = await lockToOpen(bundle.manifest.recipients, keySource(options), system);
    refuseDamage(await checkParts(bundle, files, view));
    const inventory = await bundle.inventory(lock);
    refuseDamage(checkManifest(bundle, inventory));
    const { config, database, state, media, mas: service } = sectionsOf(inventory);
    const sections = { target, database, state, ...(options.mas ? { mas: service?.database } : {}) };
    const databases = await databasesToFill(options, sections, system);
    const opened = { bundle, inventory, lock };
    await refuseOpened(folder, bundle, files);
    const packed = await readConfigArtifact(opened);
    const { plan: own, python } = await rewriteFor(layout, { ...options, packed, databases }, system);
    const mas = await masPlanOf(opened, databases, {
      ...{ folder, fencedSuffix: own.fence.suffix },
      ...(layout.listen ? { listen: layout.listen } : {}),
    });
    const plan = mas ? withMas(own, mas) : own;
    await refuseConflicts(plan, files);
    const told = { ...plan, findings: [...unprovenOrigin(bundle.manifest), ...plan.findings] };
    const journalPath = join(recordFolder(folder), "journal.json");
    const dropIns = layout.units.map((unit) => dropInOf(unit, options.systemdDir));
    if (layout.compose && options.dryRun)
      return said(told, ["a dry run: nothing was written, and no container started"], { dryRun: true });
    const versions = { postgres: majorOf(database.serverVersion), synapse: options.synapseVersion };
    await prepareDatabase(layout, versions, target, system, view);
    const before = await Journal.open(journalPath, files);
    const untouched = databases.filter((one) => !wasBegun(opened, one, before));
    for (const one of untouched) await inspectDatabaseTarget(one, system);
    if (untouched.length > 0) {
      if (target.engine === "sqlite") {
        const size = databaseBytes(inventory);
        await mustHaveRoom(dirname(target.path), size, "the database", "--database", files);
      }
      await mustHaveRoom(store, media.bytes, "the media", "--media-dir", files);
    }
    const archives = options.mediaArchive.map((path) => resolve(machine.folder, path));
    for (const path of archives) await findManifest(archiveInFolder(path, files));
    if (options.dryRun) return said(told, ["a dry run: nothing was written"], { dryRun: true });

    await makeOwnedFolder(folder, owner, files);
    await files.makeFolder(recordFolder(folder));
    // Before anything is there to start: a package that is installed meanwhile would start it.
    await holdUnits({ fence: plan.fence, dropIns }, system);
    const held = await takeLock(join(recordFolder(folder), "lock"), files, machine);
    try {
      const journal = await Journal.open(journalPath, files);
      const into = { opened, target: { store, owner }, database: target };
      await runSteps(
        [
          ...databases.map((one) => databaseStep(opened, one, { owner, journal }, system, view)),
          // After the database, whose rows say which files must be there.
          options.mediaAs === "archive"
            ? archiveFoldersStep(opened, { store, owner }, system, view)
            : mediaStep(opened, { store, owner, kept: database.kept }, media, target, system, view),
          ...archives.map((path) => foreignArchiveStep(path, { ...into, journal }, system, view)),
        ],
        { journal, progress: view, signal, now: () => machine.now() },
      );
      // Last, and under its fenced name: without it no server can start on what was just filled.
      await writeConfig(plan, files);
      await writeStart(layout, startedAs(layout, plan, config.serverName), python, system);
      await bundle.copyInventory(recordFolder(folder));
      const { manifest } = bundle;
      const { serverName } = config;
      await writeRecord(
        folder,
        newRecord({
          ...{ manifest, serverName, plan, databaseCommand: options.databaseCommand, mas },
          addedUploads: await addedUploads(target, journal, system),
          ...{ layout, dropIns, databaseHere: here, synapse: options.synapseVersion, now: machine.now() },
        }),
        files,
      );
    } finally {
      await held.release();
    }
    const lines = [
      `${config.serverName} is restored: database ${databases.map((one) => describeTarget(one.target)).join(" and ")}, media in ${store}, configuration in ${folder}`,
      ...(mas ? [masLine(mas.configPaths)] : []),
      `it cannot start yet: prove it first, with synlift open --config-dir ${folder}`,
    ];
    const findings = [...told.findings, ...(await mediaFindings(options, archives, journalPath, files))];
    return said({ ...told, findings }, lines, {
      serverName: config.serverName,
      bundle: inventory.id,
      configDir: folder,
      mediaDir: store,
    });
  },
};

/** What the archives held, and what is to be done about media that this server will not have. */
async function mediaFindings(
  { mediaAs }: Pick<z.infer<typeof schema>, "mediaAs">,
  archives: readonly string[],
  journalPath: string,
  files: Files,
): Promise<Finding[]> {
  const { steps } = await Journal.open(journalPath, files);
  const told = archives.flatMap(
    (path) => (steps[foreignArchiveId(path)]?.outcome["findings"] ?? []) as Finding[],
  );
  if (mediaAs === "store") return told;
  const elsewhere: Finding = {
    id: "media-as-archive",
    level: "note",
    sentence: "the media lies there as archives: this server has none of its uploads by itself",
    hint: "give the folders to matrix-media-repo's gdpr_import, one after another; then open with --accept media",
  };
  return [...told, elsewhere];
}

const masLine = (paths: readonly string[]) =>
  `its authentication service is restored too: once open has passed, start it with mas-cli server ${paths.map((path) => `--config ${path}`).join(" ")}`;

/** What was rewritten is told as notes; how the rest went, by the lines. */
function said(plan: ConfigPlan, lines: string[], details: Outcome["details"]): Outcome {
  const changed = plan.files.filter(({ changes }) => changes.length > 0);
  const rewritten = changed.map(({ path, changes }): Finding => ({
    id: "config-rewritten",
    level: "note",
    sentence: `${path} is the old file with what belongs to the host rewritten`,
    evidence: changes,
  }));
  return { findings: [...rewritten, ...plan.findings], details, lines };
}

async function refuseOpened(folder: string, bundle: Bundle, files: Files): Promise<void> {
  const record = await findRecord(folder, files);
  if (record && record.bundle !== bundle.manifest.id) {
    throw new MigrationError(
      "target-not-empty",
      `${folder} holds another restored homeserver: ${record.serverName}`,
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
      hint: "it lives: restoring over it would lose what was written since",
    },
  );
}
