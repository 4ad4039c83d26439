import { type Delegation, type DelegationQuestion, inspectDelegation } from "../../src/delegation/inspect.ts";
import { realDns } from "../../src/system/dns/dns.ts";
import { httpOver } from "../../src/system/http/http.ts";
import { noProgress } from "../../src/system/progress.ts";
import { type DnsServerInTest, type Mischief, startDnsServer } from "../support/dns-server.ts";
import { type KeyAndCertificate, TestAuthority } from "../support/test-authority.ts";
import { startWeb, type WebAnswer, type WebServer } from "../support/web-server.ts";

export const authority = new TestAuthority();

/** For all names that the worlds below know. */
const everyName = authority.sign([
  "example.org",
  "*.example.org",
  "*.provider.example",
  "elsewhere.example",
  "127.0.0.1",
]);

export interface WorldOptions {
  readonly zones: Readonly<Record<string, readonly string[]>>;
  /** Host header and path, or path alone for every host: "example.org/.well-known/matrix/server"; "OPTIONS " before it. */
  readonly pages?: Readonly<Record<string, WebAnswer>>;
  readonly mischief?: Readonly<Record<string, Mischief>>;
  readonly age?: number;
  /** By name in TLS, before the one that is valid for all. */
  readonly certificates?: Readonly<Record<string, KeyAndCertificate>>;
}

/** Name servers and web servers on 127.0.0.1. Port 443 is one server, port 80 one, and every other port is a third. */
export interface TestWorld extends AsyncDisposable {
  readonly dns: DnsServerInTest;
  readonly https: WebServer;
  readonly federation: WebServer;
  readonly sources: Parameters<typeof inspectDelegation>[1];
  inspect(question?: Partial<DelegationQuestion>): Promise<Delegation>;
}

/** 2026-11-25 12:00 UTC, which is what every world's clock shows. */
export const NOW = Date.UTC(2026, 10, 25, 12);

export async function startWorld({
  zones,
  pages = {},
  mischief = {},
  age = 0,
  certificates = {},
}: WorldOptions): Promise<TestWorld> {
  const answer = (host: string, path: string, method: string) => {
    const prefix = method === "OPTIONS" ? "OPTIONS " : "";
    return pages[`${prefix}${host}${path}`] ?? pages[`${prefix}${path}`];
  };
  const secure = { certificates: { ...certificates, "": certificates[""] ?? everyName }, answer };
  const [dns, https, federation, plain] = await Promise.all([
    startDnsServer({ zones, mischief, age }),
    startWeb(secure),
    startWeb(secure),
    startWeb({ answer }),
  ]);
  const portFor = (port: number) => (port === 443 ? https.port : port === 80 ? plain.port : federation.port);
  const resolver = { address: dns.address, port: dns.port };
  const sources = {
    dns: realDns({ resolvers: [resolver], port: dns.port, timeout: 500, tries: 2 }),
    http: httpOver({ authorities: [authority.pem], portFor }),
    machine: { now: () => NOW },
    signal: new AbortController().signal,
  };
  return {
    dns,
    https,
    federation,
    sources,
    inspect: (question = {}) =>
      inspectDelegation({ serverName: "example.org", timeout: 2000, ...question }, sources, noProgress),
    async [Symbol.asyncDispose]() {
      for (const server of [dns, https, federation, plain]) await server[Symbol.asyncDispose]();
    },
  };
}

export const json = (value: unknown, headers: Readonly<Record<string, string>> = {}): WebAnswer => ({
  headers: { "access-control-allow-origin": "*", ...headers },
  body: JSON.stringify(value),
});

export const serverFile = (value: string, headers: Readonly<Record<string, string>> = {}) => ({
  "example.org/.well-known/matrix/server": json({ "m.server": value }, headers),
});

export const clientFile = (url: string, headers: Readonly<Record<string, string>> = {}) => ({
  "example.org/.well-known/matrix/client": json({ "m.homeserver": { base_url: url } }, headers),
});

/** What a homeserver answers, whatever it is called. */
export const HOMESERVER = {
  "/_matrix/key/v2/server": json({
    server_name: "example.org",
    verify_keys: { "ed25519:a_one": { key: "PuBliC" } },
  }),
  "/_matrix/client/versions": json({ versions: ["v1.11"] }),
};
