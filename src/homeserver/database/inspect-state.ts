import type { Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import type { Progress } from "../../system/progress.ts";
import { describeAddress } from "../../system/postgres.ts";
import type { System } from "../../system/system.ts";
import type { Homeserver } from "../homeserver.ts";
import { mustBeState } from "./belongs.ts";
import { duplicateRows } from "./duplicates.ts";
import { databaseFacts } from "./facts.ts";
import { openState, reasonOf, type Look } from "./look.ts";
import { catalogueFindings, localeFindings } from "./postgres-findings.ts";
import { backgroundUpdates } from "./readiness.ts";
import { unreadableText } from "./text-check.ts";

export interface StateInspection {
  readonly findings: readonly Finding[];
  readonly bytes: number;
}

/**
 * Everything about the database of the state groups that could keep a move from working, and its bytes on disk;
 * undefined where they have none of their own. Reads only. A question that fails becomes a finding. Throws
 * `database-unreachable`.
 */
export async function inspectState(
  homeserver: Homeserver,
  deep: boolean,
  system: System,
  progress: Progress,
): Promise<StateInspection | undefined> {
  const opened = await openState(homeserver, deep, system);
  return opened && ask(opened, deep, system, progress).finally(() => opened.session.close());
}

async function ask(
  { session, address }: Extract<Look, { engine: "postgres" }>,
  deep: boolean,
  { programs, signal }: Pick<System, "programs" | "signal">,
  progress: Progress,
): Promise<StateInspection> {
  const findings: Finding[] = [];
  const where = describeAddress(address);
  let bytes = 0;
  try {
    const facts = await databaseFacts(session);
    bytes = facts.size;
    const version = facts.serverVersionText.split(" ")[0]!;
    findings.push({
      id: "database",
      level: "ok",
      sentence: `the state database ${where} is PostgreSQL ${version}, ${formatBytes(bytes)}`,
    });
    await mustBeState(session);
    findings.push(...localeFindings(facts, deep), ...(await catalogueFindings(session, facts)));
    findings.push(await backgroundUpdates(session));
    if (deep) {
      const text = await unreadableText(session, { address, encoding: facts.encoding, programs }, progress);
      findings.push(...text.findings, ...(await duplicateRows(session, text.broken, progress)));
    }
  } catch (error) {
    signal.throwIfAborted();
    findings.push({
      id: "database-look",
      level: "blocker",
      sentence: `the state database ${where} could not be looked at to the end: ${reasonOf(error)}`,
      hint: "an export would meet the same: clear it, then plan again",
    });
  }
  return { findings: findings.map(ofState), bytes };
}

const ofState = (finding: Finding): Finding =>
  /\bstate database\b/.test(finding.sentence)
    ? finding
    : { ...finding, sentence: `in the state database: ${finding.sentence}` };
