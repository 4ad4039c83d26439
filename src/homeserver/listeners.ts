import type { Http } from "../system/http/http.ts";
import { unixSocketUrl } from "../system/http/unix-socket.ts";
import { urlHost } from "../system/ip-address.ts";
import type { Listener } from "./homeserver.ts";

/** URLs of an unencrypted HTTP listener on a port of this host. */
export const plainUrlsOf = (listener: Listener): string[] => (listener.tls ? [] : portUrlsOf(listener));

/**
 * Where the main process can be asked on this host, best first: listeners for clients before others, then unencrypted ones,
 * those with TLS, and unix sockets. Ask them through `localHttp`.
 */
export function localUrlsOf(listeners: readonly Listener[]): string[] {
  const rank = (listener: Listener) =>
    (listener.resources.includes("client") ? 0 : 3) +
    (listener.port === undefined ? 2 : listener.tls ? 1 : 0);
  return listeners
    .filter(({ resources }) => resources.length > 0)
    .toSorted((a, b) => rank(a) - rank(b))
    .flatMap((listener) =>
      listener.path === undefined ? portUrlsOf(listener) : [unixSocketUrl(listener.path)],
    );
}

/**
 * Does not check the certificates of these listeners, which are for the name that other servers use, not for an address of
 * this host. Who answers is proven by the signature with the signing key.
 */
export function localHttp(http: Http, listeners: readonly Listener[]): Http {
  const own = localUrlsOf(listeners).filter((url) => url.startsWith("https:"));
  const isOwn = (url: string) => own.some((base) => url === base || url.startsWith(`${base}/`));
  return {
    ...http,
    get: (url, options = {}) => http.get(url, isOwn(url) ? { ...options, unverified: true } : options),
  };
}

function portUrlsOf({ port, addresses, tls, resources }: Listener): string[] {
  if (port === undefined || resources.length === 0) return [];
  const hosts = addresses.length === 0 ? ["127.0.0.1"] : addresses;
  return hosts.map((host) => {
    const local = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
    return `${tls ? "https" : "http"}://${urlHost(local)}:${port}`;
  });
}
