import { type DnsAnswer, type FoundRecord, interpretReply } from "./answer.ts";
import { describeServer, type DnsServer, type Reply } from "./exchange.ts";
import { type DnsType, isDnsName } from "./message.ts";

type AskResolver = (name: string, type: DnsType, signal?: AbortSignal) => Promise<DnsAnswer>;

type AskServer = (
  server: DnsServer,
  asked: { readonly name: string; readonly type: DnsType; readonly recurse: boolean },
  signal: AbortSignal | undefined,
) => Promise<Reply>;

/** A zone's own server. */
interface ZoneServer extends DnsServer {
  /** "ns1.example.org (192.0.2.53)". */
  readonly text: string;
}

/** The maximum number of name servers of a zone, and of addresses of one, that are queried. */
const NAMES = 3;
const ADDRESSES = 2;
const SILENT_LIMIT = 3;

/** Finds the authoritative servers of zones, once for each name. */
export class Zones {
  readonly #ask: AskResolver;
  readonly #port: number;
  readonly #servers = new Map<string, Promise<readonly ZoneServer[]>>();
  readonly #zones = new Map<string, Promise<string | undefined>>();
  readonly #silent = new Set<string>();
  #answered = false;

  constructor({ ask, port }: { readonly ask: AskResolver; readonly port: number }) {
    this.#ask = ask;
    this.#port = port;
  }

  /**
   * Whether this network seems to block DNS except to its own resolvers: the servers of several zones were silent, and
   * none has replied yet. Waiting for each of them would take minutes.
   */
  get isDnsBlocked(): boolean {
    return !this.#answered && this.#silent.size >= SILENT_LIMIT;
  }

  recordReply({ text }: ZoneServer, reply: Reply): void {
    if (typeof reply === "object") this.#answered = true;
    else this.#silent.add(text);
  }

  /** The authoritative servers for a name; none when they cannot be determined. */
  async serversOf(name: string, signal: AbortSignal | undefined): Promise<readonly ZoneServer[]> {
    const zone = await this.#zoneOf(name, signal);
    if (zone === undefined) return [];
    return memoize(this.#servers, zone, () => this.#find(zone, signal));
  }

  /** The zone of a name: the closest name upwards, including itself, that has an SOA record. */
  #zoneOf(name: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    return memoize(this.#zones, name, async () => {
      const { outcome, records, chain, zone } = await this.#ask(name, "SOA", signal);
      if (!["found", "no-data", "no-name", "loop"].includes(outcome)) return undefined;
      // The answer behind a CNAME does not tell the zone of the CNAME itself.
      if (chain.length === 0 && outcome === "found") return records[0]!.name;
      // A negative answer contains its zone (RFC 2308, section 3), which saves a query for every name upwards.
      if (chain.length === 0 && zone !== undefined && `.${name}`.endsWith(`.${zone}`)) return zone;
      const up = name.indexOf(".");
      return up < 0 ? undefined : this.#zoneOf(name.slice(up + 1), signal);
    });
  }

  async #find(zone: string, signal: AbortSignal | undefined): Promise<ZoneServer[]> {
    const { records } = await this.#ask(zone, "NS", signal);
    const names = records.flatMap((record) => (record.type === "NS" ? [record.target] : [])).slice(0, NAMES);
    const found = await Promise.all(
      names.map(async (name) => {
        const [v4, v6] = await Promise.all([this.#ask(name, "A", signal), this.#ask(name, "AAAA", signal)]);
        return [...v4.records.slice(0, ADDRESSES), ...v6.records.slice(0, 1)].flatMap((record) => {
          if (record.type !== "A" && record.type !== "AAAA") return [];
          const server = { address: record.address, port: this.#port };
          return [{ ...server, text: `${name} (${describeServer(server)})` }];
        });
      }),
    );
    // IPv4 first, because a host without IPv6 would fail for each server.
    return found.flat().sort((a, b) => Number(a.address.includes(":")) - Number(b.address.includes(":")));
  }
}

/** The maximum length of a CNAME chain before it counts as a loop. */
const LONGEST_CHAIN = 16;

/** Queries the authoritative servers, following CNAME records from zone to zone. */
export async function lookUpInZones(
  {
    name,
    type,
    signal,
  }: { readonly name: string; readonly type: DnsType; readonly signal: AbortSignal | undefined },
  zones: Zones,
  ask: AskResolver,
  asking: AskServer,
): Promise<DnsAnswer> {
  const chain: FoundRecord[] = [];
  const seen = new Set<string>();
  for (let owner = name.toLowerCase().replace(/\.$/, ""); ;) {
    if (seen.has(owner) || seen.size > LONGEST_CHAIN) return { outcome: "loop", records: [], chain };
    seen.add(owner);
    const answer =
      (await askOwn({ name: owner, type, signal }, zones, asking)) ?? (await ask(owner, type, signal));
    // Only the first link is from this zone; its target is looked up separately.
    const [link] = answer.chain;
    if (link?.type !== "CNAME") return { ...answer, chain };
    chain.push(link);
    owner = link.target;
  }
}

/** The authoritative answer; undefined when there is none. */
async function askOwn(
  {
    name,
    type,
    signal,
  }: { readonly name: string; readonly type: DnsType; readonly signal: AbortSignal | undefined },
  zones: Zones,
  asking: AskServer,
): Promise<DnsAnswer | undefined> {
  if (!isDnsName(name)) return undefined;
  for (const server of await zones.serversOf(name, signal)) {
    if (zones.isDnsBlocked) return undefined;
    const reply = await asking(server, { name, type, recurse: false }, signal);
    zones.recordReply(server, reply);
    if (typeof reply !== "object" || !reply.authoritative) continue;
    const answer = interpretReply(reply, { name, type }, { from: server.text, authoritative: true });
    if (["found", "no-data", "no-name", "loop"].includes(answer.outcome)) return answer;
  }
  return undefined;
}

function memoize<T>(known: Map<string, Promise<T>>, key: string, find: () => Promise<T>): Promise<T> {
  const found = known.get(key) ?? find();
  known.set(key, found);
  return found;
}
