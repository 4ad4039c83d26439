import { join } from "node:path";
import { takeLock } from "../../../journal/lock.ts";
import type { Finding } from "../../../report/finding.ts";
import { formatCount, formatDuration } from "../../../report/units.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import type { Homeserver } from "../../homeserver.ts";
import { several } from "../words.ts";
import type { Campaign } from "./campaign.ts";
import { NoticeRecord } from "./record.ts";
import { sendNotices, type Sent } from "./send.ts";
import { mustTakeNotices, type NoticeServer, noticesUrl, noticesUser } from "./server.ts";

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
export interface Mailing {
  readonly server: NoticeServer;
  /** The account that notices come from. */
  readonly from: string;
  readonly rate: number;
  readonly recordPath: string | undefined;
}

export interface Delivery extends Sent {
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
export const recordIn = (folder: string) => join(folder, "notices-sent.json");

/** Checks whether notices can be sent. Throws `notices-unsent` with the reason, `bad-usage`. */
export async function prepareNotices(
  { url, token, rate, recordPath }: NoticeOptions,
  homeserver: Homeserver,
  { http, signal }: System,
): Promise<Mailing> {
  const from = noticesUser(homeserver);
  const server = { url: url ?? noticesUrl(homeserver), token };
  await mustTakeNotices(server, homeserver.serverName, http, signal);
  return { server, from, rate, recordPath };
}

/**
 * Sends the text to each of them who did not get it before: neither by our record nor by `noticed`, which is what the
 * server's database says. One run at a time: throws `bundle-locked`.
 */
export async function deliverNotices(
  { server, rate, recordPath }: Mailing,
  { campaign, people, noticed, dryRun }: Letter,
  system: System,
  progress: Progress,
): Promise<Delivery> {
  const { files, machine } = system;
  const about = { campaign, recipients: people.length, dryRun };
  const leftOut = (record: NoticeRecord | undefined) =>
    people.filter((userId) => !noticed.has(userId) && record?.has(campaign.id, userId) !== true);
  if (dryRun || recordPath === undefined) {
    const record = recordPath === undefined ? undefined : await NoticeRecord.read(recordPath, files);
    const recipients = leftOut(record);
    return { ...about, ...counts(people, recipients, rate), sent: 0, unsent: [], stopped: undefined };
  }
  const held = await takeLock(`${recordPath}.lock`, files, machine);
  try {
    const record = await NoticeRecord.read(recordPath, files);
    const recipients = leftOut(record);
    const sent = await sendNotices({ campaign, server, recipients, rate, record }, system, progress);
    return { ...about, ...counts(people, recipients, rate), ...sent };
  } finally {
    await held.release();
  }
}

export interface Letter {
  readonly campaign: Campaign;
  readonly people: readonly string[];
  readonly noticed: ReadonlySet<string>;
  readonly dryRun: boolean;
}

const counts = (people: readonly string[], recipients: readonly string[], rate: number) => ({
  before: people.length - recipients.length,
  seconds: Math.max(0, recipients.length - 1) / rate,
});

/** How many of those who should have got it did not, tried or not. */
export const leftWithout = ({ recipients, before, sent, dryRun }: Delivery) =>
  dryRun ? 0 : recipients - before - sent;

export function deliveryFinding(delivery: Delivery): Finding {
  const { recipients, before, sent, unsent, stopped, dryRun, seconds } = delivery;
  const known = before === 0 ? "" : `, ${formatCount(before)} got it before`;
  if (dryRun) {
    const time = seconds < 1 ? "" : `, in ${formatDuration(seconds)} or more`;
    return {
      id: "notices",
      level: "note",
      sentence: `a dry run: ${several(recipients - before, "notice")} would be sent${time}${known}`,
    };
  }
  const left = leftWithout(delivery);
  if (left === 0)
    return {
      id: "notices",
      level: "ok",
      sentence: `${several(sent, "notice")} sent, to all who had to get it${known}`,
    };
  return {
    id: "notices-unsent",
    level: "warning",
    sentence: `${several(sent, "notice")} sent, ${formatCount(left)} not${known}${stopped === undefined ? "" : `: ${stopped}`}`,
    evidence: unsent.slice(0, EXAMPLES).map(({ userId, reason }) => `${userId}: ${reason}`),
    hint: "fix the cause and run the same command again: nobody gets a second copy",
  };
}

const EXAMPLES = 20;
