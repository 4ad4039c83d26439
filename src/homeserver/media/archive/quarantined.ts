import type { Inventory } from "../../../bundle/inventory.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import { MEDIA_QUARANTINED } from "../accept-ids.ts";
import { packedArchives } from "./section.ts";

const SHOWN = 20;

/** Below the folders that archives are unpacked into; one media ID a line. */
export const QUARANTINED_LIST = "quarantined-uploads.txt";

/** The media IDs of the quarantined uploads in the archives of a bundle. */
export const quarantinedIn = (inventory: Inventory): readonly string[] => [
  ...new Set(packedArchives(inventory).flatMap(({ quarantined }) => quarantined)),
];

/**
 * That the importer of matrix-media-repo does not know of quarantine (its archives have no field for it), with the calls
 * that set it again. Nothing where no archive has a quarantined upload. `list` is a file with all IDs, a line each.
 */
export function quarantineFindings(
  ids: readonly string[],
  serverName: string,
  { shown = SHOWN, list }: { shown?: number | undefined; list?: string | undefined } = {},
): Finding[] {
  if (ids.length === 0) return [];
  const call = (id: string) =>
    `POST /_matrix/media/unstable/admin/quarantine/${encodeURIComponent(serverName)}/${encodeURIComponent(id)}`;
  const more = ids.length > shown ? [`and ${formatCount(ids.length - shown)} more`] : [];
  return [
    {
      id: MEDIA_QUARANTINED,
      level: "note",
      sentence: `quarantined uploads in the media archives, which matrix-media-repo's importer makes public again: ${formatCount(ids.length)}`,
      evidence: [...ids.slice(0, shown).map(call), ...more],
      hint: `import them while nobody can reach matrix-media-repo, and quarantine each again at once: curl -X POST -H "Authorization: Bearer …" http://127.0.0.1:8000 with each path${list === undefined ? "" : `; all IDs are in ${list}`}; Synapse keeps their quarantine by itself`,
    },
  ];
}
