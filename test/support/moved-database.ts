import { Inventory } from "../../src/bundle/inventory.ts";
import type { Artifact } from "../../src/bundle/manifest.ts";
import { Bundle } from "../../src/bundle/reader.ts";
import { seal } from "../../src/bundle/seal.ts";
import type { DumpFormat } from "../../src/homeserver/database/dump/format.ts";
import { type DatabaseExport, dumpArtifact, exportDatabase } from "../../src/homeserver/database/export.ts";
import { type DatabaseSection, databaseSectionSchema } from "../../src/homeserver/database/section.ts";
import type { Digest } from "../../src/pipeline/digest.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { type PostgresAddress, realPostgres } from "../../src/system/postgres/postgres.ts";
import type { Programs } from "../../src/system/programs/programs.ts";
import { noProgress } from "../../src/system/progress.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { lockWith, programsWith } from "./real-world.ts";
import { still, writerIn } from "./small-bundle.ts";

export const lock = lockWith();
export const programs = programsWith();
export const postgres = realPostgres(programs);

export interface Packed {
  readonly bundle: Bundle;
  readonly artifact: Artifact;
  readonly section: DatabaseSection;
  /** What decrypted and gunzipped comes out. */
  readonly plain: Digest;
}

/** Packs a database as export does. */
export async function pack(
  address: PostgresAddress,
  given: { pgDump?: string; programs?: Programs; folder?: string; format?: DumpFormat } & Partial<
    Pick<DatabaseExport, "lockTimeout" | "progress">
  > = {},
): Promise<Packed> {
  const folder = given.folder ?? temporaryFolder("bundle");
  const inventory = Inventory.begin(still, false);
  const { format = "plain" } = given;
  const step = exportDatabase({
    ...{ store: "main", format },
    address,
    pgDump: given.pgDump ?? "pg_dump",
    marker: "as it was",
    inputs: {},
    into: writerIn(folder, lock),
    inventory,
    postgres,
    programs: given.programs ?? programs,
    machine: { cores: 2 },
    progress: given.progress ?? noProgress,
    ...(given.lockTimeout === undefined ? {} : { lockTimeout: given.lockTimeout }),
    saved: () => Promise.resolve(),
    findFault: () => Promise.resolve(undefined),
  });
  await step.run();
  await seal({
    folder,
    inventory,
    keys: lock,
    files: realFiles,
    subject: "example.org",
    program: "p",
    outageSince: null,
    afterwards: "",
  });
  const bundle = await Bundle.open(folder, realFiles);
  return {
    bundle,
    artifact: bundle.artifact(dumpArtifact("main", format))!,
    section: databaseSectionSchema.parse(inventory.section("database")),
    plain: inventory.artifacts[0]!.plain,
  };
}
