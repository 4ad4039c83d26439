import { openSource } from "../../homeserver/database/source.ts";
import { type LostOrigin, lostOrigins } from "../../homeserver/media/remote/origins.ts";
import { type Kept, NOTHING_KEPT } from "../../homeserver/scope.ts";
import type { Step } from "../../journal/step.ts";
import type { Packing } from "./context.ts";
import type { Source } from "./source.ts";

const LOST_STEP = "export/lost-servers";

/** Finds the servers that no longer answer, whose media is therefore kept; once for each bundle. */
export function lostStep(packing: Packing, { database }: Source): Step {
  const { http, machine, signal } = packing.system;
  return {
    id: LOST_STEP,
    label: "servers that no longer answer",
    inputs: { bundle: packing.place.inventory.id },
    check: () => Promise.resolve(undefined),
    async run() {
      const session = await openSource(database, packing.system);
      const asking = lostOrigins({ session, http, now: machine.now(), signal });
      return { lost: await asking.finally(() => session.close()) };
    },
  };
}

/** Servers that no longer answer, and how much of their media is here. */
export function lostIn({ place, media }: Packing): readonly LostOrigin[] {
  const lost = place.journal.steps[LOST_STEP]?.outcome["lost"];
  return media.remote || !media.backup || !Array.isArray(lost) ? [] : (lost as LostOrigin[]);
}

/** What is moved besides uploads and their thumbnails. */
export function keptIn(packing: Packing): Kept {
  const { backup, remote, previews } = packing.media;
  // Archives for matrix-media-repo have uploads only.
  return backup ? { remote, previews, origins: lostIn(packing).map(({ origin }) => origin) } : NOTHING_KEPT;
}
