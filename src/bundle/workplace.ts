import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Journal } from "../journal/journal.ts";
import { takeLock } from "../journal/lock.ts";
import type { Outcome, Step } from "../journal/step.ts";
import type { Lock } from "../pipeline/encrypt.ts";
import { Tally } from "../pipeline/measure.ts";
import { type Files, UNFINISHED_SUFFIX } from "../system/files/files.ts";
import type { Machine } from "../system/machine.ts";
import type { Progress } from "../system/progress.ts";
import type { ArtifactWriter } from "./artifact-writer.ts";
import { Inventory } from "./inventory.ts";
import { INVENTORY, JOURNAL, LOCK, MANIFEST } from "./layout.ts";
import { mustOpenAsBefore, OPENS } from "./making-lock.ts";
import type { Part } from "./manifest.ts";
import { KeptProgress } from "./progress-file.ts";
import { BundleWriter } from "./writer.ts";

export interface WorkplaceOptions {
  readonly folder: string;
  readonly subject: string;
  readonly rehearsal: boolean;
  readonly partSize?: number | undefined;
  readonly lock: Lock;
  readonly files: Files;
  readonly machine: Machine;
  readonly progress: Progress;
}

/** A folder in which a bundle is being made, ours alone until `leave`. */
export interface Workplace {
  readonly journal: Journal;
  readonly inventory: Inventory;
  readonly writer: ArtifactWriter;
  /** Whether an earlier run began here. */
  readonly resumed: boolean;
  /** For a step's `saved`: keeps what the inventory has so far. */
  save(): Promise<void>;
  /** For a step's `check`: whether an artifact is still there, to the last byte. */
  check: Step["check"];
  leave(): Promise<void>;
}

/**
 * Opens or begins a bundle's folder. Throws `bundle-locked`, `bundle-foreign` when something else lies there or the
 * bundle is another's, `passphrase-wrong` when it was begun with another passphrase.
 */
export async function enterWorkplace(options: WorkplaceOptions): Promise<Workplace> {
  const { folder, files, machine } = options;
  await mustBeUsable(folder, files);
  await files.makeFolder(folder);
  await files.setMode(folder, 0o700);
  const held = await takeLock(join(folder, LOCK), files, machine);
  try {
    return await enter(options, () => held.release());
  } catch (error) {
    await held.release();
    throw error;
  }
}

async function enter(options: WorkplaceOptions, leave: () => Promise<void>): Promise<Workplace> {
  const { folder, subject, rehearsal, partSize, lock, files, machine, progress } = options;
  const kind = rehearsal ? "rehearsal" : "move";
  const resumed = (await files.look(join(folder, JOURNAL))) !== undefined;
  const journal = await Journal.open(join(folder, JOURNAL), files);
  await mustBeSameMove(journal, { subject, kind }, folder);
  const opens = mustOpenAsBefore(folder, lock.recipients ?? [], resumed ? journal : undefined);
  await journal.setFact(OPENS, opens);
  for (const name of await files.list(folder)) {
    if (name.endsWith(UNFINISHED_SUFFIX)) await files.remove(join(folder, name));
  }
  const inventory = await inventoryIn(options, rehearsal);
  const kept = new KeptProgress(folder, progress, files, machine);
  let turn: Promise<unknown> = Promise.resolve();
  return {
    journal,
    inventory,
    resumed,
    writer: new BundleWriter({
      folder,
      lock,
      files,
      progress: kept,
      cores: machine.cores,
      ...(partSize === undefined ? {} : { partSize }),
    }),
    save: async () => {
      // One after another: steps may run at the same time.
      const saved = turn.then(() => inventory.save(folder, lock, files));
      turn = saved.catch(() => undefined);
      await saved;
    },
    check: (outcome) => checkArtifact(outcome, folder, files),
    leave: async () => {
      await kept.clear();
      await leave();
    },
  };
}

/** Without the old inventory its salt is gone too, so every step that is keyed by the bundle's id runs again. */
async function inventoryIn(
  { folder, lock, files, machine, progress }: WorkplaceOptions,
  rehearsal: boolean,
): Promise<Inventory> {
  const path = join(folder, INVENTORY);
  if (!(await files.look(path))) return Inventory.begin(machine, rehearsal);
  try {
    return await Inventory.read(files.read(path), lock, path);
  } catch (error) {
    if (error instanceof MigrationError && error.code === "passphrase-wrong") {
      if (lock.recipients?.length)
        return beginAnew("was made with another working passphrase, which is gone");
      throw new MigrationError("passphrase-wrong", `${folder} was begun with another passphrase`, {
        hint: "give the one it was begun with, or choose another folder",
        cause: error,
      });
    }
    if (!(error instanceof MigrationError) || error.code !== "bundle-damaged") throw error;
    return beginAnew("is damaged");
  }

  async function beginAnew(why: string): Promise<Inventory> {
    progress.note(`${path} ${why}: everything is packed again`);
    await files.remove(join(folder, MANIFEST));
    return Inventory.begin(machine, rehearsal);
  }
}

/** Throws `bundle-foreign` when a journal is another's; from here on it is this one's. */
export async function mustBeSameMove(
  journal: Journal,
  move: { readonly subject: string; readonly kind: "rehearsal" | "move" },
  folder: string,
): Promise<void> {
  for (const [name, value] of Object.entries(move)) {
    const earlier = journal.facts[name] ?? value;
    if (earlier !== value) {
      throw new MigrationError(
        "bundle-foreign",
        `${folder} was begun for another ${name}: ${earlier}, not ${value}`,
        {
          hint: "choose another folder",
        },
      );
    }
    await journal.setFact(name, value);
  }
}

/** Throws `bundle-foreign` when something else lies in a folder. */
export async function mustBeUsable(folder: string, files: Files): Promise<void> {
  const found = await files.follow(folder);
  if (!found) return;
  if (found.kind !== "folder")
    throw new MigrationError("bundle-foreign", `${folder} is no folder`, { hint: "choose another place" });
  const names = await files.list(folder);
  const strange = names.filter(
    (name) => name !== LOCK && !name.startsWith(`${LOCK}.`) && !name.startsWith("."),
  );
  if (strange.length === 0 || names.includes(JOURNAL)) return;
  throw new MigrationError(
    "bundle-foreign",
    `${folder} holds something else already: ${strange.slice(0, 3).join(", ")}`,
    {
      hint: "choose a new or an empty folder",
    },
  );
}

async function checkArtifact(outcome: Outcome, folder: string, files: Files): Promise<string | undefined> {
  for (const part of outcome["parts"] as Part[]) {
    const path = join(folder, part.name);
    const entry = await files.look(path);
    if (!entry) return `${path} is gone`;
    if (entry.size !== part.size) return `${path} has ${entry.size} bytes, it had ${part.size}`;
    const tally = new Tally();
    for await (const chunk of files.read(path)) tally.add(chunk);
    if (tally.result().sha256 !== part.sha256) return `${path} was changed or damaged`;
  }
  return undefined;
}
