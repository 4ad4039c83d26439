import { formatCounted } from "../../homeserver/people/describe.ts";
import { CLIENT_REACTIONS, reactionLines } from "../../old-address/clients.ts";
import { formatCount } from "../../report/units.ts";
import type { ExpireResult } from "./expire.ts";

/** A way to end sessions inside Synapse, and what it keeps and loses. */
interface Way {
  readonly way: string;
  readonly told: string;
  readonly keeps: string;
  readonly loses: string;
}

/**
 * What the clients are told was asked of a real Synapse 1.163. The others are not done by synlift: they are Synapse's and
 * the service's own, and need a running server.
 */
const WAYS: Readonly<Record<"soft" | "hard", Way>> & { readonly others: readonly Way[] } = {
  soft: {
    way: "tokens expire (sign-out expire --soft)",
    told: "401 with soft_logout true",
    keeps:
      "devices, their keys, messages that wait for them, pushes, key backups; people sign in again with the same device",
    loses: "nothing on the server; clients that do not know the flag discard their keys",
  },
  hard: {
    way: "tokens become unknown (sign-out expire --hard)",
    told: "401 with soft_logout false",
    keeps: "devices and their keys on the server, until they are deleted; key backups",
    loses: "pushes to clients; clients discard messages and keys: what no backup has is lost",
  },
  others: [
    {
      way: "delete devices, with the server running: POST /_synapse/admin/v2/users/USER/delete_devices",
      told: "401 with soft_logout false",
      keeps: "key backups, messages, account data",
      loses: "devices, their keys, pushes, and messages that wait for them; other servers are told",
    },
    {
      way: "with a Matrix Authentication Service, on its host: mas-cli manage kill-sessions USER",
      told: "the service refuses to refresh the token",
      keeps: "accounts and key backups; --dry-run shows the sessions",
      loses: "the sessions of that user, with their devices",
    },
    {
      way: "never: deactivate an account",
      told: "401 with soft_logout false",
      keeps: "nothing",
      loses: "account data with the keys of secret storage, and the account itself",
    },
  ],
};

/** For scripts. */
export function expireDetails(result: ExpireResult) {
  const shared = { action: result.kind, server: result.serverName, dryRun: result.dryRun };
  if ("recorded" in result) {
    const { recorded, restorable } = result;
    return {
      ...shared,
      ended: { way: recorded.end, at: new Date(recorded.at).toISOString(), ...recorded.counts },
      restorable,
    };
  }
  const { kind, counts, left } = result;
  return {
    ...shared,
    softLogout: kind === "soft",
    ...counts,
    left: { ...left },
    clients: CLIENT_REACTIONS.map((reaction) => ({ client: reaction.client, reaction: reaction[kind] })),
    ways: [{ ...WAYS.soft }, { ...WAYS.hard }, ...WAYS.others.map((way) => ({ ...way }))],
  };
}

/** For people: what was done to how many sessions, what that keeps and loses, what is left alone, and the other ways. */
export function expireLines(result: ExpireResult): string[] {
  if ("recorded" in result) return undoneLines(result);
  const { kind, serverName, dryRun, counts, left } = result;
  const would = dryRun ? "would be " : "";
  const apart = [
    [left.appservices, "of application services"],
    [left.guests, "of guests"],
    [left.kept, "of accounts given with --keep"],
  ] as const;
  return [
    "",
    `${serverName}: ${formatCounted(counts.accessTokens, "session")} of ${formatCounted(counts.accounts, "account")} ${would}ended, ${kind}`,
    `  refresh tokens ${would}ended with them: ${formatCount(counts.refreshTokens)}`,
    ...(kind === "hard" ? [`  pushes to clients ${would}switched off: ${formatCount(counts.pushers)}`] : []),
    ...apart
      .filter(([count]) => count > 0)
      .map(([count, whose]) => `  left alone: ${formatCounted(count, "session")} ${whose}`),
    ...wayLines(WAYS[kind]),
    "",
    `what clients do (soft_logout ${kind === "soft" ? "true" : "false"}), once the server runs again:`,
    ...reactionLines(kind),
    "",
    "the other way:",
    ...[WAYS[kind === "soft" ? "hard" : "soft"]].flatMap(indented),
    "",
    "ways that synlift does not take:",
    ...WAYS.others.flatMap(indented),
    ...(dryRun
      ? []
      : [
          "",
          "undo, with the server stopped: synlift sign-out expire --undo",
          "make it final, when everybody has signed in again: synlift sign-out expire --forget",
        ]),
  ];
}

const indented = (way: Way): string[] => [`  ${way.way}`, ...wayLines(way).map((line) => `  ${line}`)];

const wayLines = ({ told, keeps, loses }: Way): string[] => [
  `  clients are told: ${told}`,
  `  kept: ${keeps}`,
  `  lost: ${loses}`,
];

function undoneLines(result: Extract<ExpireResult, { kind: "undo" | "forget" }>): string[] {
  const { kind, serverName, dryRun, recorded, restorable } = result;
  const { end, at, counts } = recorded;
  const past = dryRun ? "would be" : "are";
  const made = `ended ${new Date(at).toISOString()} (${end})`;
  if (kind === "forget")
    return [
      "",
      `${serverName}: that ${formatCount(counts.accessTokens)} sessions were ${made} ${dryRun ? "would be" : "is"} final`,
    ];
  const gone = counts.accessTokens - restorable;
  return [
    "",
    `${serverName}: ${formatCount(restorable)} of ${formatCount(counts.accessTokens)} sessions, ${made}, ${past} valid again`,
    ...(gone > 0 ? [`  ${formatCount(gone)} were removed by Synapse since, and stay so`] : []),
    "  clients that were told meanwhile have signed out: for them it comes too late",
  ];
}
