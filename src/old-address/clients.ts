import type { SignOutKind } from "./sign-out.ts";

/** What a client does when it is told that its access token is unknown. */
export interface ClientReaction {
  readonly client: string;
  readonly soft: string;
  readonly hard: string;
}

/**
 * As their sources say, at the versions of 2026 (Lifecycle.ts of Element Web, the sessions of both Element X, the token
 * errors of the classic apps). Element X with an authentication service signs out only when that service ends the session.
 */
export const CLIENT_REACTIONS: readonly ClientReaction[] = [
  {
    client: "Element Web and Desktop",
    soft: "keeps everything, asks for the password, signs in at the old address with the same device",
    hard: "discards messages, keys and settings; tries /logout first and ignores its failure",
  },
  {
    client: "Element X iOS",
    soft: "keeps everything, asks for the password at the old address",
    hard: "deletes the session's folder and keychain entry",
  },
  {
    client: "Element X Android",
    soft: "treats it as hard: deletes the session's folder, with the keys",
    hard: "deletes the session's folder, with the keys",
  },
  {
    client: "Element classic, iOS",
    soft: "keeps everything, asks for the password",
    hard: "removes the account",
  },
  {
    client: "Element classic, Android",
    soft: "keeps everything, asks for the password; fails where the server has both SSO and passwords",
    hard: "clears credentials and data",
  },
  {
    client: "other clients",
    soft: "those that know the flag keep everything; those that do not, discard it",
    hard: "must discard messages and keys, says the specification",
  },
];

/** Lines for people: the reactions to one way, a client a line. */
export const reactionLines = (kind: SignOutKind): string[] =>
  CLIENT_REACTIONS.map((reaction) => `  ${reaction.client}: ${reaction[kind]}`);
