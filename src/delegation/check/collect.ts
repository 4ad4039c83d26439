import { isDeepStrictEqual } from "node:util";
import type { DnsServer } from "../../system/dns/exchange.ts";
import type { Dns } from "../../system/dns/dns.ts";
import type { Http } from "../../system/http/http.ts";
import { addressFamily } from "../../system/ip-address.ts";
import { discoverDelegated, discoverServer, type Discovery, type Endpoint } from "../discovery.ts";
import type { UnansweredFact, WellKnownFact } from "../facts.ts";
import { type LookupContext, reachableAddresses } from "../fetch.ts";
import { lookupContext } from "../inspect.ts";
import { parseServerName, type ServerName } from "../server-name.ts";
import {
  type FetchedFile,
  fetchWellKnown,
  jsonObject,
  KNOWN_FILES,
  readClientFile,
  readServerFile,
} from "../well-known.ts";
import type { Expected } from "./expected.ts";
import { askLogin, askNotary, type LoginSeen, type NotarySeen } from "./others.ts";
import { askClientApi, askFederation, type ClientSeen, type FederationSeen, type Place } from "./observe.ts";
import { type View, viewsBy, viewWith } from "./views.ts";

export interface CheckOrder {
  readonly serverName: string;
  readonly expected: Expected;
  /** Addresses to connect to instead of what DNS says; without a host, for every host that moves. */
  readonly at: readonly { readonly host: string | undefined; readonly address: string }[];
  readonly resolvers: readonly DnsServer[];
  /** Servers that are asked which keys they know. */
  readonly notaries: readonly string[];
  readonly login: { readonly user: string; readonly password: string } | undefined;
  /** Hosts whose private addresses are followed. */
  readonly privateHosts: readonly string[];
  /** Time-out of one request in milliseconds. */
  readonly timeout: number;
  /** For all lookups and requests of one round together, in milliseconds. */
  readonly timeLimit: number;
}

export interface CheckContext {
  readonly dns: Dns;
  readonly http: Http;
  readonly machine: { now(): number };
  readonly signal: AbortSignal;
}

/** A name as one view resolves it. */
interface NameSeen {
  readonly host: string;
  readonly addresses: readonly { readonly address: string; readonly ttl: number }[];
  readonly refused: readonly string[];
}

interface ViewSeen {
  readonly name: string;
  readonly caches: boolean;
  readonly discovery: Discovery;
  readonly clientFile: WellKnownFact;
  readonly names: readonly NameSeen[];
  readonly unanswered: readonly UnansweredFact[];
}

export interface FileSeen {
  /** Below `/.well-known/`. */
  readonly path: string;
  readonly address: string;
  readonly fact: WellKnownFact;
  /** The JSON object; undefined when it is none, or the file is not there. */
  readonly content: Readonly<Record<string, unknown>> | undefined;
  /** The headers of the file itself; undefined when it is not there. */
  readonly headers: Headers | undefined;
}

/** Everything that was asked, as it was answered. */
export interface Observed {
  readonly name: ServerName;
  readonly order: CheckOrder;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly views: readonly ViewSeen[];
  /** Given addresses were asked instead of those that DNS gives. */
  readonly direct: boolean;
  /** In a direct check: the host of the well-known files does not move, so they are still the old ones. */
  readonly filesStay: boolean;
  readonly federation: readonly FederationSeen[];
  readonly client: readonly ClientSeen[];
  readonly files: readonly FileSeen[];
  readonly notaries: readonly NotarySeen[];
  readonly login: LoginSeen | undefined;
}

/** Asks everything once. Each request has a time-out; rejects only with the signal's reason. */
export async function observe(name: ServerName, order: CheckOrder, world: CheckContext): Promise<Observed> {
  const { expected } = order;
  const named = [
    ...order.privateHosts,
    ...expectedHosts(expected),
    ...order.at.flatMap(({ host }) => host ?? []),
  ];
  const question = { serverName: name.text, privateHosts: named, timeout: order.timeout };
  const context = ({ dns }: Pick<View, "dns">) => lookupContext(question, { ...world, dns });
  const direct = order.at.length > 0;
  const fixed = direct ? await fixedAddresses(name, order, context({ dns: world.dns.again() })) : undefined;
  const views = fixed
    ? [viewWith(fixed, viewsBy(world.dns, order.resolvers)[0]!.dns)]
    : viewsBy(world.dns, order.resolvers);
  const looks = await Promise.all(
    views.map(async (view) => {
      const asking = context(view);
      return { asking, ...(await look(name, view, expected, asking)) };
    }),
  );
  const first = looks[0]!.asking;
  const filesAt = unique(looks.flatMap(({ hosts }) => hosts.files)).map(({ address }) => address);
  const paths = [...new Set([...KNOWN_FILES, ...Object.keys(expected.files)])];
  const [federation, client, files, notaries, login] = await Promise.all([
    Promise.all(
      unique(looks.flatMap(({ hosts }) => hosts.federation)).map((place) => askFederation(place, first)),
    ),
    Promise.all(
      unique(looks.flatMap(({ hosts }) => hosts.client)).map(({ url, ...place }) =>
        askClientApi(url, place, first),
      ),
    ),
    Promise.all(filesAt.flatMap((address) => paths.map((path) => fileAt(path, address, name, first)))),
    Promise.all(order.notaries.map((notary) => askNotary(notary, name.text, first))),
    order.login && askLogin(order.login, looks[0]!.hosts.client[0], first),
  ]);
  return {
    name,
    order,
    now: world.machine.now(),
    views: looks.map(({ seen }) => seen),
    direct,
    filesStay: fixed !== undefined && !fixed.has(name.host),
    federation,
    client,
    files,
    notaries,
    login,
  };
}

/** The hosts in what is expected: a person gave them, so their private addresses are followed. */
function expectedHosts({ clientUrl, federation }: Expected): string[] {
  const url = clientUrl === undefined ? undefined : new URL(clientUrl);
  const delegated = federation === undefined ? undefined : parseServerName(federation);
  return [...(url ? [url.hostname.replace(/^\[(.*)\]$/, "$1")] : []), ...(delegated ? [delegated.host] : [])];
}

/**
 * The addresses that count instead of those in DNS. Without a host they are those of all expected hosts, and of the
 * server name's own if it is one of them or now shares an address with one of them: then it moves with them.
 */
async function fixedAddresses(
  { host, family }: ServerName,
  { at, expected }: CheckOrder,
  { lookups }: LookupContext,
): Promise<Map<string, string[]>> {
  const fixed = new Map<string, string[]>();
  const add = (name: string, address: string) =>
    fixed.set(name.toLowerCase(), [...(fixed.get(name.toLowerCase()) ?? []), address]);
  for (const one of at) if (one.host !== undefined) add(one.host, one.address);
  const general = at.filter((one) => one.host === undefined);
  if (general.length === 0) return fixed;
  const hosts = new Set(expectedHosts(expected));
  if (hosts.size === 0) hosts.add(host);
  if (!hosts.has(host) && family === 0 && !fixed.has(host)) {
    const own = (await lookups.addressesOf(host)).map(({ address }) => address);
    const others = await Promise.all([...hosts].map((one) => lookups.addressesOf(one)));
    if (others.flat().some(({ address }) => own.includes(address))) hosts.add(host);
  }
  for (const one of hosts)
    if (addressFamily(one) === 0 && !fixed.has(one)) for (const { address } of general) add(one, address);
  return fixed;
}

interface Hosts {
  readonly files: readonly Place[];
  readonly federation: readonly (Place & { readonly hostHeader: string; readonly certificateName: string })[];
  readonly client: readonly (Place & { readonly url: string })[];
}

/** Both discoveries as one view sees them, and the addresses of all hosts in them. */
async function look(
  name: ServerName,
  view: View,
  expected: Expected,
  asking: LookupContext,
): Promise<{ readonly seen: ViewSeen; readonly hosts: Hosts }> {
  const [discovery, clientFile] = await Promise.all([
    discoverServer(name, asking),
    fetchWellKnown("matrix/client", name, asking).then((file) => readClientFile(file, asking.now())),
  ]);
  const delegated = expected.federation === undefined ? undefined : parseServerName(expected.federation);
  // What is expected is asked even while discovery still leads elsewhere, which is a finding of its own.
  const endpoint: Endpoint | undefined =
    delegated && discovery.endpoint?.hostHeader !== delegated.text
      ? (await discoverDelegated(delegated, asking)).endpoint
      : discovery.endpoint;
  const clientUrl = expected.clientUrl ?? clientFile.value?.replace(/\/+$/, "");
  const names = new Map<string, NameSeen>();
  const placesOf = async (host: string, port: number): Promise<Place[]> => {
    const { addresses, refused } = await reachableAddresses(host, asking);
    if (addressFamily(host) === 0) {
      const ttls = await Promise.all(
        (["A", "AAAA"] as const).map((type) => asking.lookups.lookUp(host, type)),
      );
      const records = ttls.flatMap(({ chain, records: found }) =>
        found.flatMap((record) =>
          record.type === "A" || record.type === "AAAA"
            ? [{ address: record.address, ttl: Math.min(record.ttl, ...chain.map(({ ttl }) => ttl)) }]
            : [],
        ),
      );
      names.set(host, { host, addresses: records, refused: refused.map(({ address }) => address) });
    }
    return addresses.map(({ address }) => ({ host, address, port }));
  };
  const hosts: Hosts = {
    files: await placesOf(name.host, 443),
    federation: (await Promise.all((endpoint?.targets ?? []).map(({ host, port }) => placesOf(host, port))))
      .flat()
      .map((place) => ({
        ...place,
        hostHeader: endpoint!.hostHeader,
        certificateName: endpoint!.certificateName,
      })),
    client: await clientPlaces(clientUrl, placesOf),
  };
  const unanswered = await asking.lookups.unanswered();
  return {
    hosts,
    seen: {
      name: view.name,
      caches: view.caches,
      discovery,
      clientFile,
      names: [...names.values()],
      unanswered: unanswered.filter(({ type }) => type !== "HTTPS"),
    },
  };
}

async function clientPlaces(
  clientUrl: string | undefined,
  placesOf: (host: string, port: number) => Promise<Place[]>,
): Promise<(Place & { url: string })[]> {
  const url = clientUrl === undefined ? null : URL.parse(clientUrl);
  if (!url || clientUrl === undefined) return [];
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const places = await placesOf(url.hostname.replace(/^\[(.*)\]$/, "$1"), port);
  return places.map((place) => ({ ...place, url: clientUrl }));
}

async function fileAt(
  path: string,
  address: string,
  name: ServerName,
  asking: LookupContext,
): Promise<FileSeen> {
  const fetched: FetchedFile = await fetchWellKnown(path, name, asking, address);
  const fact =
    path === "matrix/server"
      ? readServerFile(fetched, asking.now()).fact
      : path === "matrix/client"
        ? readClientFile(fetched, asking.now())
        : fetched.fact;
  const content = fetched.answer && jsonObject(fetched.answer.body);
  const broken = fetched.answer !== undefined && content === undefined && fact.state === "valid";
  return {
    path,
    address,
    fact: broken ? { ...fact, state: "broken", problem: "it contains no JSON object" } : fact,
    content,
    headers: fetched.answer?.headers,
  };
}

function unique<T>(all: readonly T[]): T[] {
  const kept: T[] = [];
  for (const one of all) if (!kept.some((other) => isDeepStrictEqual(one, other))) kept.push(one);
  return kept;
}
