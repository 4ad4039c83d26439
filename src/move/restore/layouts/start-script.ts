import { shellWord } from "../../../system/shell-word.ts";

/** sysexits(3), EX_CONFIG: no supervisor takes it for an accident of the moment. */
const REFUSED = 78;

export interface StartScript {
  readonly serverName: string;
  /** The file that `open` makes once every gate is passed. */
  readonly opened: string;
  readonly folder: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Whom it is to run as when root starts it. */
  readonly account?: string | undefined;
}

/** A script that starts a program in the foreground, or refuses while the fence is set, whoever calls it. */
export function startScript({ serverName, opened, folder, command, account }: StartScript): string {
  const words = command.map(shellWord).join(" ");
  const asAccount =
    account === undefined
      ? ""
      : `if [ "$(id -u)" = 0 ]; then exec runuser -u ${shellWord(account)} -- "$0" "$@"; fi\n`;
  return `#!/bin/sh
# Made by synlift. Starts the homeserver ${serverName} once "synlift open" has proven it, and never before.
set -eu
if [ ! -e ${shellWord(opened)} ]; then
  echo "${serverName} is not proven yet, so it is not started: synlift open does both" >&2
  exit ${REFUSED}
fi
${asAccount}cd ${shellWord(folder)}
exec ${words} "$@"
`;
}
