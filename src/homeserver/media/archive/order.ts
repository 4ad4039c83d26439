import type { ArtifactWriter } from "../../../bundle/artifact-writer.ts";
import type { Inventory } from "../../../bundle/inventory.ts";
import type { Journal } from "../../../journal/journal.ts";
import type { Inputs, Step } from "../../../journal/step.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";
import type { Progress } from "../../../system/progress.ts";
import type { Comparison } from "../compare/compare.ts";
import type { MediaAccess } from "../export.ts";
import type { NewFiles } from "../pack/last-look.ts";
import type { FirstRows } from "../providers/row-range.ts";
import type { SharedReads } from "../pack/shared-reads.ts";
import type { ArchivePass } from "./names.ts";
import type { ArchiveSizes } from "./write.ts";

export interface ArchiveExport {
  readonly pass: ArchivePass;
  readonly serverName: string;
  readonly store: string;
  /** Folder of the bundle. */
  readonly folder: string;
  readonly sizes: ArchiveSizes;
  /** Whether the server may be writing a file at this moment: then the newest wait for the second pass. */
  readonly serving: boolean;
  /** Asked when the step's inputs are. */
  readonly inputs: Inputs;
  /** Whether uploads that cannot be read may stay behind. */
  readonly accepted: boolean;
  /** Whether folders that cannot be looked into may stay behind. */
  readonly unreadableAccepted: boolean;
  /** Rows against files, as they are when it is called. */
  readonly compare: () => Promise<Pick<Comparison, "differing">>;
  /** Who reads the same files at the same time. */
  readonly shared: SharedReads;
  /** Looks whether all is there, before anything is packed, when nobody else does. */
  readonly before?: (() => Promise<void>) | undefined;
  /** In the second pass: what the first says of its rows. */
  readonly first?: FirstRows;
  /** What the archives of the first pass do not hold; asked when the step runs, which walks through the store itself when there is none. */
  readonly fresh?: NewFiles | undefined;
  /** Opens the database and the storage providers for the time in which files are packed. */
  readonly withAccess: <T>(act: (reach: MediaAccess) => Promise<T>) => Promise<T>;
  readonly files: Files;
  readonly machine: Pick<Machine, "now">;
  readonly signal: AbortSignal;
  readonly progress: Pick<Progress, "remark">;
  readonly journal: Journal;
  readonly into: ArtifactWriter;
  readonly inventory: Inventory;
  readonly saved: () => Promise<void>;
  findFault: Step["findFault"];
}
