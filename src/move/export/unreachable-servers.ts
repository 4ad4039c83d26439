import { openSource } from "../../homeserver/database/source.ts";
import { findLostOrigins, type LostOrigin } from "../../homeserver/media/remote/origins.ts";
import { type Kept, NOTHING_KEPT } from "../../homeserver/scope.ts";
import type { Step } from "../../journal/step.ts";
import type { ExportContext } from "./context.ts";
import type { SourceState } from "./source.ts";

const LOST_SERVERS_STEP = "export/lost-servers";

/** Finds the servers that no longer answer, whose media is therefore kept; once for each bundle. */
export function lostServersStep(packing: ExportContext, { database }: SourceState): Step {
  const { http, machine, signal } = packing.system;
  return {
    id: LOST_SERVERS_STEP,
    label: "servers that no longer answer",
    inputs: { bundle: packing.workspace.inventory.id },
    findFault: () => Promise.resolve(undefined),
    async run() {
      const session = await openSource(database, packing.system);
      const asking = findLostOrigins({ session, http, now: machine.now(), signal });
      return { lost: await asking.finally(() => session.close()) };
    },
  };
}

/** Servers that no longer answer, and how much of their media is here. */
export function lostServersIn({ workspace, media }: ExportContext): readonly LostOrigin[] {
  const lost = workspace.journal.steps[LOST_SERVERS_STEP]?.outcome["lost"];
  return media.remote || !media.backup || !Array.isArray(lost) ? [] : (lost as LostOrigin[]);
}

/** What is moved besides uploads and their thumbnails. */
export function mediaScopeOf(packing: ExportContext): Kept {
  const { backup, remote, previews } = packing.media;
  // Archives for matrix-media-repo have uploads only.
  return backup
    ? { remote, previews, origins: lostServersIn(packing).map(({ origin }) => origin) }
    : NOTHING_KEPT;
}
