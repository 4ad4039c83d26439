import type { Finding } from "../../../report/finding.ts";
import type { Homeserver } from "../../homeserver.ts";
import { settingAt } from "../../settings.ts";
import { isSince } from "../../synapse-versions.ts";
import type { MoveVersions } from "./removed-settings.ts";

/** A setting whose meaning changed between the two versions; Synapse does not warn about it. */
interface Changed {
  readonly setting: string;
  readonly since: string;
  readonly applies: (value: unknown, homeserver: Homeserver) => boolean;
  readonly sentence: string;
  readonly hint: string;
}

const hasBridges = ({ referenced }: Homeserver) => referenced.some(({ role }) => role === "appservice");

/** Source: the upgrade notes of these versions (docs/upgrade.md). */
const CHANGED: readonly Changed[] = [
  {
    setting: "enable_authenticated_media",
    since: "1.120",
    applies: (value) => value === undefined,
    sentence: "media that is uploaded from then on requires authentication",
    hint: "old clients and servers cannot fetch it; enable_authenticated_media: false keeps the old behaviour",
  },
  {
    setting: "use_appservice_legacy_authorization",
    since: "1.90",
    applies: (value, homeserver) => value === undefined && hasBridges(homeserver),
    sentence: "bridges receive the token only in a header, no longer in the URL",
    hint: "old bridges then refuse every request: update them, or set use_appservice_legacy_authorization: true",
  },
  {
    setting: "enable_legacy_metrics",
    since: "1.73",
    applies: (value) => value === true,
    sentence: "the old names of metrics were removed",
    hint: "change dashboards and alerts to the new names",
  },
  {
    setting: "experimental_features.groups_enabled",
    since: "1.61",
    applies: (value) => value === true,
    sentence: "communities were removed",
    hint: "spaces replace them",
  },
];

/** What behaves differently on the new host because it has a newer Synapse. Empty unless both versions are known. */
export function changedFindings(homeserver: Homeserver, { source, target }: MoveVersions): Finding[] {
  if (!source || !target) return [];
  return CHANGED.filter(({ since }) => !isSince(source, since) && isSince(target, since))
    .filter(({ setting, applies }) => applies(settingAt(homeserver.settings, setting), homeserver))
    .map(({ setting, since, sentence, hint }) => ({
      id: `config-changed:${setting}`,
      level: "note",
      sentence: `the new host runs Synapse ${since} or later: ${sentence} (${setting})`,
      hint,
    }));
}
