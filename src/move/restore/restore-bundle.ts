import { encryptedName } from "../../bundle/layout.ts";
import { type KeySource, keysForOpening } from "../../bundle/opening-keys.ts";
import { originFindings } from "../../bundle/origin.ts";
import { Bundle } from "../../bundle/reader.ts";
import { assertUndamaged, verifyManifest, verifyParts } from "../../bundle/verify.ts";
import { databaseBytes } from "../../homeserver/database/artifact.ts";
import type { DatabaseRestore } from "../../homeserver/database/target.ts";
import { assertHoldsUploads } from "../../homeserver/media/archive/read.ts";
import { archiveInFolder } from "../../homeserver/media/archive/source.ts";
import { assertFinished } from "../../homeserver/media/media-repo/journal.ts";
import type { Journal } from "../../journal/journal.ts";
import { runSteps } from "../../journal/run-steps.ts";
import { gzipProgram } from "../../pipeline/gzip-program.ts";
import type { Finding } from "../../report/finding.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import type { System } from "../../system/system.ts";
import { leftOfNewServer } from "./left.ts";
import { restoreFromPipe } from "../../transfer/from-pipe.ts";
import { sayingWhatIsLeft } from "../interrupted.ts";
import { sectionsOf } from "../sections.ts";
import { artifactOf, databaseStep } from "./database-step.ts";
import { databasesToRestore } from "./databases.ts";
import { isCustomFormat } from "./fill-with-pg-restore.ts";
import { assertOutsideBundle } from "./layouts/choose.ts";
import { masPlanOf } from "./mas.ts";
import {
  addedUploads,
  archiveFoldersStep,
  foreignArchiveFindings,
  foreignArchiveStep,
  type MediaAs,
  mediaAsArchiveFindings,
  mediaStep,
} from "./media-steps.ts";
import { deliverBundle, type OpenedBundle, readConfigArtifact } from "./opened-bundle.ts";
import { portedRows, type PortingByPython } from "./port-step.ts";
import { recordFolder } from "./record.ts";
import { configFindings, type RestoredServer, restoredServerOf } from "./restored-server.ts";
import { type Origin, planRestore, type RestoreSource, type RestoreTarget, runRestore } from "./run.ts";

/** What to restore, and where. Paths are absolute. */
export interface RestoreOrder {
  /** The folder of the bundle, or the folder that keeps a bundle from standard input until it is restored. */
  readonly bundle: string;
  readonly fromStandardInput: boolean;
  readonly key: KeySource;
  readonly target: RestoreTarget;
  /** Do not restore the authentication service. */
  readonly withoutMas: boolean;
  readonly mediaAs: MediaAs;
  /** Folders of archives by matrix-media-repo that are restored too. */
  readonly mediaArchives: readonly string[];
  /** Whether a number of pg_restore jobs was asked for. */
  readonly jobsGiven: boolean;
  readonly dryRun: boolean;
  /** Empty a partly restored database without asking. */
  readonly yes: boolean;
}

export type RestoreResult =
  | {
      readonly kind: "dry-run";
      readonly findings: readonly Finding[];
      /** Whether the layout has containers. */
      readonly compose: boolean;
    }
  | {
      readonly kind: "restored";
      readonly findings: readonly Finding[];
      readonly server: RestoredServer;
      readonly key: KeySource;
    };

/**
 * Restores a bundle into empty databases and two folders; the new server stays fenced. May be repeated after an
 * interruption. Throws `bad-usage`, `bundle-damaged`, `bundle-incomplete`, `bundle-in-use`, errors of the key, and what
 * `planRestore` and `runRestore` throw.
 */
export function restoreBundle(
  order: RestoreOrder,
  system: System,
  view: ProgressView,
): Promise<RestoreResult> {
  const { bundle, target } = order;
  assertOutsideBundle(target.layout, bundle);
  const restore = () => restoreFolder(order, system, view);
  return sayingWhatIsLeft(
    () =>
      order.fromStandardInput
        ? restoreFromPipe({ folder: bundle, owner: target.layout.owner }, system, view, restore)
        : restore(),
    () => leftOfNewServer(target.layout.configDir, system),
  );
}

async function restoreFolder(
  order: RestoreOrder,
  system: System,
  view: ProgressView,
): Promise<RestoreResult> {
  const { target } = order;
  const { files } = system;
  // Everything that can be checked is checked before the target is changed.
  const opened = await openBundle(order, system, view);
  const source = await sourceOf(order, opened);
  const planned = await planRestore(source, target, order, system, view);
  for (const path of order.mediaArchives) {
    await assertFinished(path, files);
    await assertHoldsUploads(archiveInFolder(path, files));
  }
  if (order.jobsGiven && !source.databases.some(isCustomFormat))
    view.note(
      "--jobs has no effect: the dump in this bundle is restored with one connection; see export --db-format",
    );
  const { rewritten, found } = configFindings(planned.plan);
  const findings = [...rewritten, ...originFindings(opened.bundle.manifest), ...found];
  if (order.dryRun) return { kind: "dry-run", findings, compose: target.layout.compose !== undefined };
  const fill = async (journal: Journal) => {
    const porting = planned.porting && {
      ...planned.porting,
      tell: (told: readonly Finding[]) => void findings.push(...told),
    };
    const origin = await fillTarget(order, { opened, source, journal, porting }, system, view);
    findings.push(...foreignArchiveFindings(order.mediaArchives, journal));
    if (order.mediaAs === "archive")
      findings.push(...mediaAsArchiveFindings(opened.inventory, target.layout.mediaDir));
    return origin;
  };
  await runRestore(planned, source, target, fill, system);
  return { kind: "restored", findings, server: restoredServerOf(source, target, planned), key: order.key };
}

async function openBundle(
  { bundle: folder, key }: RestoreOrder,
  system: System,
  view: ProgressView,
): Promise<OpenedBundle> {
  const { files, machine, programs } = system;
  const bundle = await Bundle.open(folder, files);
  const lock = await keysForOpening(bundle.manifest.recipients, key, system);
  assertUndamaged(await verifyParts(bundle, files, view));
  const inventory = await bundle.inventory(lock);
  assertUndamaged(verifyManifest(bundle, inventory));
  return { bundle, inventory, lock, unpack: (await gzipProgram(programs, machine.cores))?.decompress };
}

async function sourceOf(
  { target, withoutMas, mediaAs, mediaArchives }: RestoreOrder,
  opened: OpenedBundle,
): Promise<RestoreSource> {
  const { inventory } = opened;
  const { config, database, state, media, mas } = sectionsOf(inventory);
  const databases = databasesToRestore(target, {
    database,
    state,
    mas: withoutMas ? undefined : mas?.database,
  });
  return {
    id: inventory.id,
    serverName: config.serverName,
    databases,
    packed: await readConfigArtifact(opened),
    servesMedia: mediaAs === "archive" ? false : mediaArchives.length > 0 || undefined,
    databaseBytes: databaseBytes(inventory),
    mediaBytes: media.bytes,
    clearBytes: (one: DatabaseRestore) =>
      inventory.artifacts.find(({ name }) => name === encryptedName(artifactOf(one)))?.plain.size ?? 0,
    masFor: (where) => masPlanOf(opened, databases, where),
  };
}

interface FillContext {
  readonly opened: OpenedBundle;
  readonly source: RestoreSource;
  readonly journal: Journal;
  readonly porting: PortingByPython | undefined;
}

/** Restores the databases and the media. */
async function fillTarget(
  { target, mediaAs, mediaArchives }: RestoreOrder,
  { opened, source, journal, porting }: FillContext,
  system: System,
  view: ProgressView,
): Promise<Origin> {
  const { machine, signal } = system;
  const { database } = target;
  const { configDir, mediaDir: store, owner } = target.layout;
  const { database: section, media } = sectionsOf(opened.inventory);
  const delivery = deliverBundle(opened, view);
  const filling = { owner, journal, pgRestore: target.pgRestore, clearBytes: source.clearBytes, porting };
  const mediaTarget = { store, owner };
  const intoArchive = { opened, target: mediaTarget, database, journal };
  await runSteps(
    [
      ...source.databases.map((one) => databaseStep(delivery, one, filling, system, view)),
      // After the database, whose rows say which files must be there.
      mediaAs === "archive"
        ? archiveFoldersStep(opened, mediaTarget, system, view)
        : mediaStep(opened, { ...mediaTarget, kept: section.kept }, media, database, system, view),
      ...mediaArchives.map((path) => foreignArchiveStep(path, intoArchive, system, view)),
    ],
    { journal, progress: view, signal, now: () => machine.now() },
  );
  await opened.bundle.copyInventory(recordFolder(configDir));
  return {
    ...opened.bundle.manifest,
    addedUploads: await addedUploads(database, journal, system),
    ported: portedRows(journal),
  };
}
