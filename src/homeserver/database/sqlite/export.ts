import { join } from "node:path";
import type { ArtifactWriter } from "../../../bundle/artifact-writer.ts";
import type { Inventory, RecordedArtifact } from "../../../bundle/inventory.ts";
import type { Step } from "../../../journal/step.ts";
import { gzipProgram } from "../../../pipeline/gzip-program.ts";
import { packTar } from "../../../pipeline/tar.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import type { Progress } from "../../../system/progress.ts";
import type { Sqlite, SqliteImage } from "../../../system/sqlite/sqlite.ts";
import { type Kept, keptInputs } from "../../scope.ts";
import { countDatabase, readSequences } from "../count.ts";
import { DATABASE_SECTION, DATABASE_STEP, LEVEL } from "../export.ts";
import { privateCopyFolder, removePrivateCopy } from "./private-copy.ts";

export const SQLITE_ARTIFACT = "homeserver.db.tar.gz";
/** The only file in it. */
export const SQLITE_FILE = "homeserver.db";

export interface SqliteExport {
  readonly path: string;
  /** The folder of the bundle: a private copy is made beside it. */
  readonly folder: string;
  /** The state of the database as `fileMarker` tells it: an input of the step. */
  readonly marker: string;
  readonly inputs: Readonly<Record<string, string>>;
  readonly into: ArtifactWriter;
  readonly inventory: Inventory;
  readonly sqlite: Sqlite;
  readonly files: Files;
  readonly programs: Programs;
  readonly machine: Pick<Machine, "cores" | "now" | "elapsed">;
  readonly progress: Pick<Progress, "begin" | "advance" | "end">;
  readonly saved: () => Promise<void>;
  findFault: Step["findFault"];
  /** Which rows stay besides those of uploads. */
  readonly kept?: Kept | undefined;
}

/**
 * Packs a SQLite database and counts in the same state. The file is packed as it is if nobody uses it; the database of a
 * running server, or one whose side files could not be merged, from a private copy.
 */
export function exportSqlite(from: SqliteExport): Step {
  return {
    id: DATABASE_STEP,
    label: "database",
    inputs: { ...from.inputs, database: from.marker, ...keptInputs(from.kept) },
    findFault: from.findFault,
    async run() {
      let image: SqliteImage | undefined;
      try {
        const began = from.machine.elapsed();
        image = await from.sqlite.openUnused(from.path, from.inventory.rehearsal);
        const copied = image === undefined;
        image ??= await makePrivateCopy(from);
        const copySeconds = copied ? (from.machine.elapsed() - began) / 1000 : 0;
        const counting = count(image, from.kept);
        // It is awaited after the packing, which may fail first, or take longer than a failure of the counting.
        const counted = counting.catch(() => undefined);
        const artifact = await packFile(image, from).finally(() => counted);
        from.inventory.setSection(DATABASE_SECTION, await counting);
        from.inventory.setArtifact(artifact);
        await from.saved();
        const { name, size, sha256, parts } = artifact;
        return { name, size, sha256, parts, copySeconds };
      } finally {
        await image?.close();
        await removePrivateCopy(from.folder, from.files);
      }
    },
  };
}

const COPY_TASK = "export/database-copy";

/** The copy has no name any more when this returns: its disk space is freed when the image is closed, or after a kill. */
async function makePrivateCopy({
  path,
  folder,
  sqlite,
  files,
  progress,
}: SqliteExport): Promise<SqliteImage> {
  await removePrivateCopy(folder, files);
  const target = join(privateCopyFolder(folder), SQLITE_FILE);
  await files.makeFolder(privateCopyFolder(folder));
  let before = 0;
  const copied = (bytes: number, total: number) => {
    if (before === 0)
      progress.begin({ id: COPY_TASK, label: "private copy of the database", unit: "bytes", total });
    progress.advance(COPY_TASK, bytes - before);
    before = bytes;
  };
  try {
    const image = await sqlite.copy(path, target, copied);
    if (before > 0) progress.end(COPY_TASK);
    return image;
  } finally {
    await files.remove(target);
  }
}

const count = async ({ session }: SqliteImage, kept: Kept | undefined) =>
  countDatabase(session, await readSequences(session), "main", kept);

async function packFile(image: SqliteImage, from: SqliteExport): Promise<RecordedArtifact> {
  const { into, programs, machine } = from;
  const { size } = image;
  const file = {
    name: SQLITE_FILE,
    size,
    mode: 0o600,
    mtimeMs: machine.now(),
    content: () => image.content(),
  };
  const archive = packTar([file]);
  const gzip = into.usesCompressionProgram ? await gzipProgram(programs, machine.cores) : undefined;
  const plan = { name: SQLITE_ARTIFACT, format: "tar" } as const;
  return gzip
    ? into.addCompressed(
        { ...plan, label: `database, with ${gzip.name}` },
        gzip.compress(archive),
        gzip.decompress,
      )
    : into.add({ ...plan, level: LEVEL, label: "database", total: size }, archive);
}
