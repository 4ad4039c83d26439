import type { Finding } from "../../report/finding.ts";
import type { Homeserver } from "../homeserver.ts";
import { fingerprint } from "./export.ts";
import type { ConfigSection } from "./pack/packed-file.ts";

/** Secrets that must not be added: with a new pepper every password is rejected. */
const BREAKS_WHEN_ADDED = ["password_config.pepper", "macaroon_secret_key"];

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
    return { id, level: "ok", sentence: `the server name is ${serverName}, as on the old host` };
  }
  return {
    id,
    level: "blocker",
    sentence: `the server name is ${homeserver.serverName}, but was ${serverName} on the old host`,
    hint: "set server_name to its old value: the name of a homeserver can never change",
  };
}

function sameSecret(setting: string, expected: string, found: string | undefined): Finding {
  const id = `secret:${setting}`;
  if (found === expected) return { id, level: "ok", sentence: `${setting} is the same as on the old host` };
  return {
    id,
    level: "blocker",
    sentence:
      found === undefined
        ? `${setting} was set on the old host and is not set here`
        : `${setting} differs from its value on the old host`,
    hint: "copy the value from the old configuration",
  };
}

function newSecret(setting: string): Finding {
  return {
    id: `secret:${setting}`,
    level: BREAKS_WHEN_ADDED.includes(setting) ? "blocker" : "warning",
    sentence: `${setting} is set here and was not set on the old host`,
    hint: "remove the setting",
  };
}
