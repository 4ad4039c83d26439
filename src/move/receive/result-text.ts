import { formatBytes, formatDuration } from "../../report/units.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { InviteResult } from "./invite.ts";
import type { ReceiveResult } from "./run.ts";

/** For scripts: times in seconds. */
export const receiveDetails = ({ endpoint, bundles, served }: ReceiveResult) => ({
  endpoint,
  bundles,
  seconds: Math.round(served / 1000),
});

export const receiveLines = ({ bundles, served }: ReceiveResult): string[] => [
  `ended because it was asked to, after ${formatDuration(served / 1000)}; bundles that became complete: ${bundles}`,
];

/** For scripts; without the token. */
export const inviteDetails = ({ name, url, out, expires, limit }: InviteResult) => ({
  name,
  url,
  file: out,
  expires,
  limit,
});

export const inviteLines = ({ name, url, out, expires, limit }: InviteResult): string[] => [
  `invitation for ${name}, until ${expires.slice(0, 10)} and for ${formatBytes(limit)}: ${out}`,
  "it is a secret: who has the file can send and fetch this customer's bundle, and nothing else",
  `the customer: synlift send BUNDLE ${quoteShellWord(url)} --invitation FILE`,
  `or in a browser, at ${url}/, which asks for that file`,
];
