import { join } from "node:path";
import { assertOneKeyKind } from "../../bundle/export-keys.ts";
import { LOCK } from "../../bundle/layout.ts";
import type { Manifest } from "../../bundle/manifest.ts";
import type { PassphraseSource } from "../../bundle/passphrase.ts";
import { readRecipients } from "../../bundle/recipients.ts";
import { packConfig } from "../../homeserver/config/export.ts";
import { assertDumpFormat, type DumpFormat } from "../../homeserver/database/dump/format.ts";
import { openSource } from "../../homeserver/database/source.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { ACCEPT_NO_MAS, assertMasFound } from "../../homeserver/mas/find.ts";
import { externalMediaFindings } from "../../homeserver/media/figures/size-findings.ts";
import { MEDIA_MISSING } from "../../homeserver/media/accept-ids.ts";
import type { MediaChoice } from "../../homeserver/media/pack/choice.ts";
import { openProviders } from "../../homeserver/media/providers/provider.ts";
import { uploadBytes } from "../../homeserver/media/store/rows.ts";
import type { GivenSource } from "../../homeserver/service/find/choose.ts";
import { packSigningKey } from "../../homeserver/signing-key/export.ts";
import { assertLockFree } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import type { Destination } from "../../transfer/remote.ts";
import type { Persistence } from "../../transfer/transfer-each.ts";
import { assertDiskSpace, assertSpaceForPrivateCopy } from "../disk-space.ts";
import { checkAccounts } from "./accounts.ts";
import { findAlreadySealed } from "./already-sealed.ts";
import { type ExportSource, findExportSource } from "../old-server/find-source.ts";
import { tryOutSchema } from "./schema-trial.ts";
import {
  assertGpgInstalled,
  assertNoOtherPrograms,
  assertRegularFiles,
  assertRowsRestorable,
  inspectSource,
  sourceFindings,
  type SourceState,
} from "./source.ts";
import { type GivenStop, planStop, type StopPlan } from "./stop-plan.ts";

/** The options of an export. */
export interface ExportOrder {
  /** Where the configuration is, as far as it was given. */
  readonly given: GivenSource;
  /** Folder of the bundle, absolute. */
  readonly folder: string;
  readonly rehearsal: boolean;
  readonly stop: GivenStop;
  /** Bytes; undefined for artifacts that are whole. */
  readonly partSize: number | undefined;
  readonly passphrase: PassphraseSource;
  /** Files or fingerprints. */
  readonly recipients: readonly string[];
  readonly accepted: readonly string[];
  /** Faults of the source to be mended, by name. */
  readonly fixes: readonly string[];
  readonly media: MediaChoice;
  readonly dumpFormat: DumpFormat;
  /** A server where the schema is tried in a throw-away database. */
  readonly tryOn: PostgresAddress | undefined;
  readonly dryRun: boolean;
  /** Where parts are sent to as they are made; undefined when the bundle stays here. */
  readonly sendTo: SendTo | undefined;
}

/** A remote for the parts of an export. */
export interface SendTo {
  readonly destination: Destination;
  readonly persistence: Persistence;
}

/** What was found out before anything is changed or written. */
export interface ExportLook {
  readonly kind: "to-pack";
  readonly order: ExportOrder;
  readonly found: ExportSource;
  readonly source: SourceState;
  /** Undefined for a rehearsal: nothing is stopped. */
  readonly plan: StopPlan | undefined;
  /** Fingerprints. */
  readonly recipients: readonly string[];
  readonly findings: readonly Finding[];
}

/** An earlier run has sealed this bundle for its recipients, and it is intact. */
export interface AlreadySealed {
  readonly kind: "already-sealed";
  readonly manifest: Manifest;
  readonly findings: readonly Finding[];
}

/**
 * Checks everything that an export needs, so that it fails while the server still runs. Changes nothing. Throws what
 * the checks throw.
 */
export async function lookBeforeExport(
  order: ExportOrder,
  system: System,
  progress: Progress,
): Promise<ExportLook | AlreadySealed> {
  const { files, machine } = system;
  const { folder, rehearsal, accepted } = order;
  // Two runs would take each other's connections to the database for those of another program.
  if (!order.dryRun) await assertLockFree(join(folder, LOCK), files, machine);
  assertOneKeyKind({ source: order.passphrase, recipients: order.recipients });
  const { fingerprints: recipients, findings: keys } = await readRecipients(order.recipients, system);
  const given = { ...order.given, withoutMas: accepted.includes(ACCEPT_NO_MAS) };
  const found = await findExportSource(given, folder, system);
  const { homeserver } = found;
  await assertGpgInstalled(system);
  assertMasFound(homeserver, accepted);
  const accounts = checkAccounts(homeserver, accepted);
  const source = await inspectSource(homeserver, order.media, accepted, system);
  await assertDumpFormat(source.database, order.dumpFormat, system.programs);
  const wanted = {
    folder,
    subject: homeserver.serverName,
    rehearsal,
    recipients,
    partsAreElsewhere: order.sendTo !== undefined,
  };
  const again = await findAlreadySealed(wanted, source.marker, files, progress);
  if (again) return { kind: "already-sealed", manifest: again.manifest, findings: [...keys, again.finding] };
  await assertRowsRestorable(source, system, progress);
  if (!rehearsal) await assertNoOtherPrograms(source, system);
  const plan = rehearsal ? undefined : await planStop(order.stop, found, source, folder, system);
  assertRegularFiles(source.media, homeserver.mediaStore, accepted);
  // Media is not compressed: this much is needed at least.
  const times = Number(order.media.backup) + Number(order.media.archive);
  const bytes = accepted.includes(MEDIA_MISSING)
    ? source.media.bytes
    : Math.max(source.media.bytes, await bytesElsewhereToo(homeserver, source, system));
  // What an earlier run packed is there already; it is removed before it is packed again.
  const packed = await bytesOfMedia(folder, files);
  // Of parts that leave as they are made, two are here at a time.
  const largest = order.sendTo ? 2 * (order.partSize ?? Infinity) : Infinity;
  const needed = Math.max(0, Math.min(times * bytes, largest) - packed);
  await assertDiskSpace(folder, needed, order.sendTo ? "two parts" : "the media", "--out", files);
  const tried = await tryOutSchema(order, source, system, progress);
  if (rehearsal && source.alive.length > 0)
    await assertSpaceForPrivateCopy(folder, source.database, "--out", files);
  return {
    kind: "to-pack",
    order,
    found,
    source,
    plan,
    recipients,
    findings: [
      ...keys,
      ...found.findings,
      ...accounts,
      ...tried,
      ...externalMediaFindings(homeserver, NOTHING_KNOWN),
    ],
  };
}

/** Of the media, before its rows are compared with its files. */
const NOTHING_KNOWN = { compared: null, kinds: null, mediaRepo: null, packed: null };

/** Bytes of media artifacts in a bundle's folder, complete or not. */
async function bytesOfMedia(folder: string, files: Files): Promise<number> {
  if ((await files.stat(folder))?.kind !== "folder") return 0;
  let bytes = 0;
  for (const name of await files.list(folder)) {
    if (!/^\.?customer_(backup_)?media_export/.test(name)) continue;
    bytes += (await files.lstat(join(folder, name)))?.size ?? 0;
  }
  return bytes;
}

/**
 * The findings of a dry run. Also reads what is otherwise read while packing, so that errors in it are found now. Throws
 * what reading it throws.
 */
export async function dryRunFindings(
  { order, found: { homeserver }, source, findings }: ExportLook,
  { files, machine }: System,
): Promise<Finding[]> {
  await packConfig(homeserver, files, machine.random(32));
  await packSigningKey(homeserver, files);
  return [...findings, ...sourceFindings(homeserver, source, order.rehearsal)];
}

/** Bytes of all uploads by their rows where a storage provider may hold some of them; otherwise 0. */
async function bytesElsewhereToo(
  homeserver: Homeserver,
  { database }: SourceState,
  system: System,
): Promise<number> {
  const providers = openProviders(homeserver, system);
  for (const provider of providers) provider.close();
  if (providers.length === 0) return 0;
  const session = await openSource(database, system);
  try {
    return await uploadBytes(session);
  } finally {
    await session.close();
  }
}
