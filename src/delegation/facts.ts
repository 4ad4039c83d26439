import type { DnsOutcome } from "../system/dns/answer.ts";
import type { DnsType } from "../system/dns/message.ts";
import type { Certificate } from "../system/http/certificate.ts";

/** How a server is found, as plain values, as `--json` shows them. Times are milliseconds since 1970, durations seconds. */
export interface DelegationFacts {
  readonly serverName: string;
  /** The steps of server discovery (server-server API), in order, as far as it went. */
  readonly steps: readonly DiscoveryStep[];
  /** The result of server discovery; left out when it failed. */
  readonly federation?: FederationFact;
  /** Where clients connect to; left out when it is unknown. */
  readonly client?: ClientFact;
  readonly wellKnown: WellKnownFiles;
  /** Every DNS record that was seen, without duplicates. */
  readonly records: readonly RecordFact[];
  /** Lookups that failed. */
  readonly unanswered: readonly UnansweredFact[];
  /** How long resolvers cache that a name or type does not exist, by zone. */
  readonly negative: readonly { readonly zone: string; readonly seconds: number }[];
  readonly caa: readonly CaaFact[];
  /** The earliest time at which the address can be moved without clients or servers using a cached old one. */
  readonly safeFrom: number;
  /** The waiting times behind `safeFrom`, longest first. They run in parallel. */
  readonly waits: readonly Wait[];
  readonly toLower: readonly Lowering[];
}

/** The numbers of the server-server API, "Resolving server names". */
export type StepId = "1" | "2" | "3" | "3.1" | "3.2" | "3.3" | "3.4" | "3.5" | "4" | "5" | "6";

export interface DiscoveryStep {
  readonly id: StepId;
  /** "SRV _matrix-fed._tcp.example.org". */
  readonly asked: string;
  /** "10 5 8448 matrix.example.org", "no such name". */
  readonly answer: string;
  /** `taken`: it decides where to connect to; `passed`: continue with the next; `stopped`: an error that ends discovery. */
  readonly outcome: "taken" | "passed" | "stopped";
}

export interface FederationFact {
  readonly step: StepId;
  /** In the order in which they are tried. More than one only with SRV records. */
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  readonly hostHeader: string;
  /** The name that the certificate must be valid for. */
  readonly certificateName: string;
  /** The server name sent in TLS (SNI); null for an IP address. */
  readonly sni: string | null;
  readonly addresses: readonly AddressFact[];
  /** What the server publishes as its name and keys at `/_matrix/key/v2/server`: key id to public key. Not verified. */
  readonly published?: {
    readonly serverName: string;
    readonly verifyKeys: Readonly<Record<string, string>>;
  };
  /** What each address publishes, a line each; left out when all publish the same. */
  readonly differing?: readonly string[];
}

export interface ClientFact {
  readonly baseUrl: string;
  /** "well-known", or "public_baseurl" when only the configuration has it. */
  readonly source: "well-known" | "public_baseurl";
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly AddressFact[];
  /** Some address answered `/_matrix/client/versions` as a homeserver does. */
  readonly answers: boolean;
}

export interface AddressFact {
  /** The host name with this address. */
  readonly host: string;
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number;
  /** `untried`: this host has no route to the address; `private`: it is a private address, which was not followed. */
  readonly state: "answers" | "unanswered" | "untried" | "private";
  /** Why it does not respond correctly. */
  readonly problem?: string;
  readonly certificate?: Certificate;
}

export interface WellKnownFiles {
  readonly server?: WellKnownFact;
  readonly client?: WellKnownFact;
  /** The others that are known to exist for homeservers, such as the one with contacts; also those that are not there. */
  readonly others: readonly WellKnownFact[];
}

export interface WellKnownFact {
  readonly url: string;
  /** The redirects, each with its status and target. */
  readonly redirects: readonly { readonly status: number; readonly to: string; readonly cors: boolean }[];
  /** `absent`: a status of 4xx; `unreachable`: no response; `broken`: a response that cannot be used. */
  readonly state: "valid" | "absent" | "unreachable" | "broken";
  readonly problem?: string;
  readonly status?: number;
  /** `m.server`, or `m.homeserver.base_url`. */
  readonly value?: string;
  readonly cacheControl: string | null;
  /** How long others may cache a response fetched just now, including shared caches. */
  readonly cacheSeconds?: number;
  /** `Access-Control-Allow-Origin` is there: without it, clients in browsers cannot read the file. */
  readonly cors?: boolean;
  /** The keys at the top of a file that can be used, besides `m.homeserver` and `m.server`. */
  readonly keys?: readonly string[];
  /** The client file names a sliding sync proxy, which is obsolete. */
  readonly slidingSyncProxy?: boolean;
  /** The addresses of the hosts that served it. */
  readonly addresses: readonly string[];
}

export interface RecordFact {
  readonly name: string;
  readonly type: DnsType;
  /** Seconds. */
  readonly ttl: number;
  readonly value: string;
  /** The name server that returned it: "ns1.example.org (192.0.2.53)". */
  readonly from: string;
  /** Returned by an authoritative server; otherwise the TTL may be partly elapsed. */
  readonly authoritative: boolean;
  /** Moving to another address may require changing this record. */
  readonly moves: boolean;
}

export interface UnansweredFact {
  readonly name: string;
  readonly type: DnsType;
  readonly outcome: Exclude<DnsOutcome, "found" | "no-data" | "no-name">;
}

export interface CaaFact {
  /** The name that a certificate is needed for. */
  readonly name: string;
  /** The name that has the applicable records; left out when there are none. */
  readonly at?: string;
  /** '0 issue "ca.example"'. */
  readonly records: readonly string[];
}

export interface Wait {
  readonly what: string;
  readonly seconds: number;
}

/** A TTL or cache time to lower before the move, in seconds. */
export type Lowering =
  | {
      readonly kind: "record";
      readonly name: string;
      readonly type: DnsType;
      readonly values: readonly string[];
      readonly from: number;
      readonly to: number;
    }
  | {
      readonly kind: "header";
      readonly url: string;
      /** The present `Cache-Control`; null when there is none. */
      readonly now: string | null;
      readonly from: number;
      readonly to: number;
    };
