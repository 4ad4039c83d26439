import type { Finding } from "../report/finding.ts";
import type { Dns } from "../system/dns/dns.ts";
import type { Http } from "../system/http/http.ts";
import type { Progress } from "../system/progress.ts";
import {
  type AffectedHosts,
  findAffectedHosts,
  findAffectedRecords,
  planLowerings,
  waitsFor,
} from "./affected.ts";
import { caaFindings, type CaaSet, findRelevantCaa } from "./caa.ts";
import { discoveryFindings } from "./discovery-findings.ts";
import { discoverServer, type Discovery } from "./discovery.ts";
import { dnsFindings, isDnsUnavailable } from "./dns-findings.ts";
import type { ClientFact, DelegationFacts, FederationFact, WellKnownFact } from "./facts.ts";
import type { LookupContext } from "./fetch.ts";
import { leftoverFindings } from "./leftovers.ts";
import { Lookups } from "./lookups.ts";
import { probeClient, probeFederation } from "./probe.ts";
import { reachableFindings } from "./reachable.ts";
import { safeFrom } from "./safe-from.ts";
import { parseServerName, type ServerName, serverNameHint } from "./server-name.ts";
import { timeFindings } from "./time-findings.ts";
import { wellKnownFindings } from "./well-known-findings.ts";
import { TIME_LIMIT, timeLimitFinding, withTimeLimit } from "./time-limit.ts";
import { fetchClientFile, fetchWellKnown, OTHER_FILES, readOtherFile } from "./well-known.ts";

export interface DelegationQuestion {
  readonly serverName: string;
  /** The configuration's `public_baseurl`, where it has one: compared with the well-known file, and used if there is none. */
  readonly publicBaseUrl?: string;
  /** When the TTLs were lowered, in milliseconds since 1970. Used only if nothing is left to lower. */
  readonly loweredAt?: number;
  /** Time-out of one HTTP request in milliseconds; 10,000 when left out. */
  readonly timeout?: number;
  /** For all lookups and requests together, in milliseconds; two minutes when left out. */
  readonly timeLimit?: number;
  /**
   * Hosts that are also reached at a private address, besides that of the server name; `all` when left out. See
   * `LookupContext.followPrivate`.
   */
  readonly privateHosts?: readonly string[] | "all";
}

/** The parts of the system that are needed. */
export interface DelegationContext {
  readonly dns: Dns;
  readonly http: Http;
  readonly machine: { now(): number };
  readonly signal: AbortSignal;
}

export interface Delegation {
  readonly findings: readonly Finding[];
  readonly facts: DelegationFacts;
}

/**
 * How clients and other servers find a server, and when its address can be moved. Read-only; each request has a time
 * limit. Failures become findings; rejects only with the signal's reason.
 */
export async function inspectDelegation(
  question: DelegationQuestion,
  world: DelegationContext,
  progress: Progress,
): Promise<Delegation> {
  const { timeLimit = TIME_LIMIT } = question;
  const limited = withTimeLimit(world, timeLimit);
  const { findings, facts } = await inspectInTime(question, limited, progress);
  return { findings: limited.cut() ? [...findings, timeLimitFinding(timeLimit)] : findings, facts };
}

async function inspectInTime(
  question: DelegationQuestion,
  world: DelegationContext,
  progress: Progress,
): Promise<Delegation> {
  const { machine } = world;
  const asking = lookupContext(question, world);
  const name = parseServerName(question.serverName);
  if (!name) return unusable(question, machine.now());
  // The server name is not mentioned: the output of a plan may be passed on with names redacted.
  progress.note("asking DNS and web servers how others find this server");
  if (await isDnsUnavailable(name, asking.lookups)) return dnsUnavailable(name, question, asking);

  const [walked, clientFile, otherFiles] = await Promise.all([
    discoverServer(name, asking),
    fetchClientFile(name, asking),
    Promise.all(OTHER_FILES.map(async (path) => readOtherFile(await fetchWellKnown(path, name, asking)))),
  ]);
  const [federation, client] = await Promise.all([
    walked.endpoint && probeFederation(walked.endpoint, asking),
    clientAt(clientFile, question.publicBaseUrl, asking),
  ]);
  return summarize({ name, question, walked, clientFile, otherFiles, federation, client }, asking);
}

/** What lookups and requests need. It keeps the answers of DNS: make a new one to ask again. */
export const lookupContext = (
  question: Pick<DelegationQuestion, "serverName" | "timeout" | "privateHosts">,
  { dns, http, machine, signal }: DelegationContext,
): LookupContext => ({
  lookups: new Lookups(dns, signal),
  http,
  now: () => machine.now(),
  timeout: question.timeout ?? 10_000,
  signal,
  followPrivate: privateHosts(question),
});

/** Which hosts are also reached at a private address: those that a person named. */
function privateHosts({
  serverName,
  privateHosts: hosts = "all",
}: Pick<DelegationQuestion, "serverName" | "privateHosts">): LookupContext["followPrivate"] {
  if (hosts === "all") return () => true;
  const named = new Set([parseServerName(serverName)?.host, ...hosts.map((host) => host.toLowerCase())]);
  return (host) => named.has(host.toLowerCase());
}

interface Observations {
  readonly name: ServerName;
  readonly question: DelegationQuestion;
  readonly walked: Discovery;
  readonly clientFile: WellKnownFact | undefined;
  readonly otherFiles: readonly WellKnownFact[];
  readonly federation: FederationFact | undefined;
  readonly client: ClientFact | undefined;
}

/** Turns the observations into facts and findings, after the remaining lookups: CAA, unused records, address hints. */
async function summarize(seen: Observations, asking: LookupContext): Promise<Delegation> {
  const { name, question, walked, clientFile, otherFiles, federation, client } = seen;
  const { lookups } = asking;
  const files = [walked.serverFile, clientFile];
  const addresses = [...(federation?.addresses ?? []), ...(client?.addresses ?? [])];
  const moving = findAffectedHosts(name.host, addresses, files);
  const leftovers = await leftoverFindings(name, walked, moving.hosts, lookups);
  const caa = await caaSets(seen, moving, lookups);
  const records = await lookups.records(await findAffectedRecords(moving, walked, lookups));
  const lowerings = planLowerings(records, files);
  const lowered = lowerings.length === 0 ? question.loweredAt : undefined;
  const facts: DelegationFacts = {
    serverName: name.text,
    steps: walked.steps,
    ...(federation ? { federation } : {}),
    ...(client ? { client } : {}),
    wellKnown: {
      ...(walked.serverFile ? { server: walked.serverFile } : {}),
      ...(clientFile ? { client: clientFile } : {}),
      others: otherFiles,
    },
    records,
    unanswered: await lookups.unanswered(),
    negative: await lookups.negative(),
    caa: caa.map(({ fact }) => fact),
    ...safeFrom(lowered ?? asking.now(), waitsFor(records, files)),
    toLower: lowerings,
  };
  const findings = [
    ...discoveryFindings(name, facts),
    ...dnsFindings(facts),
    ...reachableFindings(facts, asking.now()),
    ...wellKnownFindings(facts, moving, question.publicBaseUrl),
    ...leftovers,
    ...(caa.length > 0 ? caaFindings(caa) : []),
    ...timeFindings(facts, asking.now()),
  ];
  return { findings, facts };
}

/** The well-known file takes precedence over the configuration, because clients use it. */
function clientAt(
  file: WellKnownFact,
  publicBaseUrl: string | undefined,
  asking: LookupContext,
): Promise<ClientFact | undefined> {
  if (file.state === "valid") return probeClient(file.value!, "well-known", asking);
  if (publicBaseUrl === undefined || !/^https?:$/.test(URL.parse(publicBaseUrl)?.protocol ?? ""))
    return Promise.resolve(undefined);
  return probeClient(publicBaseUrl, "public_baseurl", asking);
}

/** For each name that the new host will need a certificate for. */
async function caaSets(
  { name, federation, client }: Observations,
  moving: AffectedHosts,
  lookups: Lookups,
): Promise<CaaSet[]> {
  const names = new Set<string>();
  if (federation && federation.sni !== null) names.add(federation.certificateName);
  if (client?.baseUrl.startsWith("https:") === true) names.add(client.host);
  if (moving.wellKnown) names.add(name.host);
  const hosts = [...names].filter((host) => parseServerName(host)?.family === 0);
  return Promise.all(hosts.map((host) => findRelevantCaa(host, lookups)));
}

const emptyFacts = (serverName: string, now: number): DelegationFacts => ({
  serverName,
  steps: [],
  wellKnown: { others: [] },
  records: [],
  unanswered: [],
  negative: [],
  caa: [],
  ...safeFrom(now, []),
  toLower: [],
});

function unusable({ serverName }: DelegationQuestion, now: number): Delegation {
  const sentence = `${serverName} is not a valid server name, so other servers cannot find it`;
  const hint = serverNameHint(serverName);
  return {
    findings: [{ id: "server-unresolved", level: "warning", sentence, hint }],
    facts: emptyFacts(serverName, now),
  };
}

async function dnsUnavailable(
  name: ServerName,
  question: DelegationQuestion,
  asking: LookupContext,
): Promise<Delegation> {
  const facts = {
    ...emptyFacts(question.serverName, asking.now()),
    unanswered: await asking.lookups.unanswered(),
  };
  return { findings: [...discoveryFindings(name, facts).slice(0, -1), ...dnsFindings(facts)], facts };
}
