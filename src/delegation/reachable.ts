import type { Finding } from "../report/finding.ts";
import type { AddressFact, ClientFact, FederationFact } from "./facts.ts";

const DAY = 86_400_000;
/** Milliseconds before expiry within which a certificate is reported. */
const SOON = 14 * DAY;

/** Whether every address responds correctly, with a certificate that stays valid during the move. */
export function reachableFindings(
  { federation, client }: { readonly federation?: FederationFact; readonly client?: ClientFact },
  now: number,
): Finding[] {
  const findings: Finding[] = [];
  if (federation && federation.addresses.length > 0)
    findings.push(...answering(federation.addresses, FEDERATION));
  if (client) findings.push(...answering(client.addresses, CLIENT, client.baseUrl));
  const all = [...(federation?.addresses ?? []), ...(client?.addresses ?? [])];
  if (federation?.differing)
    findings.push({
      id: "federation-addresses-differ",
      level: "warning",
      sentence: "the addresses that other servers use lead to different servers",
      evidence: federation.differing,
      hint: "remove the record that leads to the wrong one, often an AAAA record that was left behind: other servers use any of them",
    });
  return [...findings, ...untried(all), ...hidden(all), ...certificates(all, federation, client, now)];
}

const FEDERATION = { id: "federation", who: "other servers", ending: "federation" } as const;
const CLIENT = { id: "client", who: "clients", ending: "the client API" } as const;

function answering(
  addresses: readonly AddressFact[],
  { id, who, ending }: typeof FEDERATION | typeof CLIENT,
  url?: string,
): Finding[] {
  const wrong = addresses.filter(({ state, certificate }) => state === "unanswered" && !isBad(certificate));
  const answers = addresses.some(({ state }) => state === "answers");
  const evidence = wrong.map((fact) => `${placeText(fact)}: ${fact.problem ?? "no answer"}`);
  if (url !== undefined && addresses.length === 0)
    return [
      {
        id: "client-unreachable",
        level: "warning",
        sentence: `clients are sent to ${url}, which has no address`,
        hint: "add an A or AAAA record for it, or change m.homeserver.base_url",
      },
    ];
  if (wrong.length > 0 && !answers)
    return [
      {
        id: `${id}-unreachable`,
        level: "warning",
        sentence: `no address that ${who} use responds${url === undefined ? "" : `: ${url}`}`,
        evidence,
        hint: "some routers do not support connections to their own public address (hairpin NAT): then check from another network; otherwise start the server, or open the port",
      },
    ];
  if (wrong.length > 0) {
    const onlySix = wrong.every(({ family }) => family === 6);
    return [
      {
        id: `${id}-address-unreachable`,
        level: "warning",
        sentence: `${onlySix ? "an IPv6 address" : "an address"} that ${who} use does not respond`,
        evidence,
        hint: `make every address answer for ${ending}, or remove its ${onlySix ? "AAAA " : ""}record: connections to this address fail`,
      },
    ];
  }
  if (!answers) return [];
  const tried = addresses.filter(({ state }) => state === "answers");
  const sentence =
    url === undefined
      ? "the server responds at the addresses that other servers use"
      : `clients are sent to ${url}, which answers`;
  return [{ id: `${id}-answers`, level: "ok", sentence, evidence: tried.map(placeText) }];
}

function untried(addresses: readonly AddressFact[]): Finding[] {
  const places = new Set(addresses.filter(({ state }) => state === "untried").map(placeText));
  if (places.size === 0) return [];
  return [
    {
      id: "address-not-tested",
      level: "note",
      sentence: "this host has no route to an address of the server, so it was not tested",
      evidence: [...places],
      hint: "usually this host has no IPv6: test these addresses from a host that has it",
    },
  ];
}

/** RFC 1918 and RFC 4193. */
const PRIVATE = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|f[cd][0-9a-f]{2}:)/i;

/** An internal resolver may return other addresses than public ones; and private ones are followed only where that was asked for. */
function hidden(addresses: readonly AddressFact[]): Finding[] {
  const refused = addresses.filter(({ state }) => state === "private");
  const places = (facts: readonly AddressFact[]) => [...new Set(facts.map(placeText))];
  const findings: Finding[] = [];
  if (refused.length > 0)
    findings.push({
      id: "private-not-followed",
      level: "warning",
      sentence: "a name that the server gave leads to a private address, which was not followed",
      evidence: places(refused),
      hint: `if this is your own network: ${[...new Set(refused.map(({ host }) => `--allow-private ${host}`))].join(" ")}`,
    });
  const shown = addresses.filter(({ state, address }) => state !== "private" && PRIVATE.test(address));
  if (shown.length > 0)
    findings.push({
      id: "address-private",
      level: "note",
      sentence:
        "DNS returns a private address of the server to this host, which is not reachable from outside",
      evidence: places(shown),
      hint: "use a resolver outside this network to see the public addresses",
    });
  return findings;
}

function certificates(
  addresses: readonly AddressFact[],
  federation: FederationFact | undefined,
  client: ClientFact | undefined,
  now: number,
): Finding[] {
  const shown = addresses.filter(({ certificate }) => certificate !== undefined);
  const invalid = shown.filter(({ certificate }) => isBad(certificate));
  const ending = shown.filter(({ certificate }) => !isBad(certificate) && certificate!.validTo < now + SOON);
  const findings: Finding[] = [];
  if (invalid.length > 0)
    findings.push({
      id: "certificate-invalid",
      level: "warning",
      sentence: "a certificate of the server is not valid for clients or other servers",
      evidence: unique(invalid),
      hint: certificateHint(federation, client),
    });
  if (ending.length > 0)
    findings.push({
      id: "certificate-expiring",
      level: "warning",
      sentence: `a certificate expires in ${days(Math.min(...ending.map(({ certificate }) => certificate!.validTo)), now)}`,
      evidence: unique(ending),
      hint: "renew it before the move: validation over HTTP fails once the name points to another host",
    });
  if (findings.length > 0 || shown.length === 0) return findings;
  return [
    { id: "certificate", level: "ok", sentence: "the certificates are valid", evidence: unique(shown) },
  ];
}

const isBad = (certificate: AddressFact["certificate"]) =>
  certificate !== undefined && (!certificate.trusted || !certificate.fits);

const placeText = ({ host, address, port }: AddressFact) =>
  host === address ? `${address} port ${port}` : `${host}, ${address} port ${port}`;

function unique(facts: readonly AddressFact[]): string[] {
  return [
    ...new Set(
      facts.map((fact) => {
        const { names, issuer, validTo, distrust, fits } = fact.certificate!;
        const wrong = distrust ?? (fits ? undefined : "it is for other names");
        const until = new Date(validTo).toISOString().slice(0, 10);
        return `${placeText(fact)}: ${wrong === undefined ? "" : `${wrong}; `}for ${names.join(", ") || "no name"}, by ${issuer}, until ${until}`;
      }),
    ),
  ];
}

function certificateHint(federation: FederationFact | undefined, client: ClientFact | undefined): string {
  const names = [federation?.certificateName, client?.host].filter((name) => name !== undefined);
  return `it must be valid for ${[...new Set(names)].join(" and ")}, not for the target of an SRV record, and be sent with its complete chain`;
}

function days(validTo: number, now: number): string {
  const left = Math.max(0, Math.floor((validTo - now) / DAY));
  return left === 1 ? "1 day" : `${left} days`;
}
