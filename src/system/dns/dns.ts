import { getServers } from "node:dns";
import { isIP } from "node:net";
import { MigrationError } from "../../errors.ts";
import { type DnsAnswer, interpretReply } from "./answer.ts";
import { describeServer, type DnsServer, exchange, type Reply } from "./exchange.ts";
import { type DnsType, isDnsName } from "./message.ts";
import { lookUpInZones, Zones } from "./zones.ts";

/** DNS lookups, each with a time limit. They reject only with the signal's reason. */
export interface Dns {
  /** Queries the resolvers one after the other until one has an answer. Its TTLs may be partly elapsed. */
  ask(name: string, type: DnsType, signal?: AbortSignal): Promise<DnsAnswer>;
  /**
   * Queries the authoritative servers, so that each TTL is the full one; follows CNAME records from zone to zone. If no
   * server of a zone replies, the resolvers' answer is used for that link, and its records are not `authoritative`.
   */
  lookUp(name: string, type: DnsType, signal?: AbortSignal): Promise<DnsAnswer>;
  /** The same with another resolver, whose port is also used for the authoritative servers. */
  withResolver(resolver: DnsServer): Dns;
  /** The same without what it has learned of servers, such as which of them are silent: for asking again later. */
  again(): Dns;
}

export interface DnsOptions {
  /** Defaults to those of this host. */
  readonly resolvers?: readonly DnsServer[];
  /** The port of the authoritative servers; 53 by default. */
  readonly port?: number;
  /** Time-out of one attempt in milliseconds, and the number of attempts: 2,500 and 2 by default. */
  readonly timeout?: number;
  readonly tries?: number;
}

export function realDns({
  resolvers = hostResolvers(),
  port = 53,
  timeout = 2500,
  tries = 2,
}: DnsOptions = {}): Dns {
  /** A server that has never replied is not queried again; one that has may just be slow for a single name. */
  const alive = new Set<string>();
  const dead = new Map<string, Reply>();
  const asking = async (
    server: DnsServer,
    asked: { name: string; type: DnsType; recurse: boolean },
    signal: AbortSignal | undefined,
  ): Promise<Reply> => {
    const key = `${asked.recurse ? "resolver" : "zone's own"} ${describeServer(server)}`;
    const before = dead.get(key);
    if (before !== undefined) return before;
    const reply = await exchange(server, asked, { timeout, tries, signal });
    if (typeof reply === "object") alive.add(key);
    else if (!alive.has(key)) dead.set(key, reply);
    return reply;
  };

  const ask = async (name: string, type: DnsType, signal?: AbortSignal): Promise<DnsAnswer> => {
    if (!isDnsName(name)) return { outcome: "no-name", records: [], chain: [] };
    let last: DnsAnswer = { outcome: "silent", records: [], chain: [] };
    for (const resolver of resolvers) {
      const reply = await asking(resolver, { name, type, recurse: true }, signal);
      last = interpretReply(reply, { name, type }, { from: describeServer(resolver), authoritative: false });
      if (["found", "no-data", "no-name", "loop"].includes(last.outcome)) break;
    }
    return last;
  };

  const zones = new Zones({ ask, port });
  return {
    ask,
    lookUp: (name, type, signal) => lookUpInZones({ name, type, signal }, zones, ask, asking),
    withResolver: (resolver) => realDns({ resolvers: [resolver], port: resolver.port, timeout, tries }),
    again: () => realDns({ resolvers, port, timeout, tries }),
  };
}

/** "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353". Throws `bad-usage`. */
export function parseDnsServer(text: string): DnsServer {
  const [, inBrackets, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const address = inBrackets ?? plain ?? text;
  const number = port === undefined ? 53 : Number(port);
  if (isIP(address) !== 0 && number > 0 && number < 0x10000) return { address, port: number };
  throw new MigrationError("bad-usage", `not a valid resolver address: ${text}`, {
    hint: "use an IP address, with a port if it is not 53: 192.0.2.1, 127.0.0.1:5353 or [2001:db8::1]:53",
  });
}

/** Entries that are not valid addresses are ignored. */
function hostResolvers(): DnsServer[] {
  return getServers().flatMap((text) => {
    try {
      return [parseDnsServer(text)];
    } catch {
      return [];
    }
  });
}
