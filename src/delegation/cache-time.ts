/** Seconds. synapse/http/federation/well_known_resolver.py: how long Synapse caches a well-known file. */
export const CACHE_DEFAULT = 24 * 3600;
const CACHE_MINIMUM = 300;
export const CACHE_MAXIMUM = 48 * 3600;

/**
 * How long another homeserver caches an `m.server` that it fetched just now, in seconds: `max-age`, else `Expires`,
 * else one day; at least 5 minutes, even with `no-store`, and at most 48 hours. The specification recommends the same
 * default and the same maximum.
 */
export function serverFileSeconds(headers: Headers, now: number): number {
  const said = saidSeconds(headers, now);
  const kept = said === undefined ? CACHE_DEFAULT : Math.min(Math.max(said, CACHE_MINIMUM), CACHE_MAXIMUM);
  return kept + sharedSeconds(headers);
}

/**
 * How long a browser may cache a file that it fetched just now, in seconds (RFC 9111, section 4.2). Without caching
 * headers browsers use a tenth of the file's age.
 */
export function clientFileSeconds(headers: Headers, now: number): number {
  if (directives(headers).has("no-cache")) return 0;
  const modified = Date.parse(headers.get("last-modified") ?? "");
  const guessed = Number.isNaN(modified) ? 0 : Math.floor((now - modified) / 10_000);
  return Math.max(0, saidSeconds(headers, now) ?? guessed) + sharedSeconds(headers);
}

/** The cache time for the client itself, in seconds; undefined without caching headers. */
function saidSeconds(headers: Headers, now: number): number | undefined {
  const given = directives(headers);
  if (given.has("no-store")) return 0;
  const maxAge = seconds(given.get("max-age"));
  if (maxAge !== undefined) return maxAge;
  const expires = headers.get("expires");
  if (expires === null) return undefined;
  const until = Date.parse(expires);
  // An invalid date, such as "0", means the past (RFC 9111, section 5.3).
  return Number.isNaN(until) ? 0 : Math.max(0, Math.ceil((until - now) / 1000));
}

/** What a shared cache may add, in seconds: `s-maxage`, or `max-age` if an `Age` header shows that there is a cache. */
function sharedSeconds(headers: Headers): number {
  const given = directives(headers);
  if (given.has("no-store") || given.has("private")) return 0;
  return seconds(given.get("s-maxage")) ?? (headers.has("age") ? (seconds(given.get("max-age")) ?? 0) : 0);
}

const seconds = (text: string | undefined) =>
  text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;

function directives(headers: Headers): Map<string, string> {
  const parts = (headers.get("cache-control") ?? "").split(",").map((part) => part.trim().split("="));
  return new Map(parts.map(([name = "", value = ""]) => [name.toLowerCase(), value.replaceAll('"', "")]));
}
