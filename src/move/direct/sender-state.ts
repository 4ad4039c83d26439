import { join } from "node:path";
import type { Inventory } from "../../bundle/inventory.ts";
import { JOURNAL, LOCK } from "../../bundle/layout.ts";
import {
  assertMadeHere,
  assertSameMove,
  assertUsableFolder,
  type BundleWorkspace,
} from "../../bundle/workspace.ts";
import { MigrationError } from "../../errors.ts";
import { Journal } from "../../journal/journal.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { Channel } from "../../pipeline/channel.ts";
import type { System } from "../../system/system.ts";
import { DATABASE_FOLLOWS, HANDED_OVER, SENT_DIRECTLY } from "../old-server/journal-facts.ts";
import { NEW_HOST_MESSAGES, type OldHostMessages, readFromNewHost } from "./protocol.ts";
import type { ChannelWriter } from "./writer.ts";

export interface SenderFolderOptions {
  readonly folder: string;
  readonly subject: string;
  readonly rehearsal: boolean;
  /** The database is not sent. */
  readonly followed: boolean;
  readonly inventory: Inventory;
  readonly channel: Channel;
  readonly writer: ChannelWriter;
}

/**
 * Opens the folder on the old host with the journal and the fence record of a direct transfer. Throws `bundle-in-use`,
 * `bundle-mismatch`.
 */
export async function enterSenderFolder(
  { folder, subject, rehearsal, followed, inventory, channel, writer }: SenderFolderOptions,
  { files, machine }: System,
): Promise<BundleWorkspace> {
  await assertUsableFolder(folder, files);
  await files.makeFolder(folder);
  await files.setMode(folder, 0o700);
  const held = await acquireLock(join(folder, LOCK), files, machine);
  try {
    const path = join(folder, JOURNAL);
    const resumed = (await files.lstat(path)) !== undefined;
    const journal = await Journal.open(path, files);
    await assertMadeHere(journal, folder, machine);
    await assertSameMove(journal, { subject, kind: rehearsal ? "rehearsal" : "move" }, folder);
    if (Object.keys(journal.steps).length > 0 && journal.facts[SENT_DIRECTLY] === undefined) {
      throw new MigrationError("bundle-mismatch", `${folder} has an unfinished bundle`, {
        hint: "choose another folder for the direct transfer",
      });
    }
    await journal.setFact(SENT_DIRECTLY, "to another host");
    if (followed) await journal.setFact(DATABASE_FOLLOWS, "on the new host");
    else await journal.removeFact(DATABASE_FOLLOWS);
    // This run may find that the server has written since.
    await journal.removeFact(HANDED_OVER);
    return {
      journal,
      inventory,
      writer,
      resumed,
      save: () => saveRemotely(inventory, channel),
      findArtifactFault: ({ name }) => askIfMissing(String(name), channel),
      close: () => held.release(),
    };
  } catch (error) {
    await held.release();
    throw error;
  }
}

/** Resolves once the new host has everything sent so far on disk. */
export async function saveRemotely(inventory: Inventory, channel: Channel): Promise<void> {
  await channel.sendMessage({
    type: "inventory",
    content: inventory.content,
  } satisfies OldHostMessages["inventory"]);
  await readFromNewHost(channel, NEW_HOST_MESSAGES.kept);
}

async function askIfMissing(name: string, channel: Channel): Promise<string | undefined> {
  await channel.sendMessage({ type: "has", name } satisfies OldHostMessages["has"]);
  return (await readFromNewHost(channel, NEW_HOST_MESSAGES.there)).why;
}
