import type { Finding } from "../../../report/finding.ts";
import type { Homeserver } from "../../homeserver.ts";
import { settingAt } from "../../settings.ts";

/** Lists the secrets that must be the same on the new host, and where each is. Never shows their values. */
export function secretFindings(homeserver: Homeserver): Finding[] {
  const { secrets } = homeserver;
  const findings: Finding[] = [];
  if (secrets.length > 0) {
    findings.push({
      id: "secrets",
      level: "note",
      sentence: `${secrets.length} ${secrets.length === 1 ? "secret" : "secrets"} of the configuration must be the same on the new host`,
      evidence: secrets.map(({ setting }) => `${setting}: ${describeLocation(setting, homeserver)}`),
      hint: "they are encrypted in the bundle and restored unchanged: no action is needed",
    });
  }
  const fallback = macaroonFallback(secrets.map(({ setting }) => setting));
  return fallback === undefined ? findings : [...findings, fallback];
}

function describeLocation(setting: string, { settings, referenced }: Homeserver): string {
  if (settingAt(settings, setting) !== undefined) return "in the configuration";
  const file = referenced.find(
    (one) => one.role === "secret" && one.setting.replace(/_(?:path|file)$/, "") === setting,
  );
  return file ? `in ${file.path}` : "in a file";
}

/** synapse/config/key.py, `read_config`: what stands in for `macaroon_secret_key`, and then must not change either. */
function macaroonFallback(secrets: readonly string[]): Finding | undefined {
  if (secrets.includes("macaroon_secret_key")) return undefined;
  const other = secrets.includes("registration_shared_secret")
    ? "registration_shared_secret"
    : "a hash of the signing key";
  return {
    id: "macaroon-fallback",
    level: "note",
    sentence: `macaroon_secret_key is not set, so Synapse uses ${other} in its place`,
    hint: "do not set it during the move: guests would be signed out, and links in emails would stop working",
  };
}
