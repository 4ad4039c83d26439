import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { type Answer, decode, type DecodedPacket, encode, type Packet } from "dns-packet";

/** What a server does in the place of a right answer. `lame`: it answers without authority. */
export type Mischief =
  "silent" | "servfail" | "refused" | "garbage" | "wrong-id" | "wrong-question" | "truncate" | "lame";

export interface DnsServerOptions {
  /** Zone by zone, records as a zone file has them, with whole names: "matrix.example.org 300 A 192.0.2.1". */
  readonly zones: Readonly<Record<string, readonly string[]>>;
  readonly address?: string;
  /** A free one when left out. */
  readonly port?: number;
  /** Seconds by which the times to live are counted down in what it says as a resolver. */
  readonly age?: number;
  /** For a question ("SRV _matrix._tcp.example.org", "example.org", "recurse", "direct" or "all"), what goes wrong. */
  readonly mischief?: Readonly<Record<string, Mischief>>;
}

/** A name server on loopback, by UDP and TCP: a resolver for who asks it to recurse, and the zones' own server else. */
export interface DnsServerInTest extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** What was asked: "udp recurse A example.org". */
  readonly asked: string[];
  readonly mischief: Record<string, Mischief>;
}

export async function startDnsServer(options: DnsServerOptions): Promise<DnsServerInTest> {
  const { address = "127.0.0.1", port: wanted = 0, zones, age = 0 } = options;
  const mischief = { ...options.mischief };
  const asked: string[] = [];
  const table = new Table(zones, age);
  const answerTo = (bytes: Buffer, transport: "udp" | "tcp"): Buffer | undefined => {
    const query = decode(bytes);
    const { name, type } = query.questions![0]!;
    const mode = query.flag_rd ? "recurse" : "direct";
    asked.push(`${transport} ${mode} ${type} ${name}`);
    const wrong = mischief[`${type} ${name}`] ?? mischief[name] ?? mischief[mode] ?? mischief["all"];
    return spoilt(table.answer(query), wrong, transport);
  };

  const tcp = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      const answer = answerTo(bytes.subarray(2), "tcp");
      if (!answer) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      // In two pieces, as a network may deliver it.
      socket.write(Buffer.concat([length, answer.subarray(0, 5)]));
      setImmediate(() => socket.write(answer.subarray(5)));
    });
  });
  const port = await new Promise<number>((resolve) => {
    tcp.listen(wanted, address, () => {
      resolve((tcp.address() as { port: number }).port);
    });
  });
  const udp = createSocket(address.includes(":") ? "udp6" : "udp4");
  udp.on("message", (bytes, from) => {
    const answer = answerTo(bytes, "udp");
    if (answer) udp.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => {
    udp.on("error", reject).bind(port, address, resolve);
  });
  return {
    address,
    port,
    asked,
    mischief,
    async [Symbol.asyncDispose]() {
      udp.close();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
}

function spoilt(answer: Packet & { flags: number }, wrong: Mischief | undefined, transport: "udp" | "tcp") {
  if (wrong === "silent") return undefined;
  if (wrong === "garbage") return Buffer.from("this is no message of DNS at all");
  if (wrong === "wrong-id") return encode({ ...answer, id: (answer.id! + 1) & 0xffff });
  if (wrong === "wrong-question")
    return encode({ ...answer, questions: [{ name: "other.example", type: "A", class: "IN" }] });
  if (wrong === "servfail" || wrong === "refused")
    return encode({ ...answer, flags: (answer.flags & ~15) | (wrong === "servfail" ? 2 : 5), answers: [] });
  if (wrong === "lame") return encode({ ...answer, flags: answer.flags & ~AUTHORITATIVE });
  const whole = encode(answer);
  if (wrong !== "truncate" || transport === "tcp") return whole;
  const header = Buffer.from(whole);
  header[2]! |= 2;
  // Cut in the middle of a record, as real servers do.
  return header.subarray(0, Math.max(12, header.length - 3));
}

const AUTHORITATIVE = 1 << 10;
const NXDOMAIN = 3;

class Table {
  readonly #records: readonly Answer[];
  readonly #zones: readonly string[];
  readonly #age: number;

  constructor(zones: DnsServerOptions["zones"], age: number) {
    this.#zones = Object.keys(zones);
    this.#age = age;
    this.#records = Object.entries(zones).flatMap(([zone, lines]) => {
      const own = lines.map((line) => recordOf(line));
      const has = (type: string) => own.some((record) => record.name === zone && record.type === type);
      const soa = recordOf(`${zone} 3600 SOA ns.${zone} 600`);
      const server = [recordOf(`${zone} 86400 NS ns.${zone}`), recordOf(`ns.${zone} 86400 A 127.0.0.1`)];
      return [...own, ...(has("SOA") ? [] : [soa]), ...(has("NS") ? [] : server)];
    });
  }

  answer(query: DecodedPacket): Packet & { flags: number } {
    const { name, type } = query.questions![0]!;
    const recursive = query.flag_rd;
    const answers: Answer[] = [];
    const zone = this.#zoneOf(name);
    const seen = new Set<string>();
    let owner = name.toLowerCase();
    let found = false;
    while (!seen.has(owner)) {
      seen.add(owner);
      // A zone's own server goes after an alias only as far as its zone goes.
      if (!recursive && this.#zoneOf(owner) !== zone) break;
      const own = this.#records.filter((record) => record.name === owner);
      const records = own.filter((record) => record.type === type);
      const [alias] = records.length > 0 ? [] : own.filter((record) => record.type === "CNAME");
      answers.push(...records, ...(alias ? [alias] : []));
      found = records.length > 0;
      if (alias?.type !== "CNAME") break;
      owner = alias.data;
    }
    const soa = this.#records.find((record) => record.type === "SOA" && record.name === this.#zoneOf(owner));
    const known = this.#records.some((record) => record.name === owner || record.name.endsWith(`.${owner}`));
    const flags = (recursive ? 0x180 : AUTHORITATIVE) | (found || known ? 0 : NXDOMAIN);
    const left = (record: Answer) =>
      recursive && "ttl" in record ? { ...record, ttl: Math.max(0, (record.ttl ?? 0) - this.#age) } : record;
    return {
      id: query.id!,
      type: "response",
      flags,
      questions: query.questions!,
      answers: answers.map(left),
      authorities: found || !soa ? [] : [left(soa)],
    };
  }

  #zoneOf(name: string): string | undefined {
    const fitting = this.#zones.filter((zone) => name === zone || name.endsWith(`.${zone}`));
    return fitting.sort((a, b) => b.length - a.length)[0];
  }
}

function recordOf(line: string): Answer {
  const [name = "", ttl, type = "", ...rest] = line.split(" ");
  const base = { name, ttl: Number(ttl), class: "IN" as const };
  const [first = "", second = "", third = "", fourth = ""] = rest;
  switch (type) {
    case "A":
    case "AAAA":
    case "NS":
    case "CNAME":
      return { ...base, type, data: first };
    case "SOA":
      return {
        ...base,
        type,
        data: { mname: first, rname: `admin.${name}`, serial: 1, minimum: Number(second) },
      };
    case "SRV":
      return {
        ...base,
        type,
        data: { priority: Number(first), weight: Number(second), port: Number(third), target: fourth },
      };
    case "CAA": {
      const value = rest.slice(2).join(" ");
      return { ...base, type, data: { flags: Number(first), tag: second as "issue", value } };
    }
    default:
      // Any other type by its number, with its bytes in hexadecimal digits: "UNKNOWN_65 00010000".
      return { ...base, type: type as "NULL", data: Buffer.from(first, "hex") };
  }
}
