import { inTurn } from "../../../pipeline/in-turn.ts";
import { join } from "node:path";
import { packedListOf } from "../../../bundle/layout.ts";
import type { Inputs, Outcome, Step } from "../../../journal/step.ts";
import { packTar } from "../../../pipeline/tar.ts";
import type { QuerySession } from "../../../system/query.ts";
import { type MediaAccess, settledTest } from "../export.ts";
import { isNothingNew } from "../pack/last-look.ts";
import { filesNotListed, PackedList, type SavedList } from "../pack/packed-list.ts";
import type { WholeFile } from "../pack/shared-reads.ts";
import { readSmallFiles } from "../pack/small-reads.ts";
import { ALL_ROWS, countRowsPerDay, rowsSince, type RowsPerDay } from "../providers/row-range.ts";
import type { Differing } from "../section.ts";
import { BoundedList } from "../store/bounded-list.ts";
import { fileHash } from "../store/file-hash.ts";
import { type StoredFile, walkStore } from "../store/store.ts";
import { findFinished, findListFault, labelOf, removeArchivesFrom, stepOf } from "./finished.ts";
import { PeekableItems } from "./items.ts";
import { type FoundUpload, providedUploads, storedUploads, type UploadListing } from "./listing.ts";
import {
  ARCHIVE_STEP,
  archiveArtifact,
  archiveFolder,
  archiveNumber,
  type ArchivePass,
  isFirst,
} from "./names.ts";
import type { ArchiveExport } from "./order.ts";
import { notePacked, type PackedArchive, packedArchives } from "./section.ts";
import { NAMED, UnreadUploads } from "./unread.ts";
import { archiveEntries, type ArchiveSizes } from "./write.ts";

/**
 * Packs the uploads as archives for matrix-media-repo, one after another until all are packed: in the first pass all
 * that are there, in the second what the first has not, and then no archive when there is nothing. Each archive is a
 * step of its own in the journal, so that an interruption costs one. Throws `media-missing` in the second pass for what
 * cannot be read.
 */
export function exportArchives(from: ArchiveExport): Step {
  const { pass } = from;
  const id = ARCHIVE_STEP[pass];
  const inputsNow = () => ({
    ...from.inputs,
    store: from.store,
    server: from.serverName,
    archive: sizesOf(from.sizes),
  });
  return {
    id,
    label: pass === "first" ? "media archives" : "media archives of what came since",
    get inputs() {
      return inputsNow();
    },
    async findFault(outcome) {
      const why = await from.findFault(outcome);
      if (why !== undefined) return why;
      for (let number = 1; number <= Number(outcome["archives"]); number += 1) {
        const entry = from.journal.steps[stepOf(id, number)];
        const fault = entry
          ? await findListFault(entry.outcome, from)
          : `archive ${number} is not in the journal`;
        if (fault !== undefined) return fault;
      }
      return undefined;
    },
    async run() {
      try {
        return await packAll(id, inputsNow(), from);
      } finally {
        from.shared.leave("archive");
      }
    },
  };
}

const sizesOf = ({ archive, records, part, inPart }: ArchiveSizes) =>
  [archive, records, part, inPart].join(" ");

async function packAll(id: string, inputs: Inputs, from: ArchiveExport): Promise<Outcome> {
  const { pass, machine, serving } = from;
  await from.before?.();
  const done = await findFinished(id, inputs, from);
  await removeArchivesFrom(done.length + 1, id, from);
  const noticed = new UnreadUploads();
  const began = machine.now();
  let rows: RowsPerDay = {};
  const { fresh } = from;
  const isNothing = done.length === 0 && fresh !== undefined && isNothingNew(fresh);
  const packRest = async (reach: MediaAccess) => {
    rows = await countRowsPerDay(reach);
    const items = new PeekableItems(
      notPacked(done.length, reach, from, settledTest(serving, began, machine)),
    );
    const total = await bytesOfUploads(reach.session);
    try {
      for (
        let number = done.length + 1;
        (await items.peek()) || (number === 1 && pass === "first");
        number += 1
      ) {
        const outcome = await packOne(number, items, { from, total, noticed, began, rows });
        await from.journal.record(stepOf(id, number), inputs, outcome, machine.now());
        done.push(outcome);
      }
    } finally {
      await items.end();
    }
  };
  if (!isNothing) await from.withAccess(packRest);
  if (pass === "since" || noticed.isLost) noticed.assertAllRead(from);
  const changed = done.flatMap((outcome) => (outcome["changed"] ?? []) as string[]);
  return {
    archives: done.length,
    parts: done.flatMap(({ parts }) => parts as unknown[]),
    sha256: done.map(({ sha256 }) => String(sha256)).join(" "),
    // Those that only moved are in the second pass; the others must be known of while the server serves.
    unread: noticed.unread,
    unreadable: noticed.files,
    // As the backup says it: when it was begun, and what was found to be another file.
    serving,
    began: Number(done[0]?.["began"] ?? began),
    rows: done[0]?.["rows"] ?? rows,
    changed: changed.slice(0, NAMED),
    changedCount: done.reduce((sum, outcome) => sum + Number(outcome["changedCount"]), 0),
  };
}

/** What no archive holds yet, in the order in which a backup has it too. */
async function* notPacked(
  finished: number,
  { session, providers }: MediaAccess,
  from: ArchiveExport,
  isSettled: UploadListing["isSettled"],
): AsyncIterable<FoundUpload> {
  const { pass, inventory, files, store, first } = from;
  const packed = packedArchives(inventory).filter(({ folder }) => pass === "since" || isFirst(folder));
  const before = inOrder(packed).filter(({ folder }) => isFirst(folder) || archiveNumber(folder) <= finished);
  const listing: UploadListing = {
    session,
    store,
    files,
    signal: from.signal,
    isSettled,
    providers,
    read: (name, alone, elsewhere) => from.shared.archive(name, alone, elsewhere),
  };
  yield* storedUploads(walkOf(before, from), listing);
  const own = before.filter(({ folder }) => isFirst(folder) === (pass === "first"));
  const after = own.reduce(
    (last, { lastElsewhere = "" }) => (lastElsewhere > last ? lastElsewhere : last),
    "",
  );
  const range = first === undefined ? ALL_ROWS : await rowsSince(first, { session, providers });
  yield* providedUploads(listing, { after, range });
}

/** The files that these archives do not hold. The lists of one pass go on one after another; those of two do not. */
function walkOf(packed: readonly PackedArchive[], from: ArchiveExport): AsyncIterable<StoredFile> {
  const { files, store, fresh } = from;
  if (fresh?.all && packed.every(({ folder }) => isFirst(folder))) return inTurn(fresh.all);
  const walked = walkStore(store, files, {
    closed: from.unreadableAccepted ? () => undefined : undefined,
    threads: 1,
  });
  const first = filesNotListed(walked, listsOf(packed, "first", from), files);
  const since = listsOf(packed, "since", from);
  return since.path.length === 0 ? first : filesNotListed(first, since, files);
}

/** The lists of what the archives of a pass hold, as one. */
const listsOf = (
  packed: readonly PackedArchive[],
  pass: ArchivePass,
  from: Pick<ArchiveExport, "folder" | "inventory">,
) => ({
  path: inOrder(packed)
    .filter(({ folder }) => isFirst(folder) === (pass === "first"))
    .map(({ folder }) => join(from.folder, packedListOf(folder))),
  key: from.inventory.salt,
});

/** What the archives of the first pass hold. */
export const packedFirst = (from: Pick<ArchiveExport, "folder" | "inventory">): SavedList =>
  listsOf(packedArchives(from.inventory), "first", from);

const inOrder = (packed: readonly PackedArchive[]) =>
  packed.toSorted(
    (a, b) =>
      Number(isFirst(b.folder)) - Number(isFirst(a.folder)) ||
      archiveNumber(a.folder) - archiveNumber(b.folder),
  );

async function packOne(
  number: number,
  items: PeekableItems<FoundUpload>,
  {
    from,
    total,
    noticed,
    began,
    rows,
  }: { from: ArchiveExport; total: number; noticed: UnreadUploads; began: number; rows: RowsPerDay },
): Promise<Outcome> {
  const { pass, files, inventory, machine, sizes } = from;
  const folder = archiveFolder(pass, number);
  const listPath = join(from.folder, packedListOf(folder));
  const list = new PackedList(inventory.salt);
  const counted = { records: 0, bytes: 0, quarantined: [] as string[] };
  const other = new BoundedList(NAMED);
  const unread = new BoundedList(NAMED);
  let lastElsewhere: string | undefined;
  const written = await files.begin(listPath);
  try {
    const entries = archiveEntries(
      items,
      {
        head: {
          entity: from.serverName,
          createdTs: machine.now(),
          missing: number === 1 ? await missingUploads(from) : [],
        },
        folder,
        sizes,
      },
      {
        async packed({ file, size, upload }, record) {
          if (file) {
            list.add(file);
            if (list.isFull) await written.write(list.take());
          } else lastElsewhere = upload.mediaId;
          counted.records += 1;
          counted.bytes += size;
          if (upload.quarantinedBy !== null) counted.quarantined.push(upload.mediaId);
          if (upload.sha256 !== null && upload.sha256 !== record.sha256) other.add(upload.mediaId);
        },
        unread({ upload, file }, why) {
          // Those of the store are tried again in the second pass.
          if (pass === "since" || !file) unread.add(upload.mediaId);
          noticed.add(`${upload.mediaId}: ${why}`, file?.name);
        },
        readWhole: (part) => wholeUploads(part, from),
      },
    );
    const plan = {
      name: archiveArtifact(folder),
      format: "tar",
      level: 0,
      label: labelOf(number),
      total: Math.min(total, sizes.archive),
    } as const;
    const artifact = await from.into.add(plan, packTar(entries));
    await written.write(list.take());
    await written.finish();
    inventory.setArtifact(artifact);
    notePacked(inventory, {
      folder,
      ...counted,
      ...(unread.count === 0 ? {} : { unread: unread.some }),
      ...(lastElsewhere === undefined ? {} : { lastElsewhere }),
    });
    await from.saved();
    const { name, size, sha256, parts } = artifact;
    const { records, bytes } = counted;
    const hash = (await fileHash(listPath, files))!;
    const changed = { changed: other.some, changedCount: other.count };
    // The first archive's word is that of the whole pass.
    const start = number === 1 ? { began, rows } : { began };
    return { name, size, sha256, parts, records, bytes, ...changed, ...start, list: hash };
  } finally {
    await written.abandon();
  }
}

/** Those that a backup reads at the same time come from there; alone, some are read ahead. */
async function* wholeUploads(
  part: readonly FoundUpload[],
  from: ArchiveExport,
): AsyncIterable<WholeFile | undefined> {
  const { shared } = from;
  const expected = ({ file, size }: FoundUpload) => ({
    name: file?.name ?? "",
    size: file ? size : Infinity,
  });
  const readings = shared.isArchiveAlone
    ? readSmallFiles(part, expected, from)
    : part.map((item) => ({ item, read: undefined, hold: () => () => undefined }));
  for await (const { item, read, hold } of readings) {
    const { file } = item;
    if (!file) {
      yield undefined;
      continue;
    }
    const along = await shared.takeWhole(file.name);
    const found = along ?? (read?.outcome === "read" ? { ...read, release: hold() } : undefined);
    if (found?.size === file.size && found.mtimeMs === file.mtimeMs) yield found;
    else {
      found?.release();
      yield undefined;
    }
  }
}

/** Uploads whose files somebody gave up: the first archive names them. */
async function missingUploads({ accepted, compare }: ArchiveExport): Promise<readonly Differing[]> {
  return accepted ? (await compare()).differing : [];
}

async function bytesOfUploads(session: QuerySession): Promise<number> {
  const { bytes } = await session.one<{ bytes: number | null }>(
    "SELECT SUM(media_length) AS bytes FROM local_media_repository WHERE url_cache IS NULL",
  );
  return bytes ?? 0;
}
