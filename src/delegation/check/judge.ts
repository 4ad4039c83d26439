import { isDeepStrictEqual } from "node:util";
import { OUTCOME_TEXT } from "../discovery.ts";
import type { KeyAnswer } from "../key-answer.ts";
import { parseServerName } from "../server-name.ts";
import type { Observed } from "./collect.ts";
import type { Expected } from "./expected.ts";
import { judgeFiles, trimmedUrl } from "./judge-files.ts";
import { type Asked, type FederationSeen, placeText } from "./observe.ts";
import { type CheckId, type CheckResult, result, timeText } from "./result.ts";

const DAY = 86_400_000;
/** Milliseconds before expiry within which a certificate is reported. */
const SOON = 14 * DAY;

/** What was asked, compared with what is expected: one result for each check at each place. */
export function judge(seen: Observed): CheckResult[] {
  return [
    ...judgeDns(seen),
    ...judgeAddresses(seen),
    ...judgeDiscovery(seen),
    ...judgeAnswers(seen),
    ...judgeCertificates(seen),
    ...judgeKeys(seen),
    ...judgeSame(seen),
    ...judgeFiles(seen),
    ...judgeCors(seen),
    ...judgeLogin(seen),
    ...judgeNotaries(seen),
  ];
}

function judgeDns({ views }: Observed): CheckResult[] {
  return views.flatMap(({ name, unanswered }) =>
    unanswered.length === 0
      ? [result("dns", name, "ok", "every question was answered")]
      : unanswered.map((one) =>
          result("dns", name, "blocker", `${one.name} ${one.type}: ${OUTCOME_TEXT[one.outcome]}`),
        ),
  );
}

/** Which names lead to other addresses than the new host's, for whom, and until when. */
function judgeAddresses(seen: Observed): CheckResult[] {
  const { views, order, direct, now } = seen;
  const known = knownAddresses(seen);
  const results: CheckResult[] = [];
  for (const view of views) {
    for (const { host, refused } of view.names)
      for (const address of refused)
        results.push(
          result("private", view.name, "warning", `${host} is ${address}: --allow-private ${host}`),
        );
    if (direct) continue;
    for (const { host, addresses } of view.names) {
      const right = known(host);
      if (!right) continue;
      const others = addresses.filter(({ address }) => !right.includes(address));
      if (others.length === 0 && addresses.length > 0)
        results.push(
          result(
            "old-address",
            view.name,
            "ok",
            `${host} is ${addresses.map(({ address }) => address).join(", ")}`,
          ),
        );
      for (const { address, ttl } of others) {
        const until = now + ttl * 1000;
        const told = view.caches ? `, from its cache until ${timeText(until)}` : "";
        const left = address.includes(":") ? "AAAA" : "A";
        const wrong = result("old-address", view.name, "blocker", `${host} ${left} is ${address}${told}`);
        results.push(view.caches ? { ...wrong, until } : wrong);
      }
    }
  }
  for (const { what, until } of order.expected.caches)
    if (until > now)
      results.push({
        ...result("old-address", what, "note", `may still be used as it was until ${timeText(until)}`),
        until,
      });
  return results;
}

/**
 * The addresses that are right for a host: the expected ones for what others connect to, else those that the zones' own
 * servers give, so that a resolver is compared with them.
 */
function knownAddresses({ views, federation, client, order }: Observed) {
  const { addresses } = order.expected;
  const moving = new Set([...federation, ...client].map(({ host }) => host));
  return (host: string): readonly string[] | undefined =>
    addresses.length > 0 && moving.has(host)
      ? addresses
      : views[0]?.names.find((name) => name.host === host)?.addresses.map(({ address }) => address);
}

function judgeDiscovery({ views, order, filesStay }: Observed): CheckResult[] {
  const { federation } = order.expected;
  const wanted = federation === undefined ? undefined : parseServerName(federation);
  return views.map(({ name, discovery: { endpoint, steps } }) => {
    if (filesStay)
      return result(
        "discovery",
        name,
        "note",
        "the well-known files do not move with this address: check by name afterwards",
      );
    if (!endpoint)
      return result("discovery", name, "blocker", steps.at(-1)?.answer ?? "discovery found no address");
    const places = endpoint.targets.map(({ host, port }) => `${host} port ${port}`).join(", then ");
    const said = `${endpoint.hostHeader} at ${places}, by step ${endpoint.step}`;
    if (!wanted) return result("discovery", name, "ok", said);
    const right = endpoint.hostHeader.toLowerCase() === wanted.text.toLowerCase();
    return result(
      "discovery",
      name,
      right ? "ok" : "blocker",
      right ? said : `${said}, and not ${wanted.text}`,
    );
  });
}

function judgeAnswers({ federation, client, order, views }: Observed): CheckResult[] {
  const results: CheckResult[] = [];
  if (federation.length === 0)
    results.push(result("federation", order.serverName, "blocker", "there is no address to ask"));
  for (const seen of federation) {
    results.push(answered("federation", placeText(seen), seen.keys, () => "publishes its signing key"));
    if (seen.keys.value !== undefined)
      results.push(answered("version", placeText(seen), seen.version, (version) => version));
  }
  const url = order.expected.clientUrl ?? views[0]?.clientFile.value;
  if (client.length === 0)
    results.push(
      url === undefined
        ? result(
            "client",
            order.serverName,
            "note",
            "no base URL is known: there is no well-known file for clients",
          )
        : result("client", url, "blocker", "there is no address to ask"),
    );
  for (const seen of client)
    results.push(
      answered(
        "client",
        placeText(seen),
        seen.versions,
        (versions) => `speaks up to ${versions.at(-1) ?? "no version"}`,
      ),
    );
  return results;
}

function answered<T>(
  check: CheckId,
  subject: string,
  asked: Asked<T>,
  say: (value: T) => string,
): CheckResult {
  if (asked.problem !== undefined)
    return result(check, subject, asked.noRoute === true ? "note" : "blocker", asked.problem);
  return result(check, subject, "ok", say(asked.value));
}

function judgeCertificates({ federation, client, now }: Observed): CheckResult[] {
  const all = [
    ...federation.map((seen) => ({ place: seen, name: seen.certificateName, asked: seen.certificate })),
    ...client.flatMap((seen) =>
      seen.certificate ? [{ place: seen, name: new URL(seen.url).hostname, asked: seen.certificate }] : [],
    ),
  ];
  return all.flatMap(({ place, name, asked }) => {
    // What does not answer at all is told by the other checks.
    if (asked.value === undefined) return [];
    const { names, issuer, validTo, fits, distrust } = asked.value;
    const about = `for ${names.join(", ") || "no name"}, by ${issuer}, until ${timeText(validTo)}`;
    if (distrust !== undefined)
      return [result("certificate", placeText(place), "blocker", `${distrust}; ${about}`)];
    if (!fits) return [result("certificate", placeText(place), "blocker", `it is not for ${name}; ${about}`)];
    const soon = validTo < now + SOON;
    return [
      result(
        "certificate",
        placeText(place),
        soon ? "warning" : "ok",
        soon ? `it expires soon; ${about}` : about,
      ),
    ];
  });
}

function judgeKeys({ federation, order, now }: Observed): CheckResult[] {
  const results: CheckResult[] = [];
  for (const seen of federation) {
    const keys = seen.keys.value;
    if (!keys) continue;
    results.push({ check: "signing-key", subject: placeText(seen), ...compareKeys(keys, order.expected) });
    const fault = keyFault(keys, order.serverName, now);
    results.push(
      result("signature", placeText(seen), fault === undefined ? "ok" : "blocker", fault ?? validText(keys)),
    );
  }
  return results;
}

const validText = ({ validUntil }: KeyAnswer) => `signed, and valid until ${timeText(validUntil ?? 0)}`;

function compareKeys({ keys }: KeyAnswer, { keys: expected }: Expected): Pick<CheckResult, "level" | "said"> {
  const texts = (all: KeyAnswer["keys"]) => all.map(({ id, publicKey }) => `${id} ${publicKey}`);
  const [is, wanted] = [texts(keys), texts(expected)];
  const said = is.join(", ") || "no key";
  if (wanted.length === 0) return { level: "note", said };
  const missing = wanted.filter((one) => !is.includes(one));
  const more = is.filter((one) => !wanted.includes(one));
  if (missing.length === 0 && more.length === 0) return { level: "ok", said };
  return { level: "blocker", said: `${said}; expected ${wanted.join(", ")}` };
}

function keyFault(
  { serverName, keys, validUntil, unverified }: KeyAnswer,
  expectedName: string,
  now: number,
): string | undefined {
  if (serverName !== expectedName) return `they are the keys of ${serverName}`;
  if (keys.length === 0) return "there is no key";
  if (unverified.length > 0) return `the signature with ${unverified.join(", ")} is wrong or missing`;
  if (validUntil === undefined) return "valid_until_ts is missing";
  return validUntil <= now ? `they were valid until ${timeText(validUntil)}` : undefined;
}

/** Every address must be the same server: DNS gives any of them. */
function judgeSame({ federation, client, files }: Observed): CheckResult[] {
  const same = (what: string, given: readonly { subject: string; value: unknown; text: string }[]) => {
    const all = given.filter(({ value }) => value !== undefined);
    const [first, ...others] = all;
    if (!first || others.length === 0) return [];
    const differs = others.some(({ value }) => !isDeepStrictEqual(value, first.value));
    const said = all.map(({ subject, text }) => `${subject}: ${text}`).join("; ");
    return [result("same-answers", what, differs ? "blocker" : "ok", differs ? said : first.text)];
  };
  const keyText = (seen: FederationSeen) =>
    seen.keys.value?.keys.map(({ id, publicKey }) => `${id} ${publicKey}`).join(", ") ?? "";
  const paths = [...new Set(files.map(({ path }) => path))];
  return [
    ...same(
      "signing keys",
      federation.map((seen) => ({
        subject: placeText(seen),
        value: seen.keys.value?.keys,
        text: keyText(seen),
      })),
    ),
    ...same(
      "version for servers",
      federation.map((seen) => ({
        subject: placeText(seen),
        value: seen.version.value,
        text: seen.version.value ?? "",
      })),
    ),
    ...same(
      "versions for clients",
      client.map((seen) => ({
        subject: placeText(seen),
        value: seen.versions.value,
        text: `up to ${seen.versions.value?.at(-1) ?? ""}`,
      })),
    ),
    ...paths.flatMap((path) =>
      same(
        `/.well-known/${path}`,
        files
          .filter((file) => file.path === path)
          .map(({ address, content, fact }) => ({
            subject: address,
            // An address without the file differs from one with it; one that does not answer is told elsewhere.
            value: fact.state === "unreachable" ? undefined : (content ?? fact.state),
            text: content ? shortJson(content) : fact.state,
          })),
      ),
    ),
  ];
}

const shortJson = (value: unknown) => {
  const text = JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
};

function judgeCors({ client }: Observed): CheckResult[] {
  return client.flatMap((seen) => {
    // What does not answer at all is told already.
    if (seen.versions.problem !== undefined) return [];
    return [answered("cors", placeText(seen), seen.cors, () => "requests with an access token are allowed")];
  });
}

function judgeLogin({ login, order }: Observed): CheckResult[] {
  if (!login || !order.login) return [];
  const subject = order.login.user;
  const results: CheckResult[] = [];
  const { baseUrl } = login;
  const wanted = order.expected.clientUrl;
  if (baseUrl.value === undefined) results.push(result("login", subject, "warning", baseUrl.problem));
  else if (baseUrl.value === null)
    results.push(
      result("login", subject, "warning", "the answer has no base URL: public_baseurl is not set"),
    );
  else if (wanted === undefined) results.push(result("login", subject, "note", baseUrl.value));
  else {
    const right = trimmedUrl(baseUrl.value) === trimmedUrl(wanted);
    results.push(result("login", subject, right ? "ok" : "blocker", baseUrl.value));
  }
  if (login.leftBehind)
    results.push(
      result("login", subject, "warning", "the device of this login could not be signed out again"),
    );
  return results;
}

function judgeNotaries({ notaries, order, now }: Observed): CheckResult[] {
  return notaries.map(({ notary, keys }): CheckResult => {
    if (keys.value === undefined) return result("notary", notary, "warning", keys.problem);
    const { level, said } = compareKeys(keys.value, order.expected);
    const fault = keyFault(keys.value, order.serverName, now);
    if (fault !== undefined && level !== "blocker")
      return result("notary", notary, "warning", `${said}; ${fault}`);
    return { check: "notary", subject: notary, level, said };
  });
}
