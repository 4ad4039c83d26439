import { maintenanceBehaviour } from "../../old-address/maintenance.ts";
import type { System } from "../../system/system.ts";
import { type SiteOrder, type SiteResult, writeSite } from "./site.ts";

/** What clients are told while the server is down. */
export interface MaintenanceAnswer {
  /** Seconds. */
  readonly retryAfter: number;
  readonly message: string;
}

/** Writes the file that answers 503; see `writeSite`. */
export const writeMaintenance = (
  { site, answer }: { readonly site: SiteOrder; readonly answer: MaintenanceAnswer },
  system: Pick<System, "files" | "programs">,
): Promise<SiteResult> =>
  writeSite(
    site,
    {
      head: [
        `It answers for ${site.old.host} while its homeserver is down: 503, with Retry-After.`,
        "Every session goes on afterwards. Take it away before the old server starts again, or forward the address instead.",
      ],
      behaviour: (untouched) => maintenanceBehaviour({ ...answer, untouched }),
    },
    system,
  );
