import type { Finding } from "../report/finding.ts";
import { formatDuration } from "../report/units.ts";
import type { DnsAnswer } from "../system/dns/answer.ts";
import type { Dns } from "../system/dns/dns.ts";
import type { Http } from "../system/http/http.ts";
import { NoAnswer } from "../system/http/no-answer.ts";

/** Milliseconds for all lookups and requests together, where nobody says otherwise. */
export const TIME_LIMIT = 120_000;

interface Asked {
  readonly dns: Dns;
  readonly http: Http;
}

export type Limited<World extends Asked> = World & {
  /** Whether the limit ended something, or kept it from being asked. */
  readonly cut: () => boolean;
};

/**
 * The same, with a limit for everything together, which counts from now: what runs when it is over ends then, and what is
 * asked later is not asked. Both are as if nobody had answered.
 */
export function withTimeLimit<World extends Asked>(world: World, milliseconds: number): Limited<World> {
  const over = AbortSignal.timeout(milliseconds);
  let cut = false;
  const until = (signal?: AbortSignal) => (signal ? AbortSignal.any([signal, over]) : over);
  const ended = (error: unknown) => {
    if (error !== over.reason || error === undefined) return false;
    cut = true;
    return true;
  };
  const late = (error: unknown): never => {
    if (!ended(error)) throw error;
    throw new NoAnswer(
      "timed-out",
      `the time limit of ${formatDuration(milliseconds / 1000)} was over`,
      error,
    );
  };
  const silent = (error: unknown): DnsAnswer => {
    if (!ended(error)) throw error;
    return { outcome: "silent", records: [], chain: [] };
  };
  const limitedDns = (dns: Dns): Dns => ({
    ask: (name, type, signal) => dns.ask(name, type, until(signal)).catch(silent),
    lookUp: (name, type, signal) => dns.lookUp(name, type, until(signal)).catch(silent),
    withResolver: (resolver) => limitedDns(dns.withResolver(resolver)),
    again: () => limitedDns(dns.again()),
  });
  const { http } = world;
  const limitedHttp: Http = {
    ...http,
    get: (url, options) => http.get(url, { ...options, signal: until(options?.signal) }).catch(late),
    request: (method, url, options) =>
      http.request(method, url, { ...options, signal: until(options?.signal) }).catch(late),
    certificate: (name, at, options) =>
      http.certificate(name, at, { ...options, signal: until(options?.signal) }).catch(late),
  };
  return { ...world, dns: limitedDns(world.dns), http: limitedHttp, cut: () => cut };
}

const SENTENCE = "the time limit was over before everything had answered";
const HINT =
  "look at what did not answer; delegation show, files and check give all of it more time with --time-limit";

/** The words, for where a result is not a finding yet. */
export const TIME_LIMIT_WORDS = { failed: SENTENCE, hint: HINT };

/** That something was not asked, or not waited for. */
export const timeLimitFinding = (milliseconds: number): Finding => ({
  id: "delegation-time-limit",
  level: "warning",
  sentence: SENTENCE,
  evidence: [`the limit is ${formatDuration(milliseconds / 1000)}`],
  hint: HINT,
});
