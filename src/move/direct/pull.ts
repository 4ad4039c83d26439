import { isDeepStrictEqual } from "node:util";
import { Inventory } from "../../bundle/inventory.ts";
import { encryptedName } from "../../bundle/layout.ts";
import { MigrationError } from "../../errors.ts";
import { CONFIG_ARTIFACT, unpackConfig } from "../../homeserver/config/artifact.ts";
import { describeComparison, describeTables } from "../../homeserver/database/follow/compare/gate.ts";
import { type DatabaseRestore, describeTarget } from "../../homeserver/database/target.ts";
import { MEDIA_SINCE_ARTIFACT } from "../../homeserver/media/export-since.ts";
import { MEDIA_ARTIFACT } from "../../homeserver/media/export.ts";
import { listExistingMedia } from "../../homeserver/media/pack/existing.ts";
import { restoreMedia } from "../../homeserver/media/restore.ts";
import type { Journal } from "../../journal/journal.ts";
import { runSteps } from "../../journal/run-steps.ts";
import type { Channel } from "../../pipeline/channel.ts";
import { inTurn } from "../../pipeline/in-turn.ts";
import { type Bytes, drain } from "../../pipeline/transform.ts";
import { describeWarnings, type Finding } from "../../report/finding.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import type { System } from "../../system/system.ts";
import { sayingWhatIsLeft } from "../interrupted.ts";
import { artifactOf, databaseStep, reasonNotRestored, sectionName } from "../restore/database-step.ts";
import { databasesToRestore, type SourceDatabases } from "../restore/databases.ts";
import { toAskAgain } from "../old-server/ask-state.ts";
import { recordFolder } from "../restore/record.ts";
import { configFindings, type RestoredServer, restoredServerOf } from "../restore/restored-server.ts";
import { portedRows, type PortingByPython } from "../restore/port-step.ts";
import { planRestore, type RestoreSource, runRestore } from "../restore/run.ts";
import { databaseSections } from "../sections.ts";
import { withChannel } from "../connect.ts";
import { confirmTransfer, describeTransfer } from "./consent.ts";
import { Cutting } from "./followed/cutting.ts";
import type { FollowedPull } from "./followed/order.ts";
import { type ComparedBeforehand, withFollowed } from "./followed/pull-followed.ts";
import { INVENTORY_PASSPHRASE, InventoryCopy } from "./inventory-copy.ts";
import type { PullOrder } from "./order.ts";
import {
  assertSameProtocol,
  type NewHostMessages,
  type OldHostMessages,
  PROTOCOL_VERSION,
} from "./protocol.ts";
import { type Handlers, Receiver } from "./receiver.ts";

export type PullResult =
  /** A rehearsal of a copy that follows. */
  | ComparedBeforehand
  | {
      readonly kind: "dry-run";
      readonly findings: readonly Finding[];
      /** What would be done on both hosts, in words, a line each. */
      readonly steps: readonly string[];
      /** Whether the layout has containers. */
      readonly compose: boolean;
    }
  | {
      readonly kind: "restored";
      readonly findings: readonly Finding[];
      readonly server: RestoredServer;
    };

/**
 * Restores a homeserver by direct transfer: checks both hosts, asks once, then receives media while the old server runs,
 * has it stopped and fenced there, and receives the database and newer media. What an earlier run transferred is not
 * sent again. Throws what a restore and an export throw, and `connection-failed`.
 */
export function pullHomeserver(order: PullOrder, system: System, view: ProgressView): Promise<PullResult> {
  const pull = (followed?: FollowedPull) =>
    withChannel(order.sender, (channel) => receiveAll(order, channel, system, view, followed), system);
  return sayingWhatIsLeft<PullResult>(
    () => (order.followed ? withFollowed(order, pull, system, view) : pull()),
    () => ({
      state: "the new server is not open; if the old one was stopped already, it stays stopped",
      hint: `run the same command again to continue, or see on the old host: synlift status --out synlift-move (--export-folder names another); synlift rollback starts it again${order.followed ? ", and with --keep-following the copy follows on, unless it was promoted already" : ""}`,
    }),
  );
}

async function receiveAll(
  order: PullOrder,
  channel: Channel,
  system: System,
  view: ProgressView,
  followed: FollowedPull | undefined,
): Promise<PullResult> {
  const { target, rehearsal, dryRun, compress } = order;
  const { configDir: folder, mediaDir: store, compose } = target.layout;
  const receiver = new Receiver(channel, view);
  assertSameProtocol((await receiver.expect("hello")).version, "on the old host");
  const kept = await InventoryCopy.open(recordFolder(folder), rehearsal, system);
  await channel.sendMessage({
    type: "begin",
    version: PROTOCOL_VERSION,
    rehearsal,
    dryRun,
    compress,
    followed: followed !== undefined,
    inventory: kept.inventory.content,
  } satisfies NewHostMessages["begin"]);
  const old = await receiver.expect("source");
  const databases = databasesToRestore(target, databasesOf(old, kept.inventory));
  const { packed, counted } = await receiveConfig(receiver, channel);
  const source: RestoreSource = {
    id: kept.inventory.id,
    serverName: old.subject,
    databases,
    packed,
    databaseBytes: old.databaseBytes,
    mediaBytes: Math.max(0, old.mediaBytes - (followed?.media?.bytes ?? 0)),
    follows: followed !== undefined,
  };
  const planned = await planRestore(source, target, order, system, view);
  const { rewritten, found } = configFindings(planned.plan);
  if (dryRun)
    return {
      kind: "dry-run",
      findings: [...rewritten, ...findingsFrom(old), ...found],
      steps: describeTransfer(order, old, source, followed),
      compose: compose !== undefined,
    };
  for (const said of describeWarnings(findingsFrom(old))) view.note(`on the old host: ${said}`);
  await confirmTransfer(order, old, source, followed, system);
  const ended: Finding[] = [];
  const fill = async (journal: Journal) => {
    await kept.keep(counted);
    await channel.sendMessage({ type: "go" } satisfies NewHostMessages["go"]);
    const { isListed = true, without } = followed?.media ?? {};
    const there = isListed ? listExistingMedia(store, counted.salt, system.files, { without }) : inTurn([]);
    await channel.sendStream(there);
    const porting = planned.porting && {
      ...planned.porting,
      tell: (told: readonly Finding[]) => void ended.push(...told),
    };
    const cutting = new Cutting(followed);
    const fenced = cutting.begin.bind(cutting);
    const handlers = handlersFor(
      { order, databases, kept, journal, porting, fenced, followed },
      system,
      view,
    );
    const done = await receiver.serve(handlers).finally(() => cutting.settled());
    ended.push(...findingsFrom(done));
    if (followed) ended.push(...(await keepSections(await cutting.sections(), kept)));
    return {
      rehearsal,
      outageSince: done.outageSince,
      passphrase: INVENTORY_PASSPHRASE,
      oldHost: oldHostOf(order, followed, old.folder),
      ported: portedRows(journal),
    };
  };
  await runRestore(planned, source, target, fill, system);
  await channel.sendMessage({ type: "restored" } satisfies NewHostMessages["restored"]);
  return {
    kind: "restored",
    findings: [...rewritten, ...findingsFrom(old), ...ended, ...found],
    server: restoredServerOf(source, target, planned),
  };
}

/** For `open`, in the folder that the old host itself has named. */
function oldHostOf({ sender }: PullOrder, followed: FollowedPull | undefined, folder: string) {
  const way = sender.oldHost ?? followed?.oldHost;
  return (way && toAskAgain(way, folder)) ?? null;
}

const findingsFrom = ({ findings }: OldHostMessages["source"] | OldHostMessages["done"]) =>
  findings as Finding[];

/** What is known of the databases before they are received: from an earlier run, else from the old host's first look. */
function databasesOf(
  { engine, serverVersion, state }: OldHostMessages["source"],
  inventory: Inventory,
): SourceDatabases {
  const known = databaseSections(inventory);
  return {
    database: known.database ?? { engine, serverVersion },
    state: state && (known.state ?? { engine: "postgres", serverVersion: state.serverVersion }),
    // The old host refuses to send one, unless it is moved by other means.
    mas: undefined,
  };
}

async function receiveConfig(
  receiver: Receiver,
  channel: Channel,
): Promise<{ packed: ReadonlyMap<string, Uint8Array>; counted: Inventory }> {
  const artifact = await receiver.expect("artifact");
  if (artifact.name !== CONFIG_ARTIFACT) throw unknownArtifact(artifact.name);
  const packed = await unpackConfig(receiver.content(artifact));
  const { content } = await receiver.expect("inventory");
  await channel.sendMessage({ type: "kept" } satisfies NewHostMessages["kept"]);
  return { packed, counted: Inventory.parse(content, "what the old host counted") };
}

interface FillContext {
  readonly order: PullOrder;
  readonly databases: readonly DatabaseRestore[];
  readonly kept: InventoryCopy;
  readonly journal: Journal;
  readonly porting: PortingByPython | undefined;
  readonly fenced: Handlers["fenced"];
  readonly followed: FollowedPull | undefined;
}

/** What was counted of the databases, beside what the old host has told. */
async function keepSections(
  sections: Awaited<ReturnType<FollowedPull["cut"]>>,
  kept: InventoryCopy,
): Promise<Finding[]> {
  const { inventory } = kept;
  const found: Finding[] = [];
  for (const store of ["main", "state"] as const) {
    const section = sections[store];
    if (!section) continue;
    inventory.setSection(sectionName(store), section);
    if (section.followed)
      found.push({
        id: "database-followed",
        level: "ok",
        sentence: describeComparison(section.followed),
        evidence: describeTables(section.followed),
      });
  }
  await kept.keep(inventory);
  return found;
}

function handlersFor(
  { order, databases, kept, journal, porting, fenced, followed }: FillContext,
  system: System,
  view: ProgressView,
): Handlers {
  const { files, machine, signal } = system;
  const { mediaDir: store, owner } = order.target.layout;
  const { id } = kept.inventory;
  const fillDatabase = async (
    restore: DatabaseRestore,
    content: Bytes,
    counted: () => Promise<Inventory>,
  ): Promise<void> => {
    if ((await reasonNotRestored(id, restore, journal, system)) === undefined) {
      await assertSameSection(restore, kept, content, counted);
      return;
    }
    // The whole dump is received, and its counts are saved, before the COMMIT.
    const whole = async function* (): Bytes {
      yield* content;
      await kept.keep(await counted());
    };
    const step = databaseStep({ id, content: whole }, restore, { owner, journal, porting }, system, view);
    await journal.removeStep(step.id);
    await runSteps([step], { journal, progress: view, signal, now: () => machine.now() });
  };
  return {
    async artifact({ name }, content, counted) {
      const restore = databases.find((one) => artifactOf(one) === name);
      if (restore) await fillDatabase(restore, content, counted);
      else if (name === MEDIA_ARTIFACT || name === MEDIA_SINCE_ARTIFACT) {
        const receive = async (note?: Set<string>) => {
          // Where both have a file, the later one wins; what `follow` has copied came before either.
          const replace = name === MEDIA_SINCE_ARTIFACT || followed?.media !== undefined;
          const begins = followed?.begins;
          await restoreMedia(content, { store, owner }, files, { replace, begins, note });
          await files.syncAll(store);
        };
        if (followed && name === MEDIA_SINCE_ARTIFACT) await followed.newestMedia(receive);
        else await receive();
        // The old host waits for the answer: its server runs until then.
        if (name === MEDIA_ARTIFACT) await followed?.mediaCame();
      } else throw unknownArtifact(name);
    },
    fenced,
    keep: (inventory) => kept.keep(inventory),
    async reasonMissing(name) {
      const restore = databases.find((one) => encryptedName(artifactOf(one)) === name);
      if (!restore) return "files that the new host already has are not sent again";
      return reasonNotRestored(id, restore, journal, system);
    },
  };
}

/** It was restored by a run that did not record it: this dump must be the same, unless the old server has run since. */
async function assertSameSection(
  { store, target }: DatabaseRestore,
  kept: InventoryCopy,
  content: Bytes,
  counted: () => Promise<Inventory>,
): Promise<void> {
  const before = kept.inventory.section(sectionName(store));
  await drain(content);
  const now = await counted();
  // Otherwise the earlier counts stay saved, so that the next run compares with the same.
  if (isDeepStrictEqual(now.section(sectionName(store)), before)) return kept.keep(now);
  throw new MigrationError(
    "target-not-empty",
    `the old server has written since its database was received: ${describeTarget(target)} on this host does not have these changes`,
    { hint: "drop that database, and run the same command again: no server has used it yet" },
  );
}

const unknownArtifact = (name: string) =>
  new MigrationError("connection-failed", `the old host sent the unknown artifact ${JSON.stringify(name)}`, {
    hint: "use the same version of synlift on both hosts, and run the same command again",
  });
