import { isDnsName } from "../system/dns/message.ts";
import { addressFamily } from "../system/ip-address.ts";

/** A server name, or the value of `m.server`, which has the same form. */
export interface ServerName {
  /** As it was written. It is the Host header of whoever connects there. */
  readonly text: string;
  /** A host name in lower case, or an IP address without brackets. */
  readonly host: string;
  readonly port?: number;
  /** Which kind of IP address the host is; 0 when it is a name. */
  readonly family: 0 | 4 | 6;
}

/** Matrix specification, appendices, "Server Name": a name, an IPv4 address or an IPv6 one in brackets; then a port. */
const SHAPE = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z.-]{1,255}))(?::(\d{1,5}))?$/;

/** Reads a server name; undefined when it is none. */
export function parseServerName(text: string): ServerName | undefined {
  const [, bracketed, plain, digits] = SHAPE.exec(text) ?? [];
  const host = (bracketed ?? plain ?? "").toLowerCase();
  const family = addressFamily(host);
  if (bracketed === undefined ? family === 6 || !isName(host) : family !== 6) return undefined;
  if (digits === undefined) return { text, host, family };
  const port = Number(digits);
  return port > 0 && port < 0x10000 ? { text, host, port, family } : undefined;
}

/** A name that can be asked for in DNS, and that a URL takes for what it is: "example.123" is half an address there. */
const isName = (host: string) => isDnsName(host) && URL.parse(`https://${host}/`)?.hostname === host;
