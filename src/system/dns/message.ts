import { isIP } from "node:net";
import { type Answer, decode, encode, type RecordType, RECURSION_DESIRED } from "dns-packet";

export type DnsType = "A" | "AAAA" | "CNAME" | "NS" | "SOA" | "SRV" | "CAA" | "HTTPS";

/** One record. Names are lower case and without the dot at the end; the root is ".". */
export type DnsRecord = {
  readonly name: string;
  /** Seconds. */
  readonly ttl: number;
} & DnsValue;

export type DnsValue =
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "CNAME"; readonly target: string }
  | { readonly type: "NS"; readonly target: string }
  | { readonly type: "SOA"; readonly primary: string; readonly serial: number; readonly minimum: number }
  | {
      readonly type: "SRV";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: "CAA"; readonly critical: boolean; readonly tag: string; readonly value: string }
  /** Of its parameters only the address hints are read (RFC 9460, section 7.3). */
  | {
      readonly type: "HTTPS";
      readonly priority: number;
      readonly target: string;
      readonly hints: readonly string[];
    };

export interface DnsQuestion {
  readonly id: number;
  readonly name: string;
  readonly type: DnsType;
  /** Whether recursion is requested. */
  readonly recurse: boolean;
}

export interface DnsMessage {
  /** "NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", … */
  readonly code: string;
  /** The server claims to be authoritative. */
  readonly authoritative: boolean;
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
}

/** dns-packet uses the number for types that it does not know; HTTPS is 65. */
const HTTPS = "UNKNOWN_65";

/** A valid name for a query: labels of 1 to 63 bytes, at most 253 bytes in all (RFC 1035, section 2.3.4). */
export const isDnsName = (name: string) =>
  name.length <= 253 && /^(?:[\x21-\x2d\x2f-\x7e]{1,63}\.)*[\x21-\x2d\x2f-\x7e]{1,63}$/.test(name);

export function questionBytes({ id, name, type, recurse }: DnsQuestion): Buffer {
  return encode({
    id,
    type: "query",
    flags: recurse ? RECURSION_DESIRED : 0,
    questions: [{ name, type: (type === "HTTPS" ? HTTPS : type) as RecordType, class: "IN" }],
  });
}

/** Whether this is a truncated reply to the question (TC flag). */
export const isTruncated = (bytes: Buffer, { id }: DnsQuestion) =>
  bytes.length >= 12 && bytes.readUInt16BE(0) === id && (bytes[2]! & 0x82) === 0x82;

/** Parses a reply; undefined when it does not belong to the question. Throws when it is malformed. */
export function answerFrom(bytes: Buffer, question: DnsQuestion): DnsMessage | undefined {
  // `rcode` is there, but not in the types.
  const packet = decode(bytes) as ReturnType<typeof decode> & { rcode: string };
  const [asked, ...more] = packet.questions ?? [];
  if (packet.id !== question.id || !packet.flag_qr || more.length > 0) return undefined;
  // A server that returns an error may leave the question out.
  const settled = packet.rcode === "NOERROR" || packet.rcode === "NXDOMAIN";
  if (!asked && settled) return undefined;
  if (asked && (cleanName(asked.name) !== cleanName(question.name) || typeOf(asked.type) !== question.type))
    return undefined;
  return {
    code: packet.rcode,
    authoritative: packet.flag_aa,
    answers: (packet.answers ?? []).flatMap(recordsIn),
    authorities: (packet.authorities ?? []).flatMap(recordsIn),
  };
}

/** The record's value as a zone file has it: "10 5 8448 matrix.example.org". */
export function valueText(value: DnsValue): string {
  switch (value.type) {
    case "A":
    case "AAAA":
      return value.address;
    case "CNAME":
    case "NS":
      return value.target;
    case "SOA":
      return `${value.primary} ${value.serial} (minimum ${value.minimum})`;
    case "SRV":
      return `${value.priority} ${value.weight} ${value.port} ${value.target}`;
    case "CAA":
      return `${value.critical ? 128 : 0} ${value.tag} "${value.value}"`;
    case "HTTPS":
      return [value.priority, value.target, ...value.hints].join(" ");
  }
}

const cleanName = (name: string) => (name === "." ? name : name.toLowerCase().replace(/\.$/, ""));
const typeOf = (type: string) => (type === HTTPS ? "HTTPS" : type);

/** Ignores records of other classes and of types that are not needed. */
function recordsIn(answer: Answer): DnsRecord[] {
  if (answer.type === "OPT" || answer.class !== "IN") return [];
  const value = valueOf(answer);
  // A TTL with its top bit set counts as 0 (RFC 2181, section 8).
  const ttl = answer.ttl === undefined || answer.ttl > 0x7fffffff ? 0 : answer.ttl;
  return value ? [{ name: cleanName(answer.name), ttl, ...value }] : [];
}

function valueOf(answer: Exclude<Answer, { type: "OPT" }>): DnsValue | undefined {
  if (typeOf(answer.type) === "HTTPS") return httpsValue(answer.data as Buffer);
  if (answer.type === "A" || answer.type === "AAAA") return { type: answer.type, address: answer.data };
  if (answer.type === "CNAME" || answer.type === "NS")
    return { type: answer.type, target: cleanName(answer.data) };
  if (answer.type === "SOA") {
    const { mname, serial = 0, minimum = 0 } = answer.data;
    return { type: "SOA", primary: cleanName(mname), serial, minimum };
  }
  if (answer.type === "SRV") {
    const { priority = 0, weight = 0, port, target } = answer.data;
    return { type: "SRV", priority, weight, port, target: cleanName(target) };
  }
  if (answer.type === "CAA") {
    const { issuerCritical = false, tag, value } = answer.data;
    return { type: "CAA", critical: issuerCritical, tag: tag.toLowerCase(), value };
  }
  // Other record types, such as signatures, are not needed.
  return undefined;
}

/** RFC 9460, section 2.2: a priority, a name that is never compressed, then parameters by number. */
function httpsValue(data: Buffer): DnsValue {
  const labels: string[] = [];
  let at = 2;
  for (let length = data.readUInt8(at++); length > 0; length = data.readUInt8(at++)) {
    labels.push(data.toString("latin1", at, at + length));
    at += length;
  }
  const hints: string[] = [];
  while (at + 4 <= data.length) {
    const [key, length] = [data.readUInt16BE(at), data.readUInt16BE(at + 2)];
    const value = data.subarray(at + 4, at + 4 + length);
    if (key === 4 || key === 6) hints.push(...addressesIn(value, key === 4 ? 4 : 16));
    at += 4 + length;
  }
  const target = cleanName(labels.length === 0 ? "." : labels.join("."));
  return { type: "HTTPS", priority: data.readUInt16BE(0), target, hints };
}

function addressesIn(value: Buffer, size: 4 | 16): string[] {
  const addresses: string[] = [];
  for (let at = 0; at + size <= value.length; at += size) {
    const bytes = value.subarray(at, at + size);
    addresses.push(size === 4 ? bytes.join(".") : shortest(bytes));
  }
  return addresses.filter((address) => isIP(address) !== 0);
}

/** "2001:db8::1": URL parsing yields the shortest form of an address. */
const shortest = (bytes: Buffer) =>
  new URL(`http://[${bytes.toString("hex").replaceAll(/(.{4})(?!$)/g, "$1:")}]`).hostname.slice(1, -1);
