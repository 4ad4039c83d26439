import type { ArtifactWriter } from "../../../bundle/artifact-writer.ts";
import type { Inventory, RecordedArtifact } from "../../../bundle/inventory.ts";
import type { Step } from "../../../journal/step.ts";
import { gzipProgram } from "../../../pipeline/gzip-program.ts";
import { packTar } from "../../../pipeline/tar.ts";
import type { Machine } from "../../../system/machine.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import type { Sqlite, SqliteSnapshot } from "../../../system/sqlite/sqlite.ts";
import { type Kept, keptInputs } from "../../scope.ts";
import { countDatabase, readSequences } from "../count.ts";
import { DATABASE_SECTION, DATABASE_STEP, LEVEL } from "../export.ts";

export const SQLITE_ARTIFACT = "homeserver.db.tar.gz";
/** The only file in it. */
export const SQLITE_FILE = "homeserver.db";

export interface SqliteExport {
  readonly path: string;
  /** The state of the database as `fileMarker` tells it: an input of the step. */
  readonly marker: string;
  readonly inputs: Readonly<Record<string, string>>;
  readonly into: ArtifactWriter;
  readonly inventory: Inventory;
  readonly sqlite: Sqlite;
  readonly programs: Programs;
  readonly machine: Pick<Machine, "cores" | "now">;
  readonly saved: () => Promise<void>;
  findFault: Step["findFault"];
  /** Which rows stay besides those of uploads. */
  readonly kept?: Kept | undefined;
}

/** Packs a consistent snapshot of a SQLite database, also while a server writes to it, and counts in the same snapshot. */
export function exportSqlite(from: SqliteExport): Step {
  return {
    ...{ id: DATABASE_STEP, label: "database" },
    inputs: { ...from.inputs, database: from.marker, ...keptInputs(from.kept) },
    findFault: from.findFault,
    async run() {
      const snapshot = await from.sqlite.snapshot(from.path);
      try {
        const counting = count(snapshot, from.kept);
        const artifact = await packFile(snapshot, from).finally(() => counting.catch(() => undefined));
        from.inventory.setSection(DATABASE_SECTION, await counting);
        from.inventory.setArtifact(artifact);
        await from.saved();
        const { name, size, sha256, parts } = artifact;
        return { name, size, sha256, parts };
      } finally {
        await snapshot.close();
      }
    },
  };
}

const count = async ({ session }: SqliteSnapshot, kept: Kept | undefined) =>
  countDatabase(session, await readSequences(session), "main", kept);

async function packFile(snapshot: SqliteSnapshot, from: SqliteExport): Promise<RecordedArtifact> {
  const { into, programs, machine } = from;
  const { size } = snapshot;
  const file = {
    ...{ name: SQLITE_FILE, size, mode: 0o600, mtimeMs: machine.now() },
    content: () => snapshot.content(),
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
