import type { Finding } from "../../report/finding.ts";
import type { Settings } from "../homeserver.ts";
import { isMapping } from "../settings.ts";
import type { SigningKey } from "./key-file.ts";

/** Before this a time in milliseconds would be in 1973: it was written in seconds. */
const SECONDS = 100_000_000_000;

/**
 * `old_signing_keys`: keys that are no longer used, with which other servers still verify old events. Synapse does not start with
 * one that it cannot read (`read_old_signing_keys` in synapse/config/key.py). `now` is in milliseconds.
 */
export function oldKeyFindings(settings: Settings, current: readonly SigningKey[], now: number): Finding[] {
  const old = settings["old_signing_keys"];
  if (old === undefined || old === null) return [];
  if (!isMapping(old)) return [unreadable("old_signing_keys", "is not a mapping of key ids")];
  const entries = Object.entries(old);
  if (entries.length === 0) return [];
  const findings = entries.flatMap(([id, entry]) => entryFindings(id, entry, current, now));
  return [
    {
      id: "old-signing-keys",
      level: "note",
      sentence: `${entries.length} old signing ${entries.length === 1 ? "key is" : "keys are"} published, which must stay in the configuration`,
      evidence: entries.map(([id, entry]) => `${id}${expiry(entry)}`),
    },
    ...findings,
  ];
}

function entryFindings(id: string, entry: unknown, current: readonly SigningKey[], now: number): Finding[] {
  const setting = `old_signing_keys.${id}`;
  if (!/^ed25519:\S+$/.test(id)) return [unreadable(setting, "is not an ed25519 key by its name")];
  if (!isMapping(entry)) return [unreadable(setting, "is not a mapping of key and expired_ts")];
  const { key, expired_ts: expired } = entry;
  const bytes =
    typeof key === "string" && /^[A-Za-z0-9+/]+=*$/.test(key) ? Buffer.from(key, "base64") : undefined;
  if (bytes?.length !== 32) return [unreadable(setting, "has no public key in base64")];
  if (typeof expired !== "number") return [unreadable(setting, "has no expired_ts")];
  const publicKey = bytes.toString("base64").replace(/=+$/, "");
  const findings: Finding[] = [];
  const same = current.find((one) => one.publicKey === publicKey || one.id === id);
  if (same) {
    const what = same.publicKey === publicKey ? "is the key that is in use" : "has the id of the key in use";
    const hint = "a key in use must not be among the old ones: take it out of old_signing_keys";
    findings.push(warning(setting, `${setting} ${what}, ${same.id}`, hint));
  }
  if (expired < SECONDS) {
    const hint = `it is counted in milliseconds: ${Math.trunc(expired)}000 if this was in seconds`;
    findings.push(
      warning(setting, `expired_ts of ${setting} is a time in ${new Date(expired).getUTCFullYear()}`, hint),
    );
  } else if (expired > now) {
    const hint =
      "other servers accept the key until then: set the time at which it was last used, in milliseconds";
    findings.push(warning(setting, `expired_ts of ${setting} is in the future`, hint));
  }
  return findings;
}

/** `key_refresh_interval`: how long the published answer is valid, and so kept by others; a day when left out. */
export function refreshFindings(settings: Settings): Finding[] {
  const given = settings["key_refresh_interval"];
  const days = typeof given === "number" ? given / DAY : daysIn(typeof given === "string" ? given : "");
  if (days === undefined || days <= 1) return [];
  return [
    {
      id: "signing-key-refresh",
      level: "note",
      sentence: `other servers may keep the signing key that they saw for ${Math.round(days)} days, by key_refresh_interval`,
      hint: "with the same key on the new host this is harmless",
    },
  ];
}

const DAY = 24 * 3600 * 1000;
/** As `parse_duration` in synapse/config/_base.py counts. */
const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: DAY,
  w: 7 * DAY,
  y: 365 * DAY,
};

function daysIn(text: string): number | undefined {
  const [, number, unit = ""] = /^(\d+)([smhdwy]?)$/.exec(text) ?? [];
  return number === undefined ? undefined : (Number(number) * UNITS[unit]!) / DAY;
}

function expiry(entry: unknown): string {
  const time = isMapping(entry) ? entry["expired_ts"] : undefined;
  const isTime = typeof time === "number" && Math.abs(time) <= 8.64e15;
  return isTime ? `, until ${new Date(time).toISOString()}` : "";
}

const unreadable = (setting: string, what: string): Finding => ({
  id: `old-signing-key:${setting.replace(/^old_signing_keys\.?/, "") || "all"}`,
  level: "blocker",
  sentence: `${setting} ${what}, and Synapse does not start with it`,
  hint: "write it as export_signing_key prints it: the key id, with key and expired_ts below it",
});

const warning = (setting: string, sentence: string, hint: string): Finding => ({
  id: `old-signing-key:${setting.replace(/^old_signing_keys\./, "")}`,
  level: "warning",
  sentence,
  hint,
});
