import { answerOf, type DnsAnswer, type FoundRecord } from "./answer.ts";
import { type DnsServer, type Reply, serverText } from "./exchange.ts";
import { type DnsType, isDnsName } from "./message.ts";

type Ask = (name: string, type: DnsType, signal?: AbortSignal) => Promise<DnsAnswer>;

type Asking = (
  server: DnsServer,
  asked: { readonly name: string; readonly type: DnsType; readonly recurse: boolean },
  signal: AbortSignal | undefined,
) => Promise<Reply>;

/** A zone's own server. */
interface ZoneServer extends DnsServer {
  /** "ns1.example.org (192.0.2.53)". */
  readonly text: string;
}

/** Name servers of a zone, and addresses of one, that are asked at most: any one that answers is as good as the rest. */
const NAMES = 3;
const ADDRESSES = 2;
const SILENT_ENOUGH = 3;

/** Which servers are a zone's own: looked up once for each name. */
export class Zones {
  readonly #ask: Ask;
  readonly #port: number;
  readonly #servers = new Map<string, Promise<readonly ZoneServer[]>>();
  readonly #zones = new Map<string, Promise<string | undefined>>();
  readonly #silent = new Set<string>();
  #answered = false;

  constructor({ ask, port }: { readonly ask: Ask; readonly port: number }) {
    this.#ask = ask;
    this.#port = port;
  }

  /**
   * Whether it looks as if this network lets nobody but its own resolvers ask: several zones' servers were silent, and
   * none has answered yet. Waiting for each would take minutes.
   */
  get isShutOff(): boolean {
    return !this.#answered && this.#silent.size >= SILENT_ENOUGH;
  }

  heard({ text }: ZoneServer, reply: Reply): void {
    if (typeof reply === "object") this.#answered = true;
    else this.#silent.add(text);
  }

  /** The servers of the zone in which a name lies; none when that cannot be found out. */
  async serversOf(name: string, signal: AbortSignal | undefined): Promise<readonly ZoneServer[]> {
    const zone = await this.#zoneOf(name, signal);
    if (zone === undefined) return [];
    return remembered(this.#servers, zone, () => this.#find(zone, signal));
  }

  /** The closest name upwards, itself included, at which a zone begins: where the SOA record is. */
  #zoneOf(name: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    return remembered(this.#zones, name, async () => {
      const { outcome, records, chain, zone } = await this.#ask(name, "SOA", signal);
      if (!["found", "no-data", "no-name", "loop"].includes(outcome)) return undefined;
      // What is at the end of an alias says nothing of the zone that the alias itself stands in.
      if (chain.length === 0 && outcome === "found") return records[0]!.name;
      // A "no" names its zone (RFC 2308, section 3), which saves asking every name on the way up.
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
          return [{ ...server, text: `${name} (${serverText(server)})` }];
        });
      }),
    );
    // Not every host has a way to IPv6, and one that has none need not find it out for each server.
    return found.flat().sort((a, b) => Number(a.address.includes(":")) - Number(b.address.includes(":")));
  }
}

/** Links that a chain of aliases may have before it counts as endless. */
const LONGEST_CHAIN = 16;

/** Asks zone by zone, from alias to alias. */
export async function lookUpInZones(
  {
    name,
    type,
    signal,
  }: { readonly name: string; readonly type: DnsType; readonly signal: AbortSignal | undefined },
  zones: Zones,
  ask: Ask,
  asking: Asking,
): Promise<DnsAnswer> {
  const chain: FoundRecord[] = [];
  const seen = new Set<string>();
  for (let owner = name.toLowerCase().replace(/\.$/, ""); ;) {
    if (seen.has(owner) || seen.size > LONGEST_CHAIN) return { outcome: "loop", records: [], chain };
    seen.add(owner);
    const answer =
      (await askOwn({ name: owner, type, signal }, zones, asking)) ?? (await ask(owner, type, signal));
    // Only the first link is this zone's; where it leads is asked for by itself.
    const [link] = answer.chain;
    if (link?.type !== "CNAME") return { ...answer, chain };
    chain.push(link);
    owner = link.target;
  }
}

/** What a server of the name's own zone says with authority; undefined when none does. */
async function askOwn(
  {
    name,
    type,
    signal,
  }: { readonly name: string; readonly type: DnsType; readonly signal: AbortSignal | undefined },
  zones: Zones,
  asking: Asking,
): Promise<DnsAnswer | undefined> {
  if (!isDnsName(name)) return undefined;
  for (const server of await zones.serversOf(name, signal)) {
    if (zones.isShutOff) return undefined;
    const reply = await asking(server, { name, type, recurse: false }, signal);
    zones.heard(server, reply);
    if (typeof reply !== "object" || !reply.authoritative) continue;
    const answer = answerOf(reply, { name, type }, { from: server.text, authoritative: true });
    if (["found", "no-data", "no-name", "loop"].includes(answer.outcome)) return answer;
  }
  return undefined;
}

function remembered<T>(known: Map<string, Promise<T>>, key: string, find: () => Promise<T>): Promise<T> {
  const found = known.get(key) ?? find();
  known.set(key, found);
  return found;
}
