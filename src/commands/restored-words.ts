import type { ConfigPlan } from "../homeserver/config/restore.ts";
import { describeTarget } from "../homeserver/database/target.ts";
import type { Incoming, Placing, Planned } from "../homeserver/restore-run.ts";
import type { Finding } from "../report/finding.ts";
import type { Outcome } from "./command.ts";

/** Of a dry run. */
export function onlyLooked(
  told: ConfigPlan,
  { compose }: Placing["layout"],
  lines: readonly string[] = [],
): Outcome {
  const nothing = compose ? "nothing was written, and no container started" : "nothing was written";
  return said(told, [...lines, `a dry run: ${nothing}`], { dryRun: true });
}

/** What was restored, and what comes next. */
export function restored(
  told: ConfigPlan,
  { id: bundle, serverName, databases }: Incoming,
  { layout: { configDir, mediaDir } }: Placing,
  { mas }: Pick<Planned, "mas">,
): Outcome {
  const lines = [
    `${serverName} is restored: database ${databases.map((one) => describeTarget(one.target)).join(" and ")}, media in ${mediaDir}, configuration in ${configDir}`,
    ...(mas ? [masLine(mas.configPaths)] : []),
    `it cannot start yet: prove it first, with synlift open --config-dir ${configDir}`,
  ];
  return said(told, lines, { serverName, bundle, configDir, mediaDir });
}

const masLine = (paths: readonly string[]) =>
  `its authentication service is restored too: once open has passed, start it with mas-cli server ${paths.map((path) => `--config ${path}`).join(" ")}`;

/** What was rewritten is told as notes; how the rest went, by the lines. */
function said(plan: ConfigPlan, lines: string[], details: Outcome["details"]): Outcome {
  const changed = plan.files.filter(({ changes }) => changes.length > 0);
  const rewritten = changed.map(({ path, changes }): Finding => ({
    id: "config-rewritten",
    level: "note",
    sentence: `${path} is the old file with what belongs to the host rewritten`,
    ...{ evidence: changes, isDiff: true },
  }));
  return { findings: [...rewritten, ...plan.findings], details, lines };
}
