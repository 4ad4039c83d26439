import { join } from "node:path";
import type { Inventory } from "../../bundle/inventory.ts";
import { JOURNAL, LOCK } from "../../bundle/layout.ts";
import { mustBeSameMove, mustBeUsable, type Workplace } from "../../bundle/workplace.ts";
import { MigrationError } from "../../errors.ts";
import { Journal } from "../../journal/journal.ts";
import { takeLock } from "../../journal/lock.ts";
import type { Channel } from "../../pipeline/channel.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import type { System } from "../../system/system.ts";
import { FROM_NEW, type FromOld, hearFromNew } from "./protocol.ts";
import type { RoadWriter } from "./writer.ts";

/** The journal fact of a direct transfer, whose artifacts are on another host. */
export const ROAD = "road";

/** The journal fact with the time when the new host had received everything: ISO 8601. */
export const HANDED_OVER = "handedOver";

/**
 * The journal fact with the time from which everything that a new server needs has been sent, or may have been: ISO 8601.
 * Written before the new host is told, and removed when the old server runs again.
 */
export const COMPLETE = "complete";

export interface Sending {
  readonly folder: string;
  readonly subject: string;
  readonly rehearsal: boolean;
  readonly inventory: Inventory;
  readonly channel: Channel;
  readonly writer: RoadWriter;
}

/**
 * Opens the folder on the old host with the journal and the fence record of a direct transfer. Throws `bundle-locked`,
 * `bundle-foreign`.
 */
export async function enterRoadPlace(
  { folder, subject, rehearsal, inventory, channel, writer }: Sending,
  { files, machine }: System,
): Promise<Workplace> {
  await mustBeUsable(folder, files);
  await files.makeFolder(folder);
  await files.setMode(folder, 0o700);
  const held = await takeLock(join(folder, LOCK), files, machine);
  try {
    const path = join(folder, JOURNAL);
    const resumed = (await files.look(path)) !== undefined;
    const journal = await Journal.open(path, files);
    await mustBeSameMove(journal, { subject, kind: rehearsal ? "rehearsal" : "move" }, folder);
    if (Object.keys(journal.steps).length > 0 && journal.facts[ROAD] === undefined) {
      throw new MigrationError("bundle-foreign", `${folder} has an unfinished bundle`, {
        hint: "choose another folder for the direct transfer",
      });
    }
    await journal.setFact(ROAD, "to another host");
    // This run may find that the server has written since.
    await journal.forgetFact(HANDED_OVER);
    return {
      ...{ journal, inventory, writer, resumed },
      save: () => saveThere(inventory, channel),
      check: ({ name }) => askFor(String(name), channel),
      leave: () => held.release(),
    };
  } catch (error) {
    await held.release();
    throw error;
  }
}

/** Resolves once the new host has everything sent so far on disk. */
export async function saveThere(inventory: Inventory, channel: Channel): Promise<void> {
  await channel.say({ type: "inventory", content: inventory.content } satisfies FromOld["inventory"]);
  await hearFromNew(channel, FROM_NEW.kept);
}

async function askFor(name: string, channel: Channel): Promise<string | undefined> {
  await channel.say({ type: "has", name } satisfies FromOld["has"]);
  return (await hearFromNew(channel, FROM_NEW.there)).why;
}

/** Saves a received stream to a file. */
export async function writeDown(
  source: Bytes,
  path: string,
  { files }: Pick<System, "files">,
): Promise<void> {
  const file = await files.begin(path);
  try {
    for await (const chunk of source) await file.write(chunk);
    await file.finish();
  } finally {
    await file.abandon();
  }
}
