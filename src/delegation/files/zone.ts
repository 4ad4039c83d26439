import { addressFamily } from "../../system/ip-address.ts";
import { LOW_TTL } from "../affected.ts";
import type { DelegationFacts, RecordFact } from "../facts.ts";

/** A record as a zone file has it. */
export interface ZoneRecord {
  readonly name: string;
  readonly ttl: number;
  readonly type: string;
  readonly value: string;
}

export interface ZoneChanges {
  /** What is there, with the low TTL. */
  readonly lower: readonly ZoneRecord[];
  readonly remove: readonly ZoneRecord[];
  readonly add: readonly ZoneRecord[];
  /** Names that will be used and have neither an address now nor a given one. */
  readonly without: readonly string[];
}

export interface ZoneOrder {
  /** The host names that clients and other servers will connect to. */
  readonly hosts: readonly string[];
  /** The addresses of the new host; empty when the names lead there already, or are somebody else's. */
  readonly addresses: readonly string[];
  /** `m.server` of afterwards: SRV records lead there as well. */
  readonly federation: { readonly host: string; readonly port: number };
}

/** The changes to the zone: of the names that will be used, and of the SRV records, which count when a file fails. */
export function zoneChanges(
  { records, serverName }: Pick<DelegationFacts, "records" | "serverName">,
  { hosts, addresses, federation }: ZoneOrder,
): ZoneChanges {
  const lower: ZoneRecord[] = [];
  const remove: ZoneRecord[] = [];
  const add: ZoneRecord[] = [];
  const without: string[] = [];
  for (const host of hosts.filter((one) => addressFamily(one) === 0)) {
    const own = records.filter(({ name, type }) => name === host && ["A", "AAAA", "CNAME"].includes(type));
    const wanted = addresses.map((address) => ({
      name: host,
      ttl: LOW_TTL,
      type: addressFamily(address) === 4 ? "A" : "AAAA",
      value: address,
    }));
    if (wanted.length === 0) {
      if (own.length === 0) without.push(host);
      continue;
    }
    const stays = ({ type, value }: ZoneRecord) =>
      own.some((one) => one.type === type && one.value === value);
    lower.push(...own.filter(({ ttl }) => ttl > LOW_TTL).map((record) => ({ ...record, ttl: LOW_TTL })));
    // An address that is not given, of either kind, is one that was left behind.
    remove.push(
      ...own.filter((one) => !wanted.some(({ type, value }) => one.type === type && one.value === value)),
    );
    add.push(...wanted.filter((record) => !stays(record)));
  }
  for (const record of records.filter(({ type }) => type === "SRV")) {
    const value = `10 5 ${federation.port} ${federation.host}`;
    const isOurs =
      record.name === `_matrix-fed._tcp.${hostOf(serverName)}` && !hasAlias(federation.host, records);
    if (isOurs && record.value === value) continue;
    remove.push(record);
    const replaced = { name: record.name, ttl: LOW_TTL, type: "SRV", value };
    if (isOurs && !add.some(({ name }) => name === record.name)) add.push(replaced);
  }
  return { lower: lower.map(plain), remove: remove.map(plain), add, without };
}

const hostOf = (serverName: string) => serverName.replace(/:\d+$/, "").toLowerCase();

/** An SRV record must not lead to an alias (RFC 2782). */
const hasAlias = (host: string, records: readonly RecordFact[]) =>
  records.some(({ name, type }) => name === host && type === "CNAME");

const plain = ({ name, ttl, type, value }: ZoneRecord): ZoneRecord => ({ name, ttl, type, value });

/** Lines of a zone file, with absolute names. */
export function zoneText(title: string, records: readonly ZoneRecord[]): string {
  const dotted = ({ type, value }: ZoneRecord) =>
    type === "CNAME" || type === "SRV" ? `${value.replace(/\.$/, "")}.` : value;
  const lines = records.map((record) => `${record.name}. ${record.ttl} IN ${record.type} ${dotted(record)}`);
  return `${[`; ${title}`, ...(lines.length > 0 ? lines : ["; nothing"])].join("\n")}\n`;
}
