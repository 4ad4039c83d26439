import type { Finding } from "../report/finding.ts";
import { formatDuration } from "../report/units.ts";
import { type AffectedHosts, LOW_TTL } from "./affected.ts";
import { CACHE_MAXIMUM } from "./cache-time.ts";
import type { ClientFact, FederationFact, WellKnownFact, WellKnownFiles } from "./facts.ts";

interface WellKnownFacts {
  readonly wellKnown: WellKnownFiles;
  readonly federation?: FederationFact;
  readonly client?: ClientFact;
}

/** Problems of the files, how long they are cached, and whether they are served from the host that moves. */
export function wellKnownFindings(
  found: WellKnownFacts,
  moving: AffectedHosts,
  publicBaseUrl?: string,
): Finding[] {
  const { server, client, others } = found.wellKnown;
  const served = found.federation?.addresses.some(({ state }) => state === "answers") ?? false;
  return [
    ...(server ? [...stateFindings("server", server, served), ...cacheFindings("server", server)] : []),
    ...(server ? redirectFindings(server) : []),
    ...(client ? [...stateFindings("client", client, true), ...cacheFindings("client", client)] : []),
    ...(client ? clientFindings(client, publicBaseUrl) : []),
    ...(moving.wellKnown ? [movesAlong([server, client])] : []),
    ...(moving.wellKnown ? easilyLost(client, others) : []),
  ];
}

type Kind = "server" | "client";

/** `fine`: the server is found and responds without the file. */
function stateFindings(kind: Kind, file: WellKnownFact, fine: boolean): Finding[] {
  const problem = file.problem ?? "";
  const evidence = [`${file.url}: ${problem}`, ...redirectLines(file)];
  if (file.state === "broken")
    return [
      {
        id: `well-known-invalid:${kind}`,
        level: "warning",
        sentence: `the well-known file for ${AUDIENCE[kind]} cannot be used: ${problem}`,
        evidence,
        hint:
          kind === "server"
            ? 'serve {"m.server": "HOST:PORT"} with status 200 over valid TLS, or return 404 if no file is wanted'
            : 'serve {"m.homeserver": {"base_url": "https://HOST"}} with status 200 over valid TLS, or return 404 if no file is wanted',
      },
    ];
  if (file.state === "unreachable")
    return [
      {
        id: `well-known-unreachable:${kind}`,
        level: fine ? "note" : "warning",
        sentence: `the address of the well-known file for ${AUDIENCE[kind]} does not respond: ${file.url}`,
        evidence,
        hint: "if there should be a file, start its web server; some routers do not support connections to their own public address (hairpin NAT): then check from another network",
      },
    ];
  if (file.state === "absent" && kind === "client")
    return [
      {
        id: "well-known-absent:client",
        level: "note",
        sentence: `there is no well-known file for clients at ${file.url} (${problem})`,
        hint: "with such a file, users only need to know the server name to sign in",
      },
    ];
  return [];
}

function cacheFindings(kind: Kind, file: WellKnownFact): Finding[] {
  if (file.state !== "valid" || file.cacheSeconds === undefined) return [];
  const seconds = file.cacheSeconds;
  const sentence = `the well-known file for ${AUDIENCE[kind]} may be cached for ${formatDuration(seconds)}: ${file.url}`;
  const evidence = [`Cache-Control: ${file.cacheControl ?? "none"}`];
  if (seconds <= LOW_TTL) return [{ id: `well-known-cache:${kind}`, level: "ok", sentence, evidence }];
  return [
    {
      id: `well-known-cache:${kind}`,
      level: seconds > CACHE_MAXIMUM ? "warning" : "note",
      sentence,
      evidence,
      hint: `serve it with Cache-Control: max-age=${LOW_TTL}, at least 48 hours before anything in it changes`,
    },
  ];
}

/** Findings on redirects of the server file. */
function redirectFindings(file: WellKnownFact): Finding[] {
  const findings: Finding[] = [];
  if (file.redirects.some(({ status }) => status === 308))
    findings.push({
      id: "well-known-redirect",
      level: "note",
      sentence:
        "the well-known file for other servers is behind a redirect with status 308, which older servers do not follow",
      evidence: redirectLines(file),
      hint: "use 301, 302 or 307",
    });
  if (file.redirects.some(({ to }) => to.startsWith("http:")))
    findings.push({
      id: "well-known-insecure",
      level: "warning",
      sentence: "the well-known file for other servers is redirected to an address without TLS",
      evidence: redirectLines(file),
      hint: "redirect to https: without TLS, an attacker can redirect other servers",
    });
  return findings;
}

function clientFindings(file: WellKnownFact, publicBaseUrl: string | undefined): Finding[] {
  const findings: Finding[] = [];
  if (file.state === "valid" && file.cors === false)
    findings.push({
      id: "well-known-cors",
      level: "warning",
      sentence: `clients in browsers cannot read ${file.url}: Access-Control-Allow-Origin is missing`,
      evidence: redirectLines(file),
      hint: "send Access-Control-Allow-Origin: * with the file and with every redirect to it",
    });
  if (file.slidingSyncProxy === true)
    findings.push({
      id: "sliding-sync-proxy",
      level: "warning",
      sentence: `${file.url} still names a sliding sync proxy (org.matrix.msc3575.proxy)`,
      hint: "remove the key: clients no longer use such a proxy, Synapse has sliding sync built in",
    });
  if (file.state === "valid" && publicBaseUrl !== undefined && !isSameUrl(file.value!, publicBaseUrl))
    findings.push({
      id: "base-url-differs",
      level: "warning",
      sentence: "the well-known file and public_baseurl have different addresses",
      evidence: [`${file.url}: ${file.value!}`, `public_baseurl: ${publicBaseUrl}`],
      hint: "make both the same: the login response sends clients to public_baseurl",
    });
  return findings;
}

const movesAlong = (files: readonly (WellKnownFact | undefined)[]): Finding => ({
  id: "well-known-on-moving-host",
  level: "note",
  sentence: "a well-known file is served from an address of the server that moves",
  evidence: files.flatMap((file) => (file ? [`${file.url} (${file.addresses.join(", ")})`] : [])),
  hint: "serve both files on the new host from the start, and keep serving them on the old host until no more requests arrive",
});

/** Of a sliding sync proxy: clients no longer use one. */
const OBSOLETE = "org.matrix.msc3575.proxy";

/** What a new web server that serves only the two addresses would not have any more. */
function easilyLost(client: WellKnownFact | undefined, others: readonly WellKnownFact[]): Finding[] {
  const keys = client?.state === "valid" ? (client.keys ?? []).filter((key) => key !== OBSOLETE) : [];
  const evidence = [
    ...(keys.length > 0 ? [`${client!.url}: ${keys.join(", ")}`] : []),
    ...others.flatMap(({ url, state }) => (state === "valid" ? [url] : [])),
  ];
  if (evidence.length === 0) return [];
  return [
    {
      id: "well-known-to-carry",
      level: "warning",
      sentence:
        "the server that moves serves more below /.well-known/ than the two addresses: it is lost unless the new one serves it too",
      evidence,
      hint: "synlift delegation files carries all of it over; without org.matrix.msc4143.rtc_foci, calls fail",
    },
  ];
}

const AUDIENCE = { server: "other servers", client: "clients" } as const;

const redirectLines = ({ redirects }: WellKnownFact) =>
  redirects.map(({ status, to, cors }) => `status ${status} to ${to}${cors ? "" : ", without CORS"}`);

const isSameUrl = (one: string, other: string) => trimmed(one) === trimmed(other);
const trimmed = (url: string) => (URL.parse(url)?.href ?? url).replace(/\/+$/, "");
