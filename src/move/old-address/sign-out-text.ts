import { CLIENT_REACTIONS, reactionLines } from "../../old-address/clients.ts";
import type { SignOutKind } from "../../old-address/sign-out.ts";
import type { ServeResult } from "./serve.ts";
import { serveDetails, serveLines } from "./serve-text.ts";
import type { SiteResult } from "./site.ts";
import { siteDetails, siteLines } from "./site-text.ts";
import type { SignOutSurvey } from "./survey.ts";

interface SignOutResult {
  readonly survey: SignOutSurvey;
  readonly site?: SiteResult;
  readonly served?: ServeResult;
}

/** For scripts. */
export const signOutDetails = (kind: SignOutKind, { survey, site, served }: SignOutResult) => ({
  softLogout: kind === "soft",
  people: survey.counts ? { ...survey.counts } : null,
  clients: CLIENT_REACTIONS.map((reaction) => ({ client: reaction.client, reaction: reaction[kind] })),
  ...(site ? siteDetails(site) : {}),
  ...(served ? serveDetails(served) : {}),
});

/** For people: what each client does, then the file or the counts. */
export const signOutLines = (kind: SignOutKind, { site, served }: SignOutResult): string[] => [
  "",
  `what clients do (soft_logout ${kind === "soft"}):`,
  ...reactionLines(kind),
  ...(site ? siteLines(site) : []),
  ...(served ? serveLines(served) : []),
];
