import { resolve } from "node:path";
import { z } from "zod";
import type { Inventory } from "../bundle/inventory.ts";
import { encryptedName } from "../bundle/layout.ts";
import { keysForOpening } from "../bundle/opening-keys.ts";
import { originFindings } from "../bundle/origin.ts";
import { Bundle } from "../bundle/reader.ts";
import { assertUndamaged, verifyManifest, verifyParts } from "../bundle/verify.ts";
import { databaseBytes } from "../homeserver/database/artifact.ts";
import type { DatabaseRestore } from "../homeserver/database/target.ts";
import { findManifest } from "../homeserver/media/archive/read.ts";
import { archiveInFolder } from "../homeserver/media/archive/source.ts";
import type { Journal } from "../journal/journal.ts";
import { runSteps } from "../journal/run-steps.ts";
import type { SenderCall } from "../move/direct/connect.ts";
import { describeTransfer } from "../move/direct/consent.ts";
import type { OldHostMessages } from "../move/direct/protocol.ts";
import { restoreFromHost } from "../move/direct/restore.ts";
import { artifactOf, databaseStep } from "../move/restore/database-step.ts";
import { isCustomFormat } from "../move/restore/fill-with-pg-restore.ts";
import { assertOutsideBundle } from "../move/restore/layouts/choose.ts";
import { masPlanOf } from "../move/restore/mas.ts";
import {
  addedUploads,
  archiveFoldersStep,
  foreignArchiveId,
  foreignArchiveStep,
  mediaStep,
} from "../move/restore/media-steps.ts";
import { deliverBundle, readConfigArtifact } from "../move/restore/opened-bundle.ts";
import { recordFolder } from "../move/restore/record.ts";
import { planRestore, type RestoreTarget, runRestore } from "../move/restore/run.ts";
import { databaseSections, sectionsOf } from "../move/sections.ts";
import { gzipProgram } from "../pipeline/gzip-program.ts";
import type { Finding } from "../report/finding.ts";
import type { ProgressView } from "../report/progress-view.ts";
import type { System } from "../system/system.ts";
import { restoreFromPipe } from "../transfer/from-pipe.ts";
import type { Command, Outcome } from "./command.ts";
import {
  DATABASE_COMMAND,
  databaseCommandSchema,
  databasesToFill,
  FURTHER_DATABASES,
  furtherDatabasesSchema,
} from "./options/database.ts";
import { DIRECT_OPTIONS, directSchema, senderCallOf } from "./options/direct.ts";
import { JOBS_OPTIONS, jobsSchema, pgRestoreOptions } from "./options/jobs.ts";
import { databaseOf, LAYOUT_OPTIONS, layoutOf, layoutSchema } from "./options/layout.ts";
import { PIPE_OPTIONS, pipeFolderOf, pipeSchema } from "./options/pipe.ts";
import { dryRunOutcome, openCommandText, restoredOutcome } from "./options/restored-text.ts";
import { DRY_RUN, dryRunSchema, KEY_OPTIONS, keySchema, keySource, parseOptions } from "./options/shared.ts";

const schema = z.object({
  argument: z.string().min(1).optional(),
  ...directSchema,
  database: z.string().min(1).optional(),
  databasePasswordFile: z.string().optional(),
  ...furtherDatabasesSchema,
  ...databaseCommandSchema,
  ...layoutSchema,
  mediaAs: z.enum(["store", "archive"], "write store or archive").default("store"),
  mediaArchive: z.array(z.string().min(1)).default([]),
  ...pipeSchema,
  ...jobsSchema,
  ...keySchema,
  ...dryRunSchema,
});

export const restoreCommand: Command<z.infer<typeof schema>> = {
  name: "restore",
  summary:
    "Restore a bundle into an empty database and two folders. The new server stays fenced until `open`.",
  argument: {
    name: "BUNDLE",
    about: "folder of the bundle, or - to read it from standard input; left out with --from",
    optional: true,
  },
  options: [
    {
      flags: "--database <address>",
      about:
        "empty PostgreSQL database, or one that will be created: 'host=… user=… dbname=…', without password. For an SQLite bundle: sqlite:PATH, a new file",
    },
    { flags: "--database-password-file <file>", about: "file that contains only that user's password" },
    ...FURTHER_DATABASES,
    DATABASE_COMMAND,
    ...LAYOUT_OPTIONS,
    {
      flags: "--media-as <kind>",
      about: "store (default): Synapse's media store; archive: folders for matrix-media-repo's importer",
    },
    {
      flags: "--media-archive <folder>",
      about:
        "also restore this archive of the server's media from matrix-media-repo; may be given several times",
      many: true,
    },
    ...DIRECT_OPTIONS,
    ...PIPE_OPTIONS,
    ...JOBS_OPTIONS,
    ...KEY_OPTIONS,
    DRY_RUN,
  ],
  example:
    "synlift restore /srv/move --passphrase-file /root/move.passphrase --database 'dbname=synapse user=synapse host=127.0.0.1' " +
    "--database-password-file /root/db.password --layout debian",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const layout = layoutOf(options, system);
    const road = senderCallOf(options, system);
    const spool = pipeFolderOf(options, layout, system);
    if (!road) assertOutsideBundle(layout, spool ?? resolve(system.machine.folder, options.argument ?? ""));
    const { target, here } = await databaseOf(options, layout, system);
    const placing: RestoreTarget = {
      ...options,
      layout,
      target,
      databaseHere: here,
      archives: pgRestoreOptions(options, layout, system),
    };
    if (road) return fromOldHost(road, options, placing, system, view);
    const restore = (bundle: string) => fromFolder(bundle, options, placing, system, view);
    if (spool === undefined) return restore(options.argument ?? "");
    return restoreFromPipe({ folder: spool, owner: layout.owner }, system, view, () => restore(spool));
  },
};

type RestoreOptions = z.infer<typeof schema>;

async function fromFolder(
  argument: string,
  options: RestoreOptions,
  placing: RestoreTarget,
  system: System,
  view: ProgressView,
): Promise<Outcome> {
  const { files, machine, signal } = system;
  const { layout, target } = placing;
  const { configDir: folder, mediaDir: store, owner } = layout;
  // Everything that can be checked is checked before the target is changed.
  const bundle = await Bundle.open(resolve(machine.folder, argument), files);
  const lock = await keysForOpening(bundle.manifest.recipients, keySource(options), system);
  assertUndamaged(await verifyParts(bundle, files, view));
  const inventory = await bundle.inventory(lock);
  assertUndamaged(verifyManifest(bundle, inventory));
  const { config, database, state, media, mas: service } = sectionsOf(inventory);
  const sections = { target, database, state, ...(options.mas ? { mas: service?.database } : {}) };
  const databases = await databasesToFill(options, sections, system);
  const unpack = (await gzipProgram(system.programs, machine.cores))?.decompress;
  const opened = { bundle, inventory, lock, unpack };
  const incoming = {
    ...{ id: inventory.id, serverName: config.serverName, databases },
    packed: await readConfigArtifact(opened),
    ...{ databaseBytes: databaseBytes(inventory), mediaBytes: media.bytes },
    clearBytes: (one: DatabaseRestore) =>
      inventory.artifacts.find(({ name }) => name === encryptedName(artifactOf(one)))?.plain.size ?? 0,
    masFor: (where: Parameters<typeof masPlanOf>[2]) => masPlanOf(opened, databases, where),
  };
  const planned = await planRestore(incoming, placing, options, system, view);
  const { plan } = planned;
  const told = { ...plan, findings: [...originFindings(bundle.manifest), ...plan.findings] };
  const archives = options.mediaArchive.map((path) => resolve(machine.folder, path));
  for (const path of archives) await findManifest(archiveInFolder(path, files));
  if (options.jobs !== undefined && !databases.some(isCustomFormat))
    view.note(
      "--jobs has no effect: the dump in this bundle is restored with one connection; see export --db-format",
    );
  if (options.dryRun) return dryRunOutcome(told, layout);
  const findings: Finding[] = [...told.findings];
  const fill = async (journal: Journal) => {
    const delivery = deliverBundle(opened, view);
    const filling = { owner, journal, archives: placing.archives, clearBytes: incoming.clearBytes };
    const into = { opened, target: { store, owner }, database: target };
    await runSteps(
      [
        ...databases.map((one) => databaseStep(delivery, one, filling, system, view)),
        // After the database, whose rows say which files must be there.
        options.mediaAs === "archive"
          ? archiveFoldersStep(opened, { store, owner }, system, view)
          : mediaStep(opened, { store, owner, kept: database.kept }, media, target, system, view),
        ...archives.map((path) => foreignArchiveStep(path, { ...into, journal }, system, view)),
      ],
      { journal, progress: view, signal, now: () => machine.now() },
    );
    await bundle.copyInventory(recordFolder(folder));
    findings.push(...mediaFindings(options, archives, journal));
    return { ...bundle.manifest, addedUploads: await addedUploads(target, journal, system) };
  };
  await runRestore(planned, incoming, placing, fill, system);
  const proof = openCommandText(folder, options, machine.folder);
  return restoredOutcome({ ...told, findings }, incoming, placing, planned, proof);
}

async function fromOldHost(
  road: SenderCall,
  options: RestoreOptions,
  placing: RestoreTarget,
  system: System,
  view: ProgressView,
): Promise<Outcome> {
  const databasesFor = (looked: OldHostMessages["looked"], counted: Inventory) => {
    const { engine, serverVersion, state } = looked;
    const known = databaseSections(counted);
    const database = known.database ?? { engine, serverVersion };
    const second = state && (known.state ?? { engine: "postgres" as const, ...state });
    return databasesToFill(options, { target: placing.target, database, state: second }, system);
  };
  const { rehearse: rehearsal, dryRun, yes, compress } = options;
  const order = { road, rehearsal, dryRun, yes, presses: compress, placing, databasesFor };
  const { looked, incoming, planned, done } = await restoreFromHost(order, system, view);
  const findings = [...looked.findings, ...(done?.findings ?? [])] as Finding[];
  const told = { ...planned.plan, findings: [...findings, ...planned.plan.findings] };
  // After a direct transfer, the passphrase is in the record's folder.
  const proof = openCommandText(placing.layout.configDir, {}, system.machine.folder);
  if (done) return restoredOutcome(told, incoming, placing, planned, proof);
  return dryRunOutcome(
    told,
    placing.layout,
    describeTransfer(order, looked, incoming).map((line) => `would be done: ${line}`),
  );
}

/** Findings about the archives, and what to do about media that is not in this server's store. */
function mediaFindings(
  { mediaAs }: Pick<RestoreOptions, "mediaAs">,
  archives: readonly string[],
  { steps }: Pick<Journal, "steps">,
): Finding[] {
  const told = archives.flatMap(
    (path) => (steps[foreignArchiveId(path)]?.outcome["findings"] ?? []) as Finding[],
  );
  if (mediaAs === "store") return told;
  const elsewhere: Finding = {
    id: "media-as-archive",
    level: "note",
    sentence: "the media was restored as archives: Synapse's media store has no uploads",
    hint: "import the folders with matrix-media-repo's gdpr_import, one after another; then run open with --accept media",
  };
  return [...told, elsewhere];
}
