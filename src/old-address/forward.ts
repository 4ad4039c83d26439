import type { Behaviour, Rule, Upstream } from "../proxies/answer.ts";
import { folderOf, otherwise, type Untouched, untouchedRules } from "./untouched.ts";

export interface ForwardOrder {
  /** The new homeserver. */
  readonly to: Upstream;
  readonly untouched: Untouched;
}

/**
 * Everything of Matrix goes on to the new homeserver, so every session at the old address goes on. A redirect would not do
 * that: clients send no access token to another origin.
 */
export function forwardBehaviour({ to, untouched }: ForwardOrder): Behaviour {
  return {
    folder: folderOf(untouched),
    rules: [
      ...untouchedRules(untouched),
      federationRule(to),
      singleSignOnRule(to),
      {
        name: "clients",
        why: [
          "Clients keep the address that they signed in with: sync, messages, uploads and downloads.",
          "Keep this for as long as anybody uses the old address; clients do not learn the new one by themselves.",
          "A redirect would sign everybody out: clients send no access token to another address.",
        ],
        paths: ["/_matrix/**"],
        then: { kind: "forward", to },
      },
      callbackRule(to),
    ],
    otherwise: otherwise(untouched),
  };
}

/** Requests of other servers; they are signed for the server name, so the address does not matter. */
export const federationRule = (to: Upstream): Rule => ({
  name: "federation",
  why: [
    "Other servers may keep the old address for 48 hours, and look up the signing keys here.",
    "An error here would make them back off from the new server, too.",
  ],
  paths: ["/_matrix/federation/**", "/_matrix/key/**"],
  then: { kind: "forward", to },
});

/**
 * Where single sign-on begins, in a browser. Synapse keeps a cookie there until the identity provider sends the browser back,
 * to the address of `public_baseurl`: begun at another one, the cookie is missing and nobody is signed in.
 */
export const singleSignOnRule = ({ origin }: Upstream): Rule => ({
  name: "single-sign-on",
  why: [
    "Single sign-on begins at the new address: it comes back there, and its cookie must be there.",
    "A browser opens these pages, without an access token.",
  ],
  paths: ["/_matrix/client/*/login/sso/redirect", "/_matrix/client/*/login/sso/redirect/**"],
  then: { kind: "redirect", to: origin },
});

/** Pages of Synapse that are opened in a browser. */
export const callbackRule = (to: Upstream): Rule => ({
  name: "callbacks",
  why: [
    "Single sign-on comes back here, and the links of e-mails for passwords and addresses.",
    "Add the new callback at the identity provider, too: https://NEW/_synapse/client/oidc/callback",
  ],
  paths: ["/_synapse/client/**"],
  then: { kind: "forward", to },
});
