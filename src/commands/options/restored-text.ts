import { resolve } from "node:path";
import type { ConfigPlan } from "../../homeserver/config/restore.ts";
import { describeTarget } from "../../homeserver/database/target.ts";
import type { RestorePlan, RestoreSource, RestoreTarget } from "../../move/restore/run.ts";
import type { Finding } from "../../report/finding.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { Outcome } from "../command.ts";

/** Of a dry run. */
export function dryRunOutcome(
  told: ConfigPlan,
  { compose }: RestoreTarget["layout"],
  lines: readonly string[] = [],
): Outcome {
  const nothing = compose ? "nothing was written, and no container started" : "nothing was written";
  return outcomeOf(told, [...lines, `dry run: ${nothing}`], { dryRun: true });
}

/** What was restored, and what comes next. */
export function restoredOutcome(
  told: ConfigPlan,
  { id: bundle, serverName, databases }: RestoreSource,
  { layout: { configDir, mediaDir } }: RestoreTarget,
  { mas }: Pick<RestorePlan, "mas">,
  proof: string,
): Outcome {
  const lines = [
    `${serverName} is restored: database ${databases.map((one) => describeTarget(one.target)).join(" and ")}, media in ${mediaDir}, configuration in ${configDir}`,
    ...(mas ? [masLine(mas.configPaths)] : []),
    `it cannot start yet: verify and open it with ${proof}`,
  ];
  return outcomeOf(told, lines, { serverName, bundle, configDir, mediaDir });
}

/** The next command, for any current directory, with the same key: it is needed again for the inventory. */
export function openCommandText(
  configDir: string,
  { passphraseFile, passphraseFd, passphraseCommand, gpgHome }: KeyOptions,
  here: string,
): string {
  const path = (name: string) => quoteShellWord(resolve(here, name));
  const words = [
    ...["synlift", "open", "--config-dir", quoteShellWord(configDir)],
    ...(passphraseFile === undefined ? [] : ["--passphrase-file", path(passphraseFile)]),
    ...(gpgHome === undefined ? [] : ["--gpg-home", path(gpgHome)]),
  ];
  // A descriptor belongs to this shell, and a command may contain a secret.
  const more =
    passphraseFd !== undefined
      ? ", and --passphrase-fd again"
      : passphraseCommand !== undefined
        ? ", and --passphrase-command again"
        : "";
  return `${words.join(" ")}${more}`;
}

export interface KeyOptions {
  readonly passphraseFile?: string | undefined;
  readonly passphraseFd?: number | undefined;
  readonly passphraseCommand?: string | undefined;
  readonly gpgHome?: string | undefined;
}

const masLine = (paths: readonly string[]) =>
  `its authentication service is restored too: after open, start it with mas-cli server ${paths.map((path) => `--config ${quoteShellWord(path)}`).join(" ")}`;

/** The outcome, with a note for each rewritten configuration file. */
function outcomeOf(plan: ConfigPlan, lines: string[], details: Outcome["details"]): Outcome {
  const changed = plan.files.filter(({ changes }) => changes.length > 0);
  const rewritten = changed.map(({ path, changes }): Finding => ({
    id: "config-rewritten",
    level: "note",
    sentence: `${path} is the old file with its host-specific settings rewritten`,
    ...{ evidence: changes, isDiff: true },
  }));
  return { findings: [...rewritten, ...plan.findings], details, lines };
}
