import type { Http, HttpAnswer } from "../system/http/http.ts";
import { NoAnswer, type NoAnswerReason } from "../system/http/no-answer.ts";
import { isPrivateAddress } from "../system/ip-address.ts";
import type { HostAddress, Lookups } from "./lookups.ts";

/** What is needed for lookups and requests, with their time limit. */
export interface LookupContext {
  readonly lookups: Lookups;
  readonly http: Http;
  readonly now: () => number;
  /** Time-out of one HTTP request in milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  /**
   * Whether a host is also reached at a private address. Names that somebody else's server gives, in a well-known file,
   * a redirect or an SRV record, must not lead into the network of this host.
   */
  readonly followPrivate: (host: string) => boolean;
}

/** The addresses of a host, and those that are not followed because they are private. */
export async function reachableAddresses(
  host: string,
  { lookups, followPrivate }: Pick<LookupContext, "lookups" | "followPrivate">,
): Promise<{ readonly addresses: readonly HostAddress[]; readonly refused: readonly HostAddress[] }> {
  const all = await lookups.addressesOf(host);
  const refused = followPrivate(host) ? [] : all.filter(({ address }) => isPrivateAddress(address));
  return { addresses: all.filter((one) => !refused.includes(one)), refused };
}

export type FetchResult =
  | { readonly answer: HttpAnswer; readonly addresses: readonly string[] }
  | {
      readonly answer?: undefined;
      /** `private`: it has private addresses only, and they are not followed. */
      readonly kind: NoAnswerReason | "private";
      readonly problem: string;
      readonly addresses: readonly string[];
    };

/** Failures after which the next address of a host is tried; others would be the same there. */
const RETRY_ELSEWHERE: readonly NoAnswerReason[] = ["refused", "timed-out", "no-route", "broken"];

/**
 * Fetches a URL from the first address of its host that answers, as DNS gives them, or from the given address alone. Tries no
 * further address after `until`. Rejects with the signal's reason only.
 */
export async function fetchFromHost(
  url: URL,
  asking: LookupContext,
  {
    limit,
    at,
    until,
  }: { readonly limit: number; readonly at?: string | undefined; readonly until?: AbortSignal },
): Promise<FetchResult> {
  const { http, timeout, signal } = asking;
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const found = at === undefined ? await reachableAddresses(host, asking) : undefined;
  const addresses = at === undefined ? found!.addresses.map(({ address }) => address) : [at];
  if (addresses.length === 0 && found!.refused.length > 0) {
    const text = found!.refused.map(({ address }) => address).join(", ");
    return {
      kind: "private",
      problem: `${host} has a private address, which is not followed: ${text}`,
      addresses,
    };
  }
  let last: FetchResult = { kind: "no-name", problem: `${url.hostname} has no address`, addresses };
  for (const address of addresses) {
    try {
      const answer = await http.get(url.href, { at: { address, port }, timeout, limit, signal });
      return { answer, addresses };
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      // A missing IPv6 route of this host is not a problem of the server, so it must not hide another error.
      if (error.kind === "no-route" && last.kind !== "no-name") continue;
      last = { kind: error.kind, problem: `${address} port ${port}: ${error.message}`, addresses };
      if (!RETRY_ELSEWHERE.includes(error.kind) || until?.aborted === true) break;
    }
  }
  return last;
}
