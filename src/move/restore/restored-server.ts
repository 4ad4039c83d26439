import type { ConfigPlan } from "../../homeserver/config/restore.ts";
import type { DatabaseTarget } from "../../homeserver/database/target.ts";
import type { Finding } from "../../report/finding.ts";
import type { RestorePlan, RestoreSource, RestoreTarget } from "./run.ts";

/** What was restored, and where. */
export interface RestoredServer {
  /** Of the bundle, or of the move. */
  readonly id: string;
  readonly serverName: string;
  readonly databases: readonly DatabaseTarget[];
  readonly configDir: string;
  readonly mediaDir: string;
  /** What mas-cli is given with `--config` after `open`; empty without an authentication service. */
  readonly masConfigPaths: readonly string[];
}

export const restoredServerOf = (
  { id, serverName, databases }: Pick<RestoreSource, "id" | "serverName" | "databases">,
  { layout }: Pick<RestoreTarget, "layout">,
  { mas }: Pick<RestorePlan, "mas">,
): RestoredServer => ({
  id,
  serverName,
  databases: databases.map(({ target }) => target),
  configDir: layout.configDir,
  mediaDir: layout.mediaDir,
  masConfigPaths: mas?.configPaths ?? [],
});

/** A note for each configuration file that is rewritten, and what the plan found. */
export function configFindings({ files, findings }: Pick<ConfigPlan, "files" | "findings">): {
  rewritten: Finding[];
  found: readonly Finding[];
} {
  const changed = files.filter(({ changes }) => changes.length > 0);
  const rewritten = changed.map(({ path, changes }): Finding => ({
    id: "config-rewritten",
    level: "note",
    sentence: `${path} is the old file with its host-specific settings rewritten`,
    evidence: changes,
    isDiff: true,
  }));
  return { rewritten, found: findings };
}
