import type { Action, Answer, Rule, Upstream } from "../proxies/answer.ts";
import { CORS, PREFLIGHT } from "./cors.ts";

/**
 * What answers, at the old address, the paths that are not Matrix's: a folder, another web server, or nothing. A snippet
 * has "nothing", because the site around it goes on as it is.
 */
export type Untouched =
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "server"; readonly to: Upstream }
  | { readonly kind: "nothing" };

/** The paths that a change of the homeserver's address must leave alone, before all other rules. */
export function untouchedRules(untouched: Untouched): readonly Rule[] {
  if (untouched.kind === "nothing") return [];
  const wellKnown: Action =
    untouched.kind === "folder" ? { kind: "files", json: true, headers: CORS } : forwardTo(untouched);
  const challenge: Action = untouched.kind === "folder" ? { kind: "files" } : forwardTo(untouched);
  return [
    {
      name: "challenges",
      why: [
        "Certificates are renewed with files here; without them this site ends when its certificate does.",
      ],
      paths: ["/.well-known/acme-challenge/**"],
      then: challenge,
      unencrypted: true,
    },
    {
      name: "well-known",
      why: [
        "How clients and servers find the homeserver, if this host is also the server name's.",
        "Web clients read these files from another origin.",
      ],
      paths: ["/.well-known/matrix/**", "/.well-known/element/**"],
      ...(untouched.kind === "folder" ? { byMethod: [PREFLIGHT] } : {}),
      then: wellKnown,
    },
  ];
}

/** What answers every other path of the site. */
export function otherwise(untouched: Untouched): Action {
  if (untouched.kind === "folder") return { kind: "files" };
  return untouched.kind === "server" ? forwardTo(untouched) : NOTHING_HERE;
}

export const folderOf = (untouched: Untouched): string | undefined =>
  untouched.kind === "folder" ? untouched.path : undefined;

const forwardTo = ({ to }: { readonly to: Upstream }): Action => ({ kind: "forward", to });

const NOTHING_HERE: Answer = {
  kind: "answer",
  status: 404,
  headers: CORS,
  body: JSON.stringify({ errcode: "M_UNRECOGNIZED", error: "Nothing is served at this address" }),
};
