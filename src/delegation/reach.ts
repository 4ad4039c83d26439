import type { Http, HttpAnswer } from "../system/http/http.ts";
import { NoAnswer, type Silence } from "../system/http/no-answer.ts";
import type { Lookups } from "./lookups.ts";

/** With what the outside is asked, and how long each question may take. */
export interface Asking {
  readonly lookups: Lookups;
  readonly http: Http;
  readonly now: () => number;
  /** Milliseconds for one answer of a web server. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export type Reached =
  | { readonly answer: HttpAnswer; readonly addresses: readonly string[] }
  | {
      readonly answer?: undefined;
      readonly kind: Silence;
      readonly problem: string;
      readonly addresses: readonly string[];
    };

/** What is left to be tried at the next address of a host; anything else would be the same there. */
const WORTH_ANOTHER: readonly Silence[] = ["refused", "timed-out", "no-route", "broken"];

/** Fetches a URL from the first address of its host that answers, as DNS gives them. Rejects with the signal's reason only. */
export async function reach(
  url: URL,
  { lookups, http, timeout, signal }: Asking,
  limit: number,
): Promise<Reached> {
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const found = await lookups.addressesOf(url.hostname.replace(/^\[(.*)\]$/, "$1"));
  const addresses = found.map(({ address }) => address);
  let last: Reached = { kind: "no-name", problem: `${url.hostname} has no address`, addresses };
  for (const address of addresses) {
    try {
      const answer = await http.get(url.href, { at: { address, port }, timeout, limit, signal });
      return { answer, addresses };
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      // That this host has no IPv6 is not what is wrong with the server.
      if (error.kind === "no-route" && last.kind !== "no-name") continue;
      last = { kind: error.kind, problem: `${address} port ${port}: ${error.message}`, addresses };
      if (!WORTH_ANOTHER.includes(error.kind)) break;
    }
  }
  return last;
}
