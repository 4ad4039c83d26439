import { join } from "node:path";
import { acquireLock } from "../../../journal/lock.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatCount, formatDuration } from "../../../report/units.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import type { Homeserver } from "../../homeserver.ts";
import { formatCounted } from "../describe.ts";
import type { Campaign } from "./campaign.ts";
import { NoticeRecord } from "./record.ts";
import { sendNotices, type Sent } from "./send.ts";
import { assertAcceptsNotices, type NoticeServer, noticesUrl, noticesUser } from "./server.ts";

export interface NoticeOptions {
  /** Left out, the first plain listener of the configuration is asked. */
  readonly url?: string | undefined;
  readonly token: string;
  /** Notices per second, at most. */
  readonly rate: number;
  /** Where it is kept who got which text; may be left out when nothing is sent. */
  readonly recordPath?: string | undefined;
}

/** A server that takes notices from us, as far as can be known before the first. */
export interface NoticeSender {
  readonly server: NoticeServer;
  /** The account that notices come from. */
  readonly from: string;
  readonly rate: number;
  readonly recordPath: string | undefined;
}

export interface NoticeDelivery extends Sent {
  readonly campaign: Campaign;
  readonly recipients: number;
  /** Those who got it before. */
  readonly before: number;
  /** Nothing was sent: this is what would be. */
  readonly dryRun: boolean;
  /** Seconds that sending takes at least. */
  readonly seconds: number;
}

/** The record's name beside the texts. */
export const recordPathIn = (folder: string) => join(folder, "notices-sent.json");

/** Checks whether notices can be sent. Throws `notices-not-sent` with the reason, `bad-usage`. */
export async function prepareNotices(
  { url, token, rate, recordPath }: NoticeOptions,
  homeserver: Homeserver,
  { http, signal }: System,
): Promise<NoticeSender> {
  const from = noticesUser(homeserver);
  const server = { url: url ?? noticesUrl(homeserver), token };
  await assertAcceptsNotices(server, homeserver.serverName, http, signal);
  return { server, from, rate, recordPath };
}

/**
 * Sends the text to each of them who did not get it before: neither by our record nor by `alreadySent`, which is what the
 * server's database says. One run at a time: throws `bundle-in-use`.
 */
export async function deliverNotices(
  { server, rate, recordPath }: NoticeSender,
  { campaign, people, alreadySent, dryRun }: NoticeOrder,
  system: System,
  progress: Progress,
): Promise<NoticeDelivery> {
  const { files, machine } = system;
  const about = { campaign, recipients: people.length, dryRun };
  const leftOut = (record: NoticeRecord | undefined) =>
    people.filter((userId) => !alreadySent.has(userId) && record?.has(campaign.id, userId) !== true);
  if (dryRun || recordPath === undefined) {
    const record = recordPath === undefined ? undefined : await NoticeRecord.read(recordPath, files);
    const recipients = leftOut(record);
    return { ...about, ...counts(people, recipients, rate), sent: 0, unsent: [], stopped: undefined };
  }
  const held = await acquireLock(`${recordPath}.lock`, files, machine, recordPath);
  try {
    const record = await NoticeRecord.read(recordPath, files);
    const recipients = leftOut(record);
    const sent = await sendNotices({ campaign, server, recipients, rate, record }, system, progress);
    return { ...about, ...counts(people, recipients, rate), ...sent };
  } finally {
    await held.release();
  }
}

export interface NoticeOrder {
  readonly campaign: Campaign;
  readonly people: readonly string[];
  readonly alreadySent: ReadonlySet<string>;
  readonly dryRun: boolean;
}

const counts = (people: readonly string[], recipients: readonly string[], rate: number) => ({
  before: people.length - recipients.length,
  seconds: Math.max(0, recipients.length - 1) / rate,
});

/** How many of those who should have got it did not, tried or not. */
export const countUnsent = ({ recipients, before, sent, dryRun }: NoticeDelivery) =>
  dryRun ? 0 : recipients - before - sent;

export function deliveryFinding(delivery: NoticeDelivery): Finding {
  const { recipients, before, sent, unsent, stopped, dryRun, seconds } = delivery;
  const known = before === 0 ? "" : `, ${formatCount(before)} got it before`;
  if (dryRun) {
    const time = seconds < 1 ? "" : `, in ${formatDuration(seconds)} or more`;
    return {
      id: "notices",
      level: "note",
      sentence: `a dry run: ${formatCounted(recipients - before, "notice")} would be sent${time}${known}`,
    };
  }
  const left = countUnsent(delivery);
  if (left === 0)
    return {
      id: "notices",
      level: "ok",
      sentence: `${formatCounted(sent, "notice")} sent, to all who had to get it${known}`,
    };
  return {
    id: "notices-not-sent",
    level: "warning",
    sentence: `${formatCounted(sent, "notice")} sent, ${formatCount(left)} not${known}${stopped === undefined ? "" : `: ${stopped}`}`,
    evidence: unsent.slice(0, EXAMPLES).map(({ userId, reason }) => `${userId}: ${reason}`),
    hint: "fix the cause and run the same command again: nobody gets a second copy",
  };
}

const EXAMPLES = 20;
