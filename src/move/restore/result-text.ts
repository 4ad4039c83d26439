import type { KeySource } from "../../bundle/opening-keys.ts";
import { describeTarget } from "../../homeserver/database/target.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { RestoreResult } from "./restore-bundle.ts";
import type { RestoredServer } from "./restored-server.ts";

/** What the restore of a bundle did, a line each. */
export function describeRestore(result: RestoreResult): string[] {
  if (result.kind === "dry-run") return [describeDryRun(result)];
  return describeRestoredServer(result.server, result.key);
}

/** Of any restore that only checked. */
export const describeDryRun = ({ compose }: { readonly compose: boolean }): string =>
  `dry run: ${compose ? "nothing was written, and no container started" : "nothing was written"}`;

/** What was restored, and what comes next; `key` opens the inventory again. */
export function describeRestoredServer(server: RestoredServer, key: KeySource): string[] {
  const { serverName, databases, configDir, mediaDir, masConfigPaths } = server;
  return [
    `${serverName} is restored: database ${databases.map(describeTarget).join(" and ")}, media in ${mediaDir}, configuration in ${configDir}`,
    ...(masConfigPaths.length === 0 ? [] : [describeMasStart(masConfigPaths)]),
    `it cannot start yet: verify and open it with ${openCommandText(configDir, key)}`,
  ];
}

const describeMasStart = (paths: readonly string[]) =>
  `its authentication service is restored too: after open, start it with mas-cli server ${paths.map((path) => `--config ${quoteShellWord(path)}`).join(" ")}`;

/** The next command, for any current directory, with the same key: it is needed again for the inventory. Paths are absolute. */
export function openCommandText(
  configDir: string,
  { file, descriptor, command, gpgHome }: KeySource,
): string {
  const words = ["synlift", "open", "--config-dir", quoteShellWord(configDir)];
  if (file !== undefined) words.push("--passphrase-file", quoteShellWord(file));
  if (gpgHome !== undefined) words.push("--gpg-home", quoteShellWord(gpgHome));
  const text = words.join(" ");
  // A descriptor belongs to this shell, and a command may contain a secret.
  if (descriptor !== undefined) return `${text}, and --passphrase-fd again`;
  return command === undefined ? text : `${text}, and --passphrase-command again`;
}
