import { isDnsName } from "../system/dns/message.ts";
import { addressFamily } from "../system/ip-address.ts";

/** A server name, or the value of `m.server`, which has the same form. */
export interface ServerName {
  /** As it was written. It is the Host header of requests to the server. */
  readonly text: string;
  /** A host name in lower case, or an IP address without brackets. */
  readonly host: string;
  readonly port?: number;
  /** The IP version of the host; 0 when it is a name. */
  readonly family: 0 | 4 | 6;
}

/** Matrix specification, appendices, "Server Name": a name, an IPv4 address or an IPv6 one in brackets; then a port. */
const SHAPE = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z.-]{1,255}))(?::(\d{1,5}))?$/;

/** Parses a server name; undefined when it is not valid. */
export function parseServerName(text: string): ServerName | undefined {
  const [, bracketed, plain, digits] = SHAPE.exec(text) ?? [];
  const host = (bracketed ?? plain ?? "").toLowerCase();
  const family = addressFamily(host);
  if (bracketed === undefined ? family === 6 || !isName(host) : family !== 6) return undefined;
  if (digits === undefined) return { text, host, family };
  const port = Number(digits);
  return port > 0 && port < 0x10000 ? { text, host, port, family } : undefined;
}

/** A valid DNS name that a URL does not parse as an IP address, as it does with "example.123". */
const isName = (host: string) => isDnsName(host) && URL.parse(`https://${host}/`)?.hostname === host;

/** What to do about a text that is not a valid server name. */
export function serverNameHint(text: string): string {
  const meant = meantBy(text);
  if (meant !== undefined) return `write it as user ids end: ${meant}`;
  // An internationalised name is written in ASCII: Matrix specification, appendices, "Server Name".
  const ascii = /[^\x00-\x7f]/.test(text) ? URL.parse(`https://${text}/`)?.host : undefined;
  return ascii === undefined || parseServerName(ascii) === undefined
    ? "check server_name in the configuration: a host name or an IP address, with a port only if it is part of the name"
    : `a server name is written in ASCII: ${ascii}`;
}

/** The server name in an address, or in a name that DNS would write with a dot at its end; undefined when there is none. */
function meantBy(text: string): string | undefined {
  const bare = text.trim();
  const host = /^(?:https?:\/\/)?([^/]*?)\.?(?:\/.*)?$/i.exec(bare)?.[1] ?? "";
  const name = addressFamily(host) === 6 ? `[${host}]` : host;
  return name !== text && parseServerName(name) !== undefined ? name : undefined;
}
