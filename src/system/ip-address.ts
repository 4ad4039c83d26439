import { BlockList, isIP } from "node:net";

/** The IP version of an address; 0 when the text is not an IP address. */
export const addressFamily = (text: string) => isIP(text) as 0 | 4 | 6;

/** Networks that no server on the internet has an address in (IANA's registries of special-purpose addresses, RFC 6890). */
const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const)
  PRIVATE.addSubnet(network, prefix, "ipv4");
for (const [network, prefix] of [
  ["::", 127],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const)
  PRIVATE.addSubnet(network, prefix, "ipv6");

/** An address of this host, of a private network, or of many hosts; one in IPv6's form of an IPv4 address counts as that. */
export const isPrivateAddress = (address: string) => {
  const family = addressFamily(address);
  return family !== 0 && PRIVATE.check(address, family === 4 ? "ipv4" : "ipv6");
};

/** A host as a URL has it: an IPv6 address in brackets (RFC 3986, section 3.2.2). */
export const urlHost = (host: string): string => (host.includes(":") ? `[${host}]` : host);

/** A URL's host without those brackets, as connections and certificates want it. */
export const bareHost = (host: string): string => host.replace(/^\[|\]$/g, "");
