import { quoteShellWord } from "../../../system/shell-quoting.ts";

/** sysexits(3), EX_CONFIG: supervisors do not restart after it. */
const EXIT_CONFIG = 78;

export interface StartScript {
  readonly serverName: string;
  /** The file that `open` creates once every gate passes. */
  readonly opened: string;
  readonly folder: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** The account to run as when root starts it. */
  readonly account?: string | undefined;
}

/** A script that starts a program in the foreground, and refuses to while the fence is set. */
export function startScript({ serverName, opened, folder, command, account }: StartScript): string {
  const words = command.map(quoteShellWord).join(" ");
  const asAccount =
    account === undefined
      ? ""
      : `if [ "$(id -u)" = 0 ]; then exec runuser -u ${quoteShellWord(account)} -- "$0" "$@"; fi\n`;
  return `#!/bin/sh
# Made by synlift. Starts the homeserver ${serverName} once "synlift open" has verified it, never before.
set -eu
if [ ! -e ${quoteShellWord(opened)} ]; then
  echo "${serverName} has not been verified yet, so it is not started: run synlift open, which does both" >&2
  exit ${EXIT_CONFIG}
fi
${asAccount}cd ${quoteShellWord(folder)}
exec ${words} "$@"
`;
}
