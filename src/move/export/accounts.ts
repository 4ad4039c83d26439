import { overriddenFindings } from "../../homeserver/config/checks/overridden.ts";
import { secretFindings } from "../../homeserver/config/checks/secrets.ts";
import { MigrationError } from "../../errors.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { Finding } from "../../report/finding.ts";

/**
 * What `plan` says of the settings on which people's accounts depend: secrets that must stay the same, and settings that a
 * later file replaces. Throws `found-blockers` for one that is not accepted: afterwards nobody could log in.
 */
export function checkAccounts(homeserver: Homeserver, accepted: readonly string[]): Finding[] {
  const findings = [...overriddenFindings(homeserver), ...secretFindings(homeserver)];
  const first = findings.find(({ id, level }) => level === "blocker" && !accepted.includes(id));
  if (first)
    throw new MigrationError("found-blockers", first.sentence, {
      hint: `${first.hint ?? "correct it"}; or, if everybody can log in as it is: --accept ${first.id}`,
    });
  return findings.map((finding) =>
    finding.level === "blocker"
      ? { ...finding, level: "note", sentence: `${finding.sentence} (accepted)` }
      : finding,
  );
}
