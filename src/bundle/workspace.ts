import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { type MadeOn, madeElsewhere, otherMachineError, thisMachine } from "../journal/made-on.ts";
import { Journal } from "../journal/journal.ts";
import { acquireLock } from "../journal/lock.ts";
import type { Outcome, Step } from "../journal/step.ts";
import { Digester } from "../pipeline/digest.ts";
import { EncryptionAhead, type EncryptionKeys } from "../pipeline/encrypt.ts";
import { type Files, UNFINISHED_SUFFIX } from "../system/files/files.ts";
import type { Machine } from "../system/machine.ts";
import type { Progress } from "../system/progress.ts";
import type { ArtifactWriter, PartsLeaving } from "./artifact-writer.ts";
import { assertSameKeyKind, OPENED_WITH } from "./export-keys.ts";
import { Inventory } from "./inventory.ts";
import { INVENTORY, JOURNAL, LOCK, MANIFEST, FOLLOW } from "./layout.ts";
import type { Part } from "./manifest.ts";
import { PersistedProgress } from "./progress-file.ts";
import { BundleWriter } from "./writer.ts";

export interface BundleWorkspaceOptions {
  readonly folder: string;
  readonly subject: string;
  readonly rehearsal: boolean;
  readonly partSize?: number | undefined;
  readonly keys: EncryptionKeys;
  readonly files: Files;
  readonly machine: Machine;
  readonly progress: Progress;
  /** Takes finished parts to another place. */
  readonly leaving?: PartsLeaving | undefined;
}

/** The folder of a running export, locked until `leave`. */
export interface BundleWorkspace {
  readonly journal: Journal;
  readonly inventory: Inventory;
  readonly writer: ArtifactWriter;
  /** Whether this run continues an earlier one. */
  readonly resumed: boolean;
  /** Saves the current state of the inventory. */
  save(): Promise<void>;
  /** For `Step.findFault`: verifies that an artifact still exists and is intact. */
  findArtifactFault: Step["findFault"];
  close(): Promise<void>;
}

/** Of an export into a folder of this host. */
export interface LocalWorkspace extends BundleWorkspace {
  /** What the inventory is encrypted with, for who saves it himself. */
  readonly encryption: EncryptionAhead;
}

/**
 * Opens or creates a bundle's folder. Throws `bundle-in-use`, `bundle-mismatch` when the folder contains something else
 * or another bundle, `passphrase-wrong` when the export was started with another passphrase.
 */
export async function openWorkspace(options: BundleWorkspaceOptions): Promise<LocalWorkspace> {
  const { folder, files, machine } = options;
  await assertUsableFolder(folder, files);
  await files.makeFolder(folder);
  await files.setMode(folder, 0o700);
  const held = await acquireLock(join(folder, LOCK), files, machine);
  try {
    return await openLocked(options, () => held.release());
  } catch (error) {
    await held.release();
    throw error;
  }
}

async function openLocked(
  options: BundleWorkspaceOptions,
  leave: () => Promise<void>,
): Promise<LocalWorkspace> {
  const { folder, subject, rehearsal, partSize, keys, files, machine, progress } = options;
  const kind = rehearsal ? "rehearsal" : "move";
  const resumed = (await files.lstat(join(folder, JOURNAL))) !== undefined;
  const journal = await Journal.open(join(folder, JOURNAL), files);
  await assertMadeHere(journal, folder, machine);
  await assertSameMove(journal, { subject, kind }, folder);
  const opens = assertSameKeyKind(folder, keys.recipients ?? [], resumed ? journal : undefined);
  await journal.setFact(OPENED_WITH, opens);
  for (const name of await files.list(folder)) {
    if (name.endsWith(UNFINISHED_SUFFIX)) await files.remove(join(folder, name));
  }
  const inventory = await readOrBeginInventory(options, rehearsal);
  const kept = new PersistedProgress(folder, progress, files, machine);
  const encryption = new EncryptionAhead(keys);
  encryption.prepare();
  let turn: Promise<unknown> = Promise.resolve();
  return {
    journal,
    inventory,
    encryption,
    resumed,
    writer: new BundleWriter({
      folder,
      keys,
      files,
      progress: kept,
      cores: machine.cores,
      ...(partSize === undefined ? {} : { partSize }),
      ...(options.leaving === undefined ? {} : { leaving: options.leaving }),
    }),
    save: async () => {
      // Writes are serialized, because steps may run in parallel.
      const saved = turn.then(() => inventory.save(folder, encryption, files));
      turn = saved.catch(() => undefined);
      await saved;
      // It is saved again, at the latest when the bundle is sealed.
      encryption.prepare();
    },
    findArtifactFault: (outcome) => findArtifactFault(outcome, folder, files, options.leaving),
    close: async () => {
      await encryption.end();
      await kept.clear();
      await leave();
    },
  };
}

/** Without the old inventory its id and salt are lost too, so every step that depends on the bundle's id runs again. */
async function readOrBeginInventory(
  { folder, keys, files, machine, progress }: BundleWorkspaceOptions,
  rehearsal: boolean,
): Promise<Inventory> {
  const path = join(folder, INVENTORY);
  if (!(await files.lstat(path))) return Inventory.begin(machine, rehearsal);
  try {
    return await Inventory.read(files.read(path), keys, path);
  } catch (error) {
    if (error instanceof MigrationError && error.code === "passphrase-wrong") {
      if (keys.recipients?.length)
        return beginAnew("was encrypted with another working passphrase, which no longer exists");
      throw new MigrationError(
        "passphrase-wrong",
        `the export in ${folder} was started with another passphrase`,
        {
          hint: "give the earlier passphrase, or choose another folder",
          cause: error,
        },
      );
    }
    if (!(error instanceof MigrationError) || error.code !== "bundle-damaged") throw error;
    return beginAnew("is damaged");
  }

  async function beginAnew(why: string): Promise<Inventory> {
    progress.note(`${path} ${why}: all artifacts are written again`);
    await files.remove(join(folder, MANIFEST));
    return Inventory.begin(machine, rehearsal);
  }
}

/** Binds a journal to this machine. Throws `other-machine` when another one made it. */
export async function assertMadeHere(journal: Journal, folder: string, machine: Machine): Promise<void> {
  const elsewhere = journalMadeElsewhere(journal, machine);
  if (elsewhere) throw otherMachineError(join(folder, JOURNAL), elsewhere, machine);
  const { id, hostname } = thisMachine(machine);
  await journal.setFact(MACHINE_ID, id);
  await journal.setFact(MACHINE_NAME, hostname);
}

/** The machine that this export ran on, where that is not this one. */
export function journalMadeElsewhere({ facts }: Journal, machine: Machine): MadeOn | undefined {
  const { [MACHINE_ID]: id, [MACHINE_NAME]: hostname } = facts;
  return madeElsewhere(id === undefined || hostname === undefined ? undefined : { id, hostname }, machine);
}

const MACHINE_ID = "machine";
const MACHINE_NAME = "hostname";

/** Throws `bundle-mismatch` when the journal is that of another move; otherwise records this move in it. */
export async function assertSameMove(
  journal: Journal,
  move: { readonly subject: string; readonly kind: "rehearsal" | "move" },
  folder: string,
): Promise<void> {
  for (const [name, value] of Object.entries(move)) {
    const earlier = journal.facts[name] ?? value;
    if (earlier !== value) {
      throw new MigrationError(
        "bundle-mismatch",
        `the export in ${folder} was started for another ${name}: ${earlier}, not ${value}`,
        {
          hint: "choose another folder",
        },
      );
    }
    await journal.setFact(name, value);
  }
}

/** Throws `bundle-mismatch` when the folder contains something else. */
export async function assertUsableFolder(folder: string, files: Files): Promise<void> {
  const found = await files.stat(folder);
  if (!found) return;
  if (found.kind !== "folder")
    throw new MigrationError("bundle-mismatch", `${folder} is not a directory`, {
      hint: "choose another folder",
    });
  const names = await files.list(folder);
  const strange = names.filter(
    (name) => name !== LOCK && name !== FOLLOW && !name.startsWith(`${LOCK}.`) && !name.startsWith("."),
  );
  if (strange.length === 0 || names.includes(JOURNAL)) return;
  throw new MigrationError(
    "bundle-mismatch",
    `${folder} is not empty: it contains ${strange.slice(0, 3).join(", ")}`,
    {
      hint: "choose a new or an empty folder",
    },
  );
}

async function findArtifactFault(
  outcome: Outcome,
  folder: string,
  files: Files,
  leaving: PartsLeaving | undefined,
): Promise<string | undefined> {
  for (const part of outcome["parts"] as Part[]) {
    const path = join(folder, part.name);
    const entry = await files.lstat(path);
    if (!entry && leaving && (await leaving.has(part))) continue;
    if (!entry) return `${path} is missing`;
    if (entry.size !== part.size) return `${path} has ${entry.size} bytes instead of ${part.size}`;
    const tally = new Digester();
    for await (const chunk of files.read(path)) tally.add(chunk);
    if (tally.result().sha256 !== part.sha256) return `${path} was changed or damaged`;
  }
  return undefined;
}
