import { MigrationError } from "../../errors.ts";
import { peopleFindings } from "../../homeserver/people/findings.ts";
import { announce } from "../../homeserver/people/notices/announce.ts";
import { campaignOf } from "../../homeserver/people/notices/campaign.ts";
import {
  countUnsent,
  deliverNotices,
  deliveryFinding,
  type NoticeDelivery,
  prepareNotices,
} from "../../homeserver/people/notices/deliver.ts";
import { readText } from "../../homeserver/people/notices/inputs.ts";
import { textForThoseAtRisk } from "../../homeserver/people/notices/texts.ts";
import type { UsersResult } from "../../homeserver/people/result.ts";
import { surveyPeople } from "../../homeserver/people/survey.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import { chooseSource, type GivenSource } from "../../homeserver/service/find/choose.ts";
import { findLaunches } from "../../homeserver/service/find/find.ts";
import { acceptWarnings, failureForFindings } from "../../report/accept.ts";
import type { Finding } from "../../report/finding.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { assertParentFolder } from "../disk-space.ts";

/** All paths are absolute. */
export interface SurveyOrder {
  /** Where the configuration is, as far as it was given. */
  readonly given: GivenSource;
  /** List every account, not only users at risk. */
  readonly everybody: boolean;
  /** Key backups are checked against the messages of this many days; 0 checks nothing. */
  readonly coverageDays: number;
  /** File for a table of every account; not written by a dry run. */
  readonly csv: string | undefined;
  /** Folder for the announcements. */
  readonly announce: string | undefined;
  /** When the move starts and how long it takes, as text for the announcements. */
  readonly when: string | undefined;
  readonly outage: string | undefined;
  /** File with the text to send to users at risk, instead of the announcement for them. */
  readonly textFile: string | undefined;
  /** Undefined when nobody is to be notified. */
  readonly notices: NotifyOrder | undefined;
  readonly accepted: readonly string[];
  /** Writes no file and sends nothing. */
  readonly dryRun: boolean;
}

/** How notices are sent. */
export interface NotifyOrder {
  /** An administrator's access token. */
  readonly token: string;
  /** Base address of Synapse; undefined for its first unencrypted listener. */
  readonly url: string | undefined;
  /** Maximum notices per second. */
  readonly rate: number;
  /** File that records who received which notice. */
  readonly recordPath: string;
}

export interface SurveyResult extends UsersResult {
  readonly kind: "surveyed" | "would-notify" | "notified" | "partly-notified";
  readonly findings: readonly Finding[];
  /** Why the run is not a success: unaccepted warnings, or notices that could not be sent. */
  readonly failure: MigrationError | undefined;
}

/**
 * Finds the users who would lose encrypted messages at a sign-out, writes announcements for them, and notifies them, as
 * far as that is ordered. Changes nothing in the homeserver but the rooms of the notices. May be repeated: nobody receives
 * a notice twice.
 *
 * Throws what reading the configuration and the database throws, `notices-not-sent` before the survey when the server does
 * not accept notices, and `bad-usage` for a text that cannot be sent.
 */
export async function surveyAndNotify(
  order: SurveyOrder,
  system: System,
  progress: Progress,
): Promise<SurveyResult> {
  const { files, signal } = system;
  const { dryRun } = order;
  const csv = dryRun ? undefined : order.csv;
  if (csv !== undefined) await assertParentFolder(csv, "--csv", files);
  const chosen = await chooseSource(await findLaunches(system), order.given, files);
  const homeserver = await readHomeserver({ ...chosen.source, signal }, files);
  const { serverName, settings } = homeserver;
  // Errors that prevent sending are found before the long survey of the database.
  const sender = order.notices && (await prepareNotices(order.notices, homeserver, system));
  const move = { serverName, when: order.when, outage: order.outage };
  const announced =
    order.announce === undefined ? undefined : await announce(order.announce, move, dryRun, files);
  const text = order.textFile === undefined ? undefined : await readText(order.textFile, files);
  const campaign = campaignOf(text ?? announced?.atRisk ?? textForThoseAtRisk(move));

  const { tally, roll, alreadySent } = await surveyPeople(
    homeserver,
    {
      coverageDays: order.coverageDays,
      everybody: order.everybody,
      csv,
      notice: sender && { campaign, from: sender.from },
    },
    system,
    progress,
  );
  const delivery =
    sender &&
    (await deliverNotices(sender, { campaign, people: roll.atRisk, alreadySent, dryRun }, system, progress));
  const kind = kindOf(delivery);
  const findings = acceptWarnings(
    [
      ...chosen.findings,
      ...peopleFindings(tally, serverName, settings),
      ...(delivery ? [deliveryFinding(delivery)] : []),
    ],
    order.accepted,
  );
  // Notifying the users at risk was the purpose of this run: its warnings are not a failure then.
  const relevant = kind === "notified" ? findings.filter(({ level }) => level !== "warning") : findings;
  return {
    kind,
    serverName,
    tally,
    roll,
    everybody: order.everybody,
    csv,
    announced,
    delivery,
    findings,
    failure: kind === "partly-notified" ? notSent(countUnsent(delivery!)) : failureForFindings(relevant),
  };
}

function kindOf(delivery: NoticeDelivery | undefined): SurveyResult["kind"] {
  if (!delivery) return "surveyed";
  if (delivery.dryRun) return "would-notify";
  return countUnsent(delivery) === 0 ? "notified" : "partly-notified";
}

const notSent = (count: number) =>
  new MigrationError("notices-not-sent", `${count} of the notices could not be sent`, {
    hint: "fix the cause and run the same command again: nobody receives a second copy",
  });
