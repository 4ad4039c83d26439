import type { Http, HttpAnswer } from "../system/http/http.ts";
import { NoAnswer, type NoAnswerReason } from "../system/http/no-answer.ts";
import type { Lookups } from "./lookups.ts";

/** What is needed for lookups and requests, with their time limit. */
export interface LookupContext {
  readonly lookups: Lookups;
  readonly http: Http;
  readonly now: () => number;
  /** Time-out of one HTTP request in milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export type FetchResult =
  | { readonly answer: HttpAnswer; readonly addresses: readonly string[] }
  | {
      readonly answer?: undefined;
      readonly kind: NoAnswerReason;
      readonly problem: string;
      readonly addresses: readonly string[];
    };

/** Failures after which the next address of a host is tried; others would be the same there. */
const RETRY_ELSEWHERE: readonly NoAnswerReason[] = ["refused", "timed-out", "no-route", "broken"];

/** Fetches a URL from the first address of its host that answers, as DNS gives them. Rejects with the signal's reason only. */
export async function fetchFromHost(
  url: URL,
  { lookups, http, timeout, signal }: LookupContext,
  limit: number,
): Promise<FetchResult> {
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const found = await lookups.addressesOf(url.hostname.replace(/^\[(.*)\]$/, "$1"));
  const addresses = found.map(({ address }) => address);
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
      if (!RETRY_ELSEWHERE.includes(error.kind)) break;
    }
  }
  return last;
}
