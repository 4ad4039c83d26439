import { CLIENT_REACTIONS } from "../../old-address/clients.ts";
import { signOutBehaviour, type SignOutKind } from "../../old-address/sign-out.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { serveBehaviour, type ServeOrder, type ServeResult } from "./serve.ts";
import { type SiteOrder, type SiteResult, writeSite } from "./site.ts";
import { confirmSignOut, type SignOutSurvey, type SurveyBefore, surveyBeforeSignOut } from "./survey.ts";

export interface SignOutPlan {
  readonly kind: SignOutKind;
  /** Base address of the new homeserver. */
  readonly to: string;
  readonly message: string;
  readonly survey: SurveyBefore;
  /** Do not ask. */
  readonly yes: boolean;
}

/**
 * Counts who would lose messages, asks if there is somebody, and writes the file; see `writeSite`. Without a file to write,
 * and with a dry run, it does not ask.
 */
export async function writeSignOut(
  { site, plan }: { readonly site: SiteOrder; readonly plan: SignOutPlan },
  system: System,
  progress: Progress,
): Promise<{ readonly survey: SignOutSurvey; readonly site: SiteResult }> {
  const { kind, to, message } = plan;
  const survey = await surveyBeforeSignOut(plan.survey, system, progress);
  if (site.out !== undefined && !site.dryRun) await confirmSignOut(survey, plan, system);
  const written = await writeSite(
    site,
    {
      head: [
        `It signs every client out of ${site.old.host}.`,
        ...CLIENT_REACTIONS.map((reaction) => `  ${reaction.client}: ${reaction[kind]}`),
      ],
      behaviour: (untouched) =>
        signOutBehaviour({ kind, to: { origin: to, authorities: site.authorities }, message, untouched }),
    },
    system,
  );
  return { survey, site: written };
}

/** Counts who would lose messages, asks if there is somebody, and answers requests; see `serveBehaviour`. */
export async function serveSignOut(
  {
    plan,
    serve,
    authorities,
    untouched,
  }: {
    readonly plan: SignOutPlan;
    readonly serve: Omit<ServeOrder, "behaviour">;
    readonly authorities: string | undefined;
    readonly untouched: Parameters<typeof signOutBehaviour>[0]["untouched"];
  },
  system: System,
  progress: Progress,
): Promise<{ readonly survey: SignOutSurvey; readonly served: ServeResult }> {
  const { kind, to, message } = plan;
  const survey = await surveyBeforeSignOut(plan.survey, system, progress);
  await confirmSignOut(survey, plan, system);
  const behaviour = signOutBehaviour({ kind, to: { origin: to, authorities }, message, untouched });
  return { survey, served: await serveBehaviour({ ...serve, behaviour }, system, progress) };
}
