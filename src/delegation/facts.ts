import type { DnsOutcome } from "../system/dns/answer.ts";
import type { DnsType } from "../system/dns/message.ts";
import type { Certificate } from "../system/http/certificate.ts";

/** How a server is found, as plain values: what `--json` shows. Times are milliseconds since 1970, spans are seconds. */
export interface DelegationFacts {
  readonly serverName: string;
  /** The walk of the server-server API, in order, as far as it went. */
  readonly steps: readonly DiscoveryStep[];
  /** Where the walk ended; left out when it ended nowhere. */
  readonly federation?: FederationFact;
  /** Where clients go; left out when nothing says so. */
  readonly client?: ClientFact;
  readonly wellKnown: { readonly server?: WellKnownFact; readonly client?: WellKnownFact };
  /** Every record that was seen, once. */
  readonly records: readonly RecordFact[];
  /** What could not be looked up. */
  readonly unanswered: readonly UnansweredFact[];
  /** For how long resolvers remember that a name or type does not exist, by zone. */
  readonly negative: readonly { readonly zone: string; readonly seconds: number }[];
  readonly caa: readonly CaaFact[];
  /** The earliest time at which the address can be moved without leaving anybody with the old one. */
  readonly safeFrom: number;
  /** What `safeFrom` waits for, longest first; all of it passes at the same time. */
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
  /** `taken`: it decides where to connect to; `passed`: go on with the next; `stopped`: an error that ends the walk. */
  readonly outcome: "taken" | "passed" | "stopped";
}

export interface FederationFact {
  readonly step: StepId;
  /** In the order in which they are to be tried. More than one by SRV only. */
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  readonly hostHeader: string;
  /** What the certificate must be valid for. */
  readonly certificateName: string;
  /** The name sent in TLS; null for an IP address. */
  readonly sni: string | null;
  readonly addresses: readonly AddressFact[];
  /** What the server publishes as its name and keys at `/_matrix/key/v2/server`: key id to public key. Not verified. */
  readonly published?: {
    readonly serverName: string;
    readonly verifyKeys: Readonly<Record<string, string>>;
  };
}

export interface ClientFact {
  readonly baseUrl: string;
  /** "well-known", or "public_baseurl" when only the configuration says so. */
  readonly source: "well-known" | "public_baseurl";
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly AddressFact[];
  /** Some address answered `/_matrix/client/versions` as a homeserver does. */
  readonly answers: boolean;
}

export interface AddressFact {
  /** The name that leads to it. */
  readonly host: string;
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number;
  /** `untried`: this host has no way to such an address. */
  readonly state: "answers" | "unanswered" | "untried";
  /** Why it does not answer as it should. */
  readonly problem?: string;
  readonly certificate?: Certificate;
}

export interface WellKnownFact {
  readonly url: string;
  /** Where redirects led to, each with the status that said so. */
  readonly redirects: readonly { readonly status: number; readonly to: string; readonly cors: boolean }[];
  /** `absent`: an answer of 4xx; `unreachable`: nothing came; `broken`: something came that cannot be used. */
  readonly state: "valid" | "absent" | "unreachable" | "broken";
  readonly problem?: string;
  readonly status?: number;
  /** `m.server`, or `m.homeserver.base_url`. */
  readonly value?: string;
  readonly cacheControl: string | null;
  /** For how long others may keep what they fetched just now, caches on the way included. */
  readonly cacheSeconds?: number;
  /** `Access-Control-Allow-Origin` is there: without it, clients in browsers cannot read the file. */
  readonly cors?: boolean;
  /** The client file names a sliding sync proxy, which nobody uses any more. */
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
  /** Who said so: "ns1.example.org (192.0.2.53)". */
  readonly from: string;
  /** By a server of the record's zone; else the time to live may be counted down. */
  readonly authoritative: boolean;
  /** A move to another address may have to change it. */
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
  /** Where the records are that count for it; left out when there are none. */
  readonly at?: string;
  /** '0 issue "ca.example"'. */
  readonly records: readonly string[];
}

export interface Wait {
  readonly what: string;
  readonly seconds: number;
}

/** What to lower before the move, from and to so many seconds. */
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
