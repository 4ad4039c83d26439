import { Interrupted, MigrationError } from "../../errors.ts";
import { AnswerCounter, type AnswerCounts } from "../../old-address/counter.ts";
import { decide, LOOP, replyTo, UNREACHABLE } from "../../old-address/respond.ts";
import type { Behaviour, CertificateFiles } from "../../proxies/answer.ts";
import { readPemPair, renewPemPair } from "../../system/http/pem-pair.ts";
import { urlHost } from "../../system/ip-address.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";

export interface ServeOrder {
  readonly behaviour: Behaviour;
  readonly listen: readonly { readonly address: string | undefined; readonly port: number }[];
  /** PEM files; undefined behind another web server. They are read again when they change. */
  readonly tls: CertificateFiles | undefined;
  /** Milliseconds since 1970 at which it ends by itself. */
  readonly until: number | undefined;
}

export interface ServeResult {
  readonly endpoints: readonly string[];
  readonly counts: AnswerCounts;
  /** Why it ended. */
  readonly ended: "signal" | "until";
  /** Milliseconds. */
  readonly served: number;
  /** Requests that were still in flight when their time was up. */
  readonly brokenOff: number;
}

/** Milliseconds that requests in flight have to end. */
const GRACE = 8_000;
/** Milliseconds between two looks at the certificate, and at the counts. */
const LOOK = 60_000;

/**
 * Answers requests until the process is asked to stop, or until a date. Requests in flight are completed then, which is no
 * failure; `brokenOff` says how many were not. Throws `target-unsuitable` when it cannot listen, and what `readPemPair` throws.
 */
export async function serveBehaviour(
  { behaviour, listen, tls, until }: ServeOrder,
  system: Pick<System, "files" | "webServers" | "machine" | "signal">,
  progress: Progress,
): Promise<ServeResult> {
  const { files, machine, signal } = system;
  const authorities = await readAuthorities(behaviour, files);
  const counter = new AnswerCounter();
  let pair = tls && (await readPemPair(tls, files));
  const listener = await system.webServers.listen({
    endpoints: listen,
    tls: pair,
    unreachable: UNREACHABLE,
    loop: LOOP,
    handle(request) {
      const decision = decide(request, behaviour);
      counter.add(request, decision);
      return replyTo(decision, behaviour, authorities);
    },
  });
  const started = machine.elapsed();
  const endpoints = listener.endpoints.map(
    ({ address, port }) => `${tls ? "https" : "http"}://${urlHost(address)}:${port}`,
  );
  for (const endpoint of endpoints) progress.note(`listening on ${endpoint}`);
  let ended: ServeResult["ended"] = "signal";
  let brokenOff = 0;
  let told = 0;
  try {
    for (;;) {
      const left = until === undefined ? Infinity : until - machine.now();
      if (left <= 0) {
        ended = "until";
        break;
      }
      await machine.wait(Math.min(LOOK, left), signal);
      if (tls) pair = await renewPemPair(tls, pair!, listener, { files, progress });
      const { requests, sessions } = counter.counts();
      if (requests > told) progress.note(`${requests} requests answered, of ${sessions} sessions`);
      told = requests;
    }
  } catch (error) {
    if (!(error instanceof Interrupted) && !signal.aborted) throw error;
  } finally {
    brokenOff = await listener.stop(GRACE);
  }
  return { endpoints, counts: counter.counts(), ended, served: machine.elapsed() - started, brokenOff };
}

async function readAuthorities(
  { rules, otherwise }: Behaviour,
  files: System["files"],
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const action of [...rules.map(({ then }) => then), otherwise]) {
    const path = action.kind === "forward" ? action.to.authorities : undefined;
    if (path !== undefined && !texts.has(path)) texts.set(path, await files.readText(path));
  }
  return texts;
}

/** "2026-12-31" or "2026-12-31T12:00Z", as milliseconds since 1970. Throws `bad-usage`, also for the past. */
export function untilOf(text: string, now: number): number {
  const time = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)?$/.test(text)
    ? Date.parse(text)
    : NaN;
  if (Number.isNaN(time))
    throw new MigrationError("bad-usage", `--until: ${text} is not a date`, {
      hint: "write it as 2026-12-31, or with a time: 2026-12-31T12:00Z",
    });
  if (time <= now) throw new MigrationError("bad-usage", `--until: ${text} is in the past`);
  return time;
}
