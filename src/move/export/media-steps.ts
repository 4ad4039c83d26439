import { encryptedName } from "../../bundle/layout.ts";
import { openSource } from "../../homeserver/database/source.ts";
import { MEDIA_MISSING, MEDIA_UNREADABLE } from "../../homeserver/media/accept-ids.ts";
import { exportArchives, packedFirst } from "../../homeserver/media/archive/export.ts";
import { dropArchives } from "../../homeserver/media/archive/finished.ts";
import { ARCHIVE_STEP } from "../../homeserver/media/archive/names.ts";
import type { ArchiveExport } from "../../homeserver/media/archive/order.ts";
import { ARCHIVE_SIZES } from "../../homeserver/media/archive/write.ts";
import { compareMedia } from "../../homeserver/media/compare/compare.ts";
import {
  exportMediaSince,
  MEDIA_SINCE_ARTIFACT,
  MEDIA_SINCE_STEP,
} from "../../homeserver/media/export-since.ts";
import {
  assertUploadsPresent,
  assertUploadsUnchanged,
  exportMedia,
  MEDIA_ARTIFACT,
  MEDIA_STEP,
  type MediaAccess,
  packedList,
  type PackedFirst,
} from "../../homeserver/media/export.ts";
import { type LastLook, lookForTheLastTime } from "../../homeserver/media/pack/last-look.ts";
import { type LookBefore, lookBeforehand, lookSince } from "../../homeserver/media/pack/look-since.ts";
import { SharedReads } from "../../homeserver/media/pack/shared-reads.ts";
import { assertReadableNow } from "../../homeserver/media/pack/unreadable.ts";
import { openProviders } from "../../homeserver/media/providers/provider.ts";
import type { RowsPerDay } from "../../homeserver/media/providers/row-range.ts";
import type { StoreState } from "../../homeserver/media/store/store.ts";
import { isMapping } from "../../homeserver/settings.ts";
import type { Step } from "../../journal/step.ts";
import { commonStepOptions, type ExportContext, type ExportStep } from "./context.ts";
import type { SourceState } from "./source.ts";
import { mediaScopeOf } from "./unreachable-servers.ts";

/** Removes media that an earlier run packed and that is no longer selected. */
export function choiceStep({ media, workspace, folder, system }: ExportContext): Step {
  const { journal, inventory, writer } = workspace;
  return {
    id: "export/media-choice",
    label: "choice of media",
    inputs: { backup: String(media.backup), archive: String(media.archive) },
    findFault: () => Promise.resolve(undefined),
    async run() {
      if (!media.archive) {
        await dropArchives({ journal, inventory, folder, files: system.files, into: writer });
        for (const id of Object.values(ARCHIVE_STEP)) await journal.removeStep(id);
      }
      if (!media.backup) {
        for (const name of [MEDIA_ARTIFACT, MEDIA_SINCE_ARTIFACT]) {
          await writer.remove(name);
          inventory.dropArtifact(encryptedName(name));
        }
        for (const id of [MEDIA_STEP, MEDIA_SINCE_STEP]) await journal.removeStep(id);
      }
      await workspace.save();
      return {};
    },
  };
}

/** The first pass over the media: all of it, or, while the server runs, all that will not change any more. */
export function mediaSteps(packing: ExportContext, source: SourceState, serving: boolean): ExportStep[] {
  const { backup, archive } = packing.media;
  if (!backup && !archive) return [];
  const shared = new SharedReads();
  const media = { ...mediaFor(packing, source), shared, serving };
  const before = async () => {
    assertUploadsPresent(await media.compare(), media);
  };
  const stored = exportMedia({ ...media, total: source.media.bytes });
  const archived = exportArchives({
    ...archiveFor(packing, media),
    pass: "first",
    ...(backup ? {} : { before }),
  });
  return [besideEachOther(packing, stored, archived, shared), { step: unchangedStep(packing, media) }];
}

function unchangedStep(packing: ExportContext, media: ReturnType<typeof mediaFor>): Step {
  return {
    id: "export/media-hashes",
    label: "check the packed media",
    // Read only once the first archive exists.
    get inputs() {
      const accepted = media.accepted ? "other files" : "nothing";
      const unreadable = media.unreadableAccepted ? { unreadable: "accepted" } : {};
      return { ...packing.inputs, first: readFirstPass(packing).sha256, accepted, ...unreadable };
    },
    findFault: () => Promise.resolve(undefined),
    async run() {
      const first = readFirstPass(packing);
      assertUploadsUnchanged(first, media);
      await assertReadableNow(first.unreadable, media);
      return {};
    },
  };
}

/** A look at the store after the first pass, while the server runs, for `mediaSinceStep`. See `lookBeforehand`. */
export function lookAtMediaBeforehand(
  packing: ExportContext,
  source: SourceState,
): Promise<LookBefore | undefined> {
  const media = mediaFor(packing, source);
  return media.withAccess((reach) =>
    lookBeforehand({ ...media, ...reach, ...listsOf(packing) }, media.machine),
  );
}

/**
 * Media added since the first pass, and the inventory section on all media. The store is walked once, right before, or looked at
 * for what came since `before`; `tell` is given its state.
 */
export function mediaSinceStep(
  packing: ExportContext,
  source: SourceState,
  { tell = () => undefined, before }: MediaSinceOptions = {},
): ExportStep {
  const shared = new SharedReads();
  const media = { ...mediaFor(packing, source), shared, serving: false };
  const first = readFirstPass(packing);
  let last: LastLook | undefined;
  const looked = () => {
    if (!last) throw new Error("the store is looked at before the step is run");
    return last;
  };
  const prepare = async () => {
    last = await media.withAccess((reach) => {
      const from = { ...media, ...reach, ...listsOf(packing) };
      return before ? lookSince(before, from) : lookForTheLastTime(from);
    });
    tell(last.state);
  };
  const compare = () => Promise.resolve(looked().compared);
  const stored = exportMediaSince({
    ...media,
    compare,
    first,
    packs: packing.media.backup,
    get state() {
      return looked().state;
    },
    get fresh() {
      return looked().forBackup;
    },
  });
  const ofArchives = readFirstPass(packing, ARCHIVE_STEP.first);
  const archive = archiveFor(packing, media);
  const archived = exportArchives({
    ...archive,
    compare,
    pass: "since",
    first: ofArchives,
    get inputs() {
      return {
        ...archive.inputs,
        state: looked().state.digest,
        marker: source.marker,
        first: ofArchives.sha256,
        accepted: media.accepted ? "missing files" : "nothing",
      };
    },
    get fresh() {
      return looked().forArchive;
    },
  });
  const step = packing.media.archive
    ? { step: stored, concurrent: { step: archived, shared } }
    : alone(stored, shared, "archive");
  return { ...step, prepare };
}

interface MediaSinceOptions {
  readonly tell?: ((state: StoreState) => void) | undefined;
  readonly before?: LookBefore | undefined;
}

/** What is packed already, of each kind that is made. */
function listsOf({ media, workspace, folder, existingMedia }: ExportContext) {
  const { inventory } = workspace;
  const backup = [packedList({ folder, inventory }), ...(existingMedia ? [existingMedia] : [])];
  return {
    backup: media.backup ? backup : undefined,
    archive: media.archive ? [packedFirst({ folder, inventory })] : undefined,
  };
}

function besideEachOther(
  { media }: ExportContext,
  stored: Step,
  archived: Step,
  shared: SharedReads,
): ExportStep {
  if (!media.archive) return alone(stored, shared, "archive");
  if (!media.backup) return alone(archived, shared, "backup");
  return { step: stored, concurrent: { step: archived, shared } };
}

function alone(step: Step, shared: SharedReads, missing: "archive" | "backup"): ExportStep {
  shared.leave(missing);
  return { step };
}

/** What the journal says of the first archive of the media, whichever is made. */
function readFirstPass(
  { workspace, media }: ExportContext,
  step: string = media.backup ? MEDIA_STEP : ARCHIVE_STEP.first,
): PackedFirst {
  const outcome: Readonly<Record<string, unknown>> = workspace.journal.steps[step]?.outcome ?? {};
  const { sha256, serving, began, rows, changed, changedCount, unreadable } = outcome;
  return {
    sha256: String(sha256),
    settled: serving !== true,
    began: Number(began ?? 0),
    rows: isMapping(rows) ? (rows as RowsPerDay) : undefined,
    changed: Array.isArray(changed) ? changed.map(String) : [],
    changedCount: Number(changedCount ?? 0),
    unreadable: Array.isArray(unreadable) ? unreadable.map(String) : [],
  };
}

function archiveFor(
  { homeserver, workspace, media: choice, progress, system }: ExportContext,
  media: ReturnType<typeof mediaFor> & Pick<ArchiveExport, "shared" | "serving">,
): Omit<ArchiveExport, "pass"> {
  return {
    ...media,
    accepted: media.accepted || media.unreadableAccepted,
    serverName: homeserver.serverName,
    sizes: { ...ARCHIVE_SIZES, archive: choice.archiveSize },
    journal: workspace.journal,
    progress,
    machine: system.machine,
  };
}

function mediaFor(packing: ExportContext, { database }: SourceState) {
  const { homeserver, folder, accepted, existingMedia, system } = packing;
  const { files, machine, signal } = system;
  const store = homeserver.mediaStore;
  const unreadableAccepted = accepted.includes(MEDIA_UNREADABLE);
  const withAccess = async <T>(act: (reach: MediaAccess) => Promise<T>): Promise<T> => {
    const providers = openProviders(homeserver, system);
    const session = await openSource(database, system);
    try {
      return await act({ session, providers });
    } finally {
      for (const provider of providers) provider.close();
      await session.close();
    }
  };
  return {
    ...commonStepOptions(packing),
    files,
    machine,
    signal,
    folder,
    store,
    withAccess,
    alreadyReceived: existingMedia,
    kept: mediaScopeOf(packing),
    accepted: accepted.includes(MEDIA_MISSING),
    unreadableAccepted,
    compare: () =>
      withAccess(({ session, providers }) =>
        compareMedia(session, store, files, {
          hashes: false,
          tell: () => undefined,
          providers,
          signal,
          closed: unreadableAccepted,
        }),
      ),
  };
}
