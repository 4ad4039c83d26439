import { TIME_LIMIT_WORDS } from "../time-limit.ts";
import { type Finding, type Level, worstLevel } from "../../report/finding.ts";

/** One thing that was checked at one place. */
export interface CheckResult {
  readonly check: CheckId;
  /** Where: "matrix.example.org, 192.0.2.7 port 443", "resolver 192.0.2.53", or a URL. */
  readonly subject: string;
  /** `ok`: as expected; `note`: not checked, or only to be known. */
  readonly level: Level;
  /** What was found. */
  readonly said: string;
  /** When it ends by itself, in milliseconds since 1970: an answer out of a cache. */
  readonly until?: number;
}

export const result = (check: CheckId, subject: string, level: Level, said: string): CheckResult => ({
  check,
  subject,
  level,
  said,
});

/** "2026-12-01 02:00:30 UTC". */
export const timeText = (milliseconds: number) =>
  `${new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ")} UTC`;

export type CheckId = keyof typeof CHECKS;

interface Words {
  /** When everything is as expected. */
  readonly ok: string;
  readonly failed: string;
  readonly hint: string;
  /** When there are notes only. */
  readonly note?: string;
}

/** Every check in the order of the output, with its sentences. */
export const CHECKS = {
  dns: {
    ok: "DNS answers every question",
    failed: "DNS does not answer some questions, which others meet as well",
    hint: "check the zone at its DNS provider, and the resolvers that are named",
  },
  "old-address": {
    ok: "every name leads to the new host only",
    failed: "a name still leads to another address",
    hint: "change or remove these records at the DNS provider, AAAA records too; an answer out of a cache ends by itself at the time given",
    note: "caches may still lead to what was there before",
  },
  private: {
    ok: "no name leads to a private address",
    failed: "a name that the server gave leads to a private address, which was not followed",
    hint: "if this is your own network, name it with --allow-private",
  },
  discovery: {
    ok: "other servers are led to the right place",
    failed: "other servers are not led to the right place",
    hint: "correct the well-known file for servers, or the SRV records: see synlift delegation show",
    note: "where other servers are led was not compared",
  },
  federation: {
    ok: "every address answers other servers",
    failed: "an address does not answer other servers",
    hint: "make every address answer, or remove its record: other servers use any of them",
    note: "an address cannot be reached from this host, so it was not asked",
  },
  client: {
    ok: "every address answers clients",
    failed: "an address does not answer clients",
    hint: "make every address answer, or remove its record: clients use any of them",
    note: "an address cannot be reached from this host, so it was not asked",
  },
  certificate: {
    ok: "every certificate is valid for its name",
    failed: "a certificate is not valid, or not for long",
    hint: "install one for the name given, from an authority that everybody trusts, with its complete chain",
  },
  "signing-key": {
    ok: "the server signs with the expected keys",
    failed: "the server signs with other keys than expected",
    hint: "stop that server before others see it: a new key is a new identity. Put the key of the old server in place, or correct the address",
    note: "the signing keys were not compared: give --signing-key",
  },
  signature: {
    ok: "the published keys are signed by themselves, valid, and of this server name",
    failed: "the published keys are not signed by themselves, expired, or of another server name",
    hint: "something between changes the answer, or another server answers: no other server will accept these keys",
  },
  version: {
    ok: "every address tells the version of its server",
    failed: "an address does not tell the version of its server",
    hint: "pass /_matrix/federation on to Synapse, beside /_matrix/key",
  },
  "same-answers": {
    ok: "all addresses give the same answers",
    failed: "addresses give different answers",
    hint: "one of them leads to another server or an old file: correct it, or remove its record",
  },
  "well-known-client": {
    ok: "the well-known file for clients is as expected",
    failed: "the well-known file for clients is not as expected",
    hint: "serve the file that synlift delegation files wrote, at every address of the server name",
    note: "the well-known file for clients was not compared",
  },
  "well-known-server": {
    ok: "the well-known file for servers is as expected",
    failed: "the well-known file for servers is not as expected",
    hint: "serve the file that synlift delegation files wrote, at every address of the server name",
    note: "the well-known file for servers was not compared",
  },
  "well-known-others": {
    ok: "the other well-known files are as expected",
    failed: "another well-known file is not as expected",
    hint: "serve the file that synlift delegation files wrote, at every address of the server name",
    note: "other well-known files were not compared",
  },
  cors: {
    ok: "clients in browsers may use every answer",
    failed: "clients in browsers may not use an answer",
    hint: "answer OPTIONS with 2xx, and send each Access-Control header once: by the proxy or by Synapse, not by both",
  },
  login: {
    ok: "a login tells clients the expected base URL",
    failed: "a login does not tell clients the expected base URL",
    hint: "correct public_baseurl in the configuration of the new server: clients switch to what the login answers",
    note: "what a login answers was not compared: give --client-url",
  },
  notary: {
    ok: "other servers know the expected keys",
    failed: "another server does not know the expected keys",
    hint: "it asks again by itself; where it knows a wrong key, find out which server published that",
    note: "what other servers know was not compared: give --signing-key",
  },
  "time-limit": { ok: "everything answered within the time limit", ...TIME_LIMIT_WORDS },
} as const satisfies Readonly<Record<string, Words>>;

/** One finding for each check that was made, with a line for each place; the worst places first. */
export function findingsOf(results: readonly CheckResult[]): Finding[] {
  return (Object.keys(CHECKS) as CheckId[]).flatMap((id) => {
    const own = results.filter(({ check }) => check === id);
    if (own.length === 0) return [];
    const level = worstLevel(own.map((one) => ({ id, level: one.level, sentence: "" })));
    const words: Words = CHECKS[id];
    const shown = level === "ok" ? own : own.filter((one) => one.level !== "ok");
    return [
      {
        id: `delegation-${id}`,
        level,
        sentence: level === "ok" ? words.ok : level === "note" ? (words.note ?? words.ok) : words.failed,
        evidence: [...new Set(shown.map(({ subject, said }) => `${subject}: ${said}`))],
        ...(level === "ok" || level === "note" ? {} : { hint: words.hint }),
      },
    ];
  });
}
