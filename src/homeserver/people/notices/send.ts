import type { Http, HttpAnswer } from "../../../system/http/http.ts";
import type { Machine } from "../../../system/machine.ts";
import type { Progress } from "../../../system/progress.ts";
import { type Campaign, noticeBody, transactionId } from "./campaign.ts";
import type { NoticeRecord } from "./record.ts";
import { fieldIn, type NoticeServer } from "./server.ts";

export interface Sending {
  readonly campaign: Campaign;
  readonly server: NoticeServer;
  /** User ids; none of them got it before. */
  readonly recipients: readonly string[];
  /** Notices per second, at most. */
  readonly rate: number;
  readonly record: NoticeRecord;
}

export interface Sent {
  readonly sent: number;
  /** Those who did not get it, with the reason. */
  readonly unsent: readonly { readonly userId: string; readonly reason: string }[];
  /** Why the rest was not even tried. */
  readonly stopped: string | undefined;
}

interface SendSystem {
  readonly http: Http;
  readonly machine: Machine;
  readonly signal: AbortSignal;
}

type Outcome =
  | { readonly kind: "sent" }
  /** Something about this person. */
  | { readonly kind: "refused"; readonly reason: string }
  /** It may be over in a moment. */
  | { readonly kind: "failed"; readonly reason: string }
  /** Nobody else would get it either. */
  | { readonly kind: "hopeless"; readonly reason: string };

/** Milliseconds between the attempts at one notice that failed. */
const RETRY_DELAYS = [1000, 3000, 10_000];
/** People in a row for whom every attempt failed: the server is down. */
const MAX_FAILURES_IN_A_ROW = 3;
/** Milliseconds that we wait when the server asks us to; longer, and a person should come back later. */
const LONGEST_WAIT = 15 * 60_000;
/** Times that we wait for the same notice. */
const MAX_WAITS = 10;
/** Milliseconds for one notice: making its room is slow on a busy server. */
const TIME_LIMIT = 60_000;
/** Notices between two writings of the record. What it lacks after a kill, the server's own database knows. */
const SAVE_EVERY = 10;

/**
 * Sends one after another, waits when the server asks for it, and records who received it. A person to whom a notice cannot be sent
 * is listed in the result. Throws the signal's reason when aborted; the record is written even then.
 */
export async function sendNotices(
  { campaign, server, recipients, rate, record }: Sending,
  world: SendSystem,
  progress: Progress,
): Promise<Sent> {
  const { machine, signal } = world;
  const unsent: { userId: string; reason: string }[] = [];
  let sent = 0;
  let failures = 0;
  let stopped: string | undefined;
  progress.begin({ id: WORK, label: "notices", unit: "notices", total: recipients.length });
  try {
    for (const [index, userId] of recipients.entries()) {
      const began = machine.elapsed();
      const attempt = () => send(campaign, server, userId, world);
      const outcome = await sendWithRetries(attempt, machine, signal);
      if (outcome.kind === "sent") {
        record.add(campaign.id, userId, machine.now());
        if (++sent % SAVE_EVERY === 0) await record.save();
        progress.advance(WORK, 1);
      } else {
        unsent.push({ userId, reason: outcome.reason });
      }
      failures = outcome.kind === "failed" ? failures + 1 : 0;
      if (outcome.kind === "hopeless" || (outcome.kind === "failed" && failures === MAX_FAILURES_IN_A_ROW)) {
        stopped = outcome.reason;
        break;
      }
      const rest = 1000 / rate - (machine.elapsed() - began);
      if (rest > 0 && index + 1 < recipients.length) await machine.wait(rest, signal);
    }
  } finally {
    await record.save();
  }
  if (unsent.length === 0) progress.end(WORK);
  return { sent, unsent, stopped };
}

const WORK = "users/notices";

/** A repetition is harmless: the server knows the transaction. */
async function sendWithRetries(
  attempt: () => Promise<Outcome | Wait>,
  machine: Machine,
  signal: AbortSignal,
): Promise<Outcome> {
  let waits = 0;
  for (let tried = 0; ;) {
    const outcome = await attempt();
    if ("wait" in outcome) {
      if (outcome.wait > LONGEST_WAIT || waits++ === MAX_WAITS)
        return {
          kind: "hopeless",
          reason: `the server asks for a pause of ${Math.ceil(outcome.wait / 1000)} s`,
        };
      await machine.wait(outcome.wait, signal);
      continue;
    }
    const pause = RETRY_DELAYS[tried++];
    if (outcome.kind !== "failed" || pause === undefined) return outcome;
    await machine.wait(pause, signal);
  }
}

interface Wait {
  /** Milliseconds. */
  readonly wait: number;
}

async function send(
  campaign: Campaign,
  { url, token }: NoticeServer,
  userId: string,
  { http, machine, signal }: SendSystem,
): Promise<Outcome | Wait> {
  const path = `/_synapse/admin/v1/send_server_notice/${transactionId(campaign, userId)}`;
  const headers = { authorization: `Bearer ${token}` };
  let answer: HttpAnswer;
  try {
    answer = await http.put(url + path, noticeBody(campaign, userId), {
      headers,
      timeout: TIME_LIMIT,
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "failed", reason: (error as Error).message };
  }
  const outcome = outcomeOf(answer, machine.now());
  if (!("reason" in outcome)) return outcome;
  // A server may repeat what it was sent: the token is in no sentence of ours.
  return { ...outcome, reason: outcome.reason.replaceAll(token, "<hidden>").slice(0, 300) };
}

function outcomeOf(answer: HttpAnswer, now: number): Outcome | Wait {
  const { status } = answer;
  if (status === 200) return { kind: "sent" };
  if (status === 429) return { wait: waitAskedFor(answer, now) };
  const errcode = fieldIn(answer, "errcode");
  const said = fieldIn(answer, "error");
  const reason = `status ${status}${typeof said === "string" ? `: ${said.slice(0, 8000)}` : ""}`;
  if (status >= 500) return { kind: "failed", reason };
  // Synapse answers 400 with M_UNKNOWN when server notices are not enabled, and for users of other servers, who never are
  // recipients here (synapse/rest/admin/server_notice_servlet.py).
  const notEnabled = status === 400 && errcode === "M_UNKNOWN";
  // The others: a proxy in between, a token that was revoked, an API that is not served.
  const forAll = notEnabled || status < 400 || [401, 403].includes(status) || errcode === "M_UNRECOGNIZED";
  return { kind: forAll || typeof errcode !== "string" ? "hopeless" : "refused", reason };
}

/** Matrix specification, Rate limiting: the header counts seconds (or names a time), the older field milliseconds. */
function waitAskedFor(answer: HttpAnswer, now: number): number {
  const header = answer.headers.get("retry-after") ?? "";
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const until = Date.parse(header);
  if (!Number.isNaN(until)) return Math.max(1000, until - now);
  const field = fieldIn(answer, "retry_after_ms");
  return typeof field === "number" && field >= 0 ? field : 5000;
}
