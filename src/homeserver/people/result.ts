import type { DisplayOptions } from "../../report/text.ts";
import { formatCount } from "../../report/units.ts";
import { byLastSeen, countLines, personJson, personTable } from "./listing.ts";
import type { Announced } from "./notices/announce.ts";
import { countUnsent, type NoticeDelivery } from "./notices/deliver.ts";
import type { PeopleList } from "./people-list.ts";
import type { PeopleTally } from "./tally.ts";

export interface UsersResult {
  readonly serverName: string;
  readonly tally: PeopleTally;
  readonly roll: PeopleList;
  /** Everybody is listed, not only those at risk. */
  readonly everybody: boolean;
  readonly csv: string | undefined;
  readonly announced: Announced | undefined;
  readonly delivery: NoticeDelivery | undefined;
}

/** Lines of a table that are shown when nobody asked for all. */
const SHOWN = 50;

/** For scripts. */
export function usersDetails(result: UsersResult) {
  const { serverName, tally, roll, everybody, csv, announced, delivery } = result;
  return {
    serverName,
    coverageDays: tally.coverageDays,
    counts: { ...tally.counts },
    listed: everybody ? "all" : "at-risk",
    people: roll.listed.map(personJson),
    omitted: roll.omitted,
    csv: csv ?? null,
    announced: announced ? { paths: announced.paths, kept: announced.kept } : null,
    notices: delivery
      ? {
          campaign: delivery.campaign.id,
          recipients: delivery.recipients,
          before: delivery.before,
          sent: delivery.sent,
          unsent: countUnsent(delivery),
          dryRun: delivery.dryRun,
        }
      : null,
  };
}

/** For eyes: counts first, then who, then what was written. */
export function usersLines(result: UsersResult, look: DisplayOptions): string[] {
  const { tally, csv, announced, delivery } = result;
  return [
    "",
    "key backups of people:",
    ...countLines(tally, look),
    ...listLines(result, look),
    ...(announced ? ["", ...announcedLines(announced)] : []),
    ...(csv === undefined ? [] : ["", `every account: ${csv}`]),
    ...(delivery?.dryRun === true
      ? ["", "the notice:", ...delivery.campaign.text.split("\n").map((line) => `  ${line}`.trimEnd())]
      : []),
  ];
}

function listLines({ roll, everybody }: UsersResult, look: DisplayOptions): string[] {
  if (roll.listed.length === 0) return [];
  const ordered = everybody ? roll.listed : roll.listed.toSorted(byLastSeen).slice(0, SHOWN);
  const hidden = roll.listed.length - ordered.length + roll.omitted;
  return [
    "",
    everybody ? "every account:" : "at risk, last seen first:",
    "",
    ...personTable(ordered, look).trimEnd().split("\n"),
    ...(hidden > 0 ? [`… and ${formatCount(hidden)} more: --csv writes all of them into a file`] : []),
  ];
}

function announcedLines({ paths, kept, dryRun }: Announced): string[] {
  return paths.map((path) => {
    if (kept.includes(path)) return `${path} was edited and was kept`;
    return dryRun ? `a text would be written to ${path}` : `a text to send: ${path}`;
  });
}
