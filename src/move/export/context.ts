import type { BundleWorkspace } from "../../bundle/workspace.ts";
import type { DumpFormat } from "../../homeserver/database/dump/format.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { MediaChoice } from "../../homeserver/media/pack/choice.ts";
import type { SavedList } from "../../homeserver/media/pack/packed-list.ts";
import type { SharedReads } from "../../homeserver/media/pack/shared-reads.ts";
import type { Step } from "../../journal/step.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import type { ExportStage } from "./clock.ts";

/** What the steps of an export share: the source, the options and the bundle's folder. */
export interface ExportContext {
  readonly homeserver: Homeserver;
  readonly workspace: BundleWorkspace;
  /** Folder of the bundle. */
  readonly folder: string;
  /** What every step depends on. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly accepted: readonly string[];
  readonly media: MediaChoice;
  readonly dumpFormat: DumpFormat;
  /** Media that the receiver already has. */
  readonly existingMedia?: SavedList;
  readonly progress: Progress;
  readonly system: System;
}

/** A step, and the stage of the outage to which it counts. */
export interface ExportStep {
  readonly step: Step;
  /** A second step that runs at the same time and reads the same files. */
  readonly concurrent?: { readonly step: Step; readonly shared: SharedReads };
  readonly stage?: ExportStage;
  /** To be awaited first: looks at what the inputs of the steps depend on. */
  readonly prepare?: () => Promise<void>;
}

/** What each step of an export is given besides its own. */
export const commonStepOptions = ({ workspace, inputs }: ExportContext) => ({
  into: workspace.writer,
  inventory: workspace.inventory,
  inputs,
  saved: () => workspace.save(),
  findFault: workspace.findArtifactFault,
});
