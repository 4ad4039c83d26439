import { MigrationError } from "../../errors.ts";
import { peopleFindings } from "../../homeserver/people/findings.ts";
import { surveyPeople } from "../../homeserver/people/survey.ts";
import type { PeopleCounts } from "../../homeserver/people/tally.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import { chooseSource, type GivenSource } from "../../homeserver/service/find/choose.ts";
import { findLaunches } from "../../homeserver/service/find/find.ts";
import type { SignOutKind } from "../../old-address/sign-out.ts";
import type { Finding } from "../../report/finding.ts";
import { formatCount } from "../../report/units.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { bulletList, confirm } from "../confirm.ts";

export interface SurveyBefore {
  /** Where the configuration is; undefined: nobody is counted. */
  readonly given: GivenSource | undefined;
  readonly coverageDays: number;
}

export interface SignOutSurvey {
  /** Undefined when nobody was counted. */
  readonly counts: PeopleCounts | undefined;
  readonly findings: readonly Finding[];
}

/**
 * Who would lose encrypted messages by the sign-out that comes next: what `users` counts. Changes nothing. Throws what
 * reading the configuration and the database throws.
 */
export async function surveyBeforeSignOut(
  { given, coverageDays }: SurveyBefore,
  system: System,
  progress: Progress,
): Promise<SignOutSurvey> {
  if (given === undefined) {
    const finding: Finding = {
      id: "people-unknown",
      level: "note",
      sentence: "who would lose encrypted messages was not counted",
      hint: "synlift users counts them, on the host with the homeserver's configuration",
    };
    return { counts: undefined, findings: [finding] };
  }
  try {
    return await survey(given, coverageDays, system, progress);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const { code, message, hint, reason } = error;
    throw new MigrationError(code, message, {
      hint: `${hint === undefined ? "" : `${hint}; `}${ELSEWHERE}`,
      reason,
      cause: error,
    });
  }
}

/** Said where nobody could be counted: the web server's host often has no homeserver, and a stopped one no database. */
const ELSEWHERE =
  "or count on the homeserver's host who would lose encrypted messages (synlift users), and give --no-survey here";

async function survey(
  given: GivenSource,
  coverageDays: number,
  system: System,
  progress: Progress,
): Promise<SignOutSurvey> {
  const { files, signal } = system;
  const chosen = await chooseSource(await findLaunches(system), given, files);
  const homeserver = await readHomeserver({ ...chosen.source, signal }, files);
  const options = { coverageDays, everybody: false };
  const { tally } = await surveyPeople(homeserver, options, system, progress);
  const findings = [
    ...chosen.findings,
    ...peopleFindings(tally, homeserver.serverName, homeserver.settings).map((finding) =>
      // The question that follows is about exactly this.
      finding.level === "warning" ? { ...finding, level: "note" as const } : finding,
    ),
  ];
  return { counts: tally.counts, findings };
}

/** How many people would lose messages, as part of a question. */
export const describeAtRisk = ({ counts }: SignOutSurvey): string =>
  counts === undefined
    ? "who would lose encrypted messages was not counted"
    : `${formatCount(counts.atRisk)} of ${formatCount(counts.people)} people would lose encrypted messages, ${formatCount(counts.atRiskActive)} of them seen in the last 30 days`;

/**
 * Asks before a sign-out if somebody would lose messages by it, or if nobody was counted. Throws `bad-usage` when there is
 * no terminal, and when the answer is no.
 */
export async function confirmSignOut(
  survey: SignOutSurvey,
  { kind, yes }: { readonly kind: SignOutKind; readonly yes: boolean },
  system: Pick<System, "terminal">,
): Promise<void> {
  if (yes || survey.counts?.atRisk === 0) return;
  const lost = describeAtRisk(survey);
  const consequences = [
    lost,
    kind === "soft"
      ? "clients that know soft_logout keep their keys; Element X on Android and others discard them"
      : "every client discards its messages and keys",
    "forwarding the old address keeps every session: synlift forward",
  ];
  await confirm(
    {
      question: `Sign everybody out at the old address?${bulletList(consequences)}\n`,
      consequence: `sign everybody out; ${lost}`,
      hint: "tell these people first (synlift users --announce), then answer with --yes, or run this in a terminal",
      otherwise: new MigrationError("bad-usage", "nothing was done: the sign-out was not confirmed", {
        hint: "synlift users lists who would lose messages, and writes what to tell them",
      }),
    },
    system,
  );
}
