import type { Finding } from "../../report/finding.ts";
import type { Homeserver } from "../homeserver.ts";
import { fingerprint } from "./export.ts";
import type { ConfigSection } from "./pack/packed-file.ts";

/** Secrets that break what people have when they appear out of nothing: a pepper where there was none refuses every password. */
const MAY_NOT_APPEAR = ["password_config.pepper", "macaroon_secret_key"];

/**
 * The gates on the configuration: the same name and the same secrets on the new host as in the inventory. `homeserver` is
 * the new host's, read anew. Shows no secret.
 */
export function verifyConfig(
  section: ConfigSection,
  homeserver: Pick<Homeserver, "serverName" | "secrets">,
  salt: Uint8Array,
): Finding[] {
  const here = new Map(homeserver.secrets.map(({ setting, value }) => [setting, fingerprint(salt, value)]));
  const before = new Map(section.secrets.map((secret) => [secret.setting, secret.fingerprint]));
  return [
    sameName(section, homeserver),
    ...[...before].map(([setting, expected]) => sameSecret(setting, expected, here.get(setting))),
    ...[...here.keys()].filter((setting) => !before.has(setting)).map(newSecret),
  ];
}

function sameName({ serverName }: ConfigSection, homeserver: Pick<Homeserver, "serverName">): Finding {
  const id = "server-name";
  if (homeserver.serverName === serverName) {
    return { id, level: "ok", sentence: `the server name is ${serverName}, as at the source` };
  }
  return {
    id,
    level: "blocker",
    sentence: `the server name is ${homeserver.serverName} and was ${serverName} at the source`,
    hint: "set server_name to what it was: a homeserver's name can never change",
  };
}

function sameSecret(setting: string, expected: string, found: string | undefined): Finding {
  const id = `secret:${setting}`;
  if (found === expected) return { id, level: "ok", sentence: `${setting} is the same as at the source` };
  return {
    id,
    level: "blocker",
    sentence:
      found === undefined
        ? `${setting} was set at the source and is not`
        : `${setting} is not what it was at the source`,
    hint: "take the value from the old configuration",
  };
}

function newSecret(setting: string): Finding {
  return {
    id: `secret:${setting}`,
    level: MAY_NOT_APPEAR.includes(setting) ? "blocker" : "warning",
    sentence: `${setting} is set and was not at the source`,
    hint: "take the setting out",
  };
}
