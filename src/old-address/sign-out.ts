import type { Behaviour, Rule, Upstream } from "../proxies/answer.ts";
import { matrixError, PREFLIGHT } from "./cors.ts";
import { callbackRule, federationRule, singleSignOnRule } from "./forward.ts";
import { folderOf, otherwise, type Untouched, untouchedRules } from "./untouched.ts";

/**
 * "soft": clients that know the flag keep their messages and keys, and sign in again with the same device, through this
 * address. "hard": clients discard everything, and people begin at the new address.
 */
export type SignOutKind = "soft" | "hard";

export interface SignOutOrder {
  readonly kind: SignOutKind;
  /** The new homeserver: requests of other servers go there, and in the soft way those for signing in. */
  readonly to: Upstream;
  /** What people may see; one sentence. */
  readonly message: string;
  readonly untouched: Untouched;
}

/** What every client is told at the old address: its access token is unknown, as the Matrix specification says it. */
export function signOutBehaviour({ kind, to, message, untouched }: SignOutOrder): Behaviour {
  // soft_logout is written in both ways: a client takes a missing one for false, and so should a reader of the file.
  const answer = matrixError(401, {
    errcode: "M_UNKNOWN_TOKEN",
    error: message,
    soft_logout: kind === "soft",
  });
  return {
    folder: folderOf(untouched),
    rules: [
      ...untouchedRules(untouched),
      federationRule(to),
      {
        name: "media-of-a-session",
        why: ["These need an access token although they lie among the media links."],
        paths: ["/_matrix/media/*/config", "/_matrix/media/*/preview_url", "/_matrix/media/*/create"],
        byMethod: [PREFLIGHT],
        then: answer,
      },
      {
        name: "media-links",
        why: ["Old links to media go on to work: they need no access token. Uploads need one."],
        paths: ["/_matrix/media/**"],
        byMethod: [PREFLIGHT, { methods: ["POST", "PUT"], answer }],
        then: { kind: "forward", to },
      },
      versionsRule(to),
      ...(kind === "soft" ? [singleSignOnRule(to), signInRule(to)] : []),
      callbackRule(to),
      {
        name: "signed-out",
        why: [
          kind === "soft"
            ? "soft_logout is true: clients that know it keep their keys and ask for the password again."
            : "soft_logout is false: clients discard messages and keys, and people sign in at the new address.",
          "Web clients see an answer only with these headers, on every status and method.",
          "A preflight must not be refused, or web clients report a lost connection instead.",
        ],
        paths: ["/_matrix/**", "/_synapse/**"],
        byMethod: [PREFLIGHT],
        then: answer,
      },
    ],
    otherwise: otherwise(untouched),
  };
}

/**
 * matrix-js-sdk, once a sync could not connect, asks for this without its access token, and syncs again only when it was
 * answered (pokeKeepAlive in its sync.ts, version 43.0.0): with 401 it would never hear that it is signed out.
 */
const versionsRule = (to: Upstream): Rule => ({
  name: "versions",
  why: [
    "A client whose connection was interrupted asks for this, without its access token, until it is answered.",
    "Only then does it sync again, and is told that it is signed out.",
  ],
  paths: ["/_matrix/client/versions"],
  then: { kind: "forward", to },
});

/**
 * After a soft sign-out a client signs in at the address that it has stored: without these paths it could go nowhere. The
 * answer to the login names the new address, and clients that follow it never come back.
 */
const signInRule = (to: Upstream): Rule => ({
  name: "sign-in",
  why: [
    "Clients sign in again at this address, because it is the one that they have stored.",
    "The answer to the login contains the new address (well_known), if public_baseurl is right there.",
  ],
  paths: [
    "/_matrix/client/*/login",
    "/_matrix/client/*/login/**",
    "/_matrix/client/*/auth_metadata",
    "/_matrix/client/*/auth/**",
    "/_matrix/client/unstable/org.matrix.msc2965/**",
  ],
  then: { kind: "forward", to },
});
