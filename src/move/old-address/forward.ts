import { forwardBehaviour } from "../../old-address/forward.ts";
import type { System } from "../../system/system.ts";
import { type SiteOrder, type SiteResult, writeSite } from "./site.ts";

/** Writes the file that forwards the old address; see `writeSite`. */
export const writeForward = (
  { site, to }: { readonly site: SiteOrder; readonly to: string },
  system: Pick<System, "files" | "programs">,
): Promise<SiteResult> =>
  writeSite(
    site,
    {
      head: [
        `It forwards ${site.old.host} to ${to}.`,
        "Every session at the old address goes on, with its keys. Keep it for as long as clients use the old address.",
        "The certificate must be renewed for as long, too.",
      ],
      behaviour: (untouched) =>
        forwardBehaviour({ to: { origin: to, authorities: site.authorities }, untouched }),
    },
    system,
  );
