import type { PortFix } from "../../homeserver/database/fixes.ts";
import { inspectForPort, type PortFault } from "../../homeserver/database/port/inspect.ts";
import {
  deleteOrphans,
  type HeldReferences,
  holdSelfReferences,
  readCopy,
  replaceNulBytes,
} from "../../homeserver/database/port/mend.ts";
import type { Finding } from "../../report/finding.ts";
import { formatCount } from "../../report/units.ts";
import type { System } from "../../system/system.ts";

/** A private copy as the script can use it, or what keeps it from that. */
export type PreparedCopy =
  | { readonly kind: "blocked"; readonly findings: readonly Finding[] }
  | {
      readonly kind: "prepared";
      /** What was mended. */
      readonly findings: readonly Finding[];
      readonly held: readonly HeldReferences[];
    };

/**
 * Looks for everything that the script would fail at or lose, and mends on the private copy what may be mended. Changes
 * nothing while there is a fault without consent. `finishUpdates` runs Synapse's own program for that; with `always` also when
 * no update is pending yet: Synapse may queue one when it opens a database.
 */
export async function prepareCopy(
  copy: string,
  allowed: (fault: PortFault) => Promise<boolean>,
  { finishUpdates, always }: { finishUpdates: () => Promise<void>; always: boolean },
  { sqlite }: Pick<System, "sqlite">,
): Promise<PreparedCopy> {
  const faults = await readCopy(copy, sqlite, inspectForPort);
  const refused: Finding[] = [];
  for (const fault of faults) if (!(await allowed(fault))) refused.push(fault.finding);
  if (refused.length > 0) return { kind: "blocked", findings: refused };
  const findings: Finding[] = [];
  // In this order: an update may add rows or be hindered by what the others mend.
  for (const fix of ORDER) {
    const fault = faults.find((one) => one.fix === fix);
    if (!fault && fix === "pending-updates" && always) await finishUpdates();
    if (!fault) continue;
    const evidence = await FIXES[fix]({ copy, sqlite, finishUpdates });
    findings.push({
      id: `${fault.finding.id}-fixed`,
      level: "ok",
      sentence: FIXED[fix],
      evidence: [...(fault.finding.evidence ?? []), ...evidence],
    });
  }
  // An update that was finished may have left rows that were not there before.
  const left = (await readCopy(copy, sqlite, inspectForPort)).filter(({ fix }) => fix !== "unknown-tables");
  if (left.length > 0) return { kind: "blocked", findings: left.map(({ finding }) => finding) };
  const held = await holdSelfReferences(copy, sqlite);
  return { kind: "prepared", findings, held };
}

const ORDER: readonly PortFix[] = [
  "auto-vacuum",
  "orphans",
  "nul-bytes",
  "pending-updates",
  "unknown-tables",
];

const FIXED: Readonly<Record<PortFix, string>> = {
  "auto-vacuum": "auto_vacuum was switched off in the copy",
  "nul-bytes": "NUL characters in texts were replaced by spaces in the copy: no row is lost",
  orphans: "rows that referred to rows that do not exist were deleted from the copy",
  "pending-updates": "Synapse finished the pending background updates on the copy",
  "unknown-tables": "tables that are not Synapse's stay behind, in the file of SQLite",
};

interface Fixing extends Pick<System, "sqlite"> {
  readonly copy: string;
  readonly finishUpdates: () => Promise<void>;
}

/** Each returns further evidence. */
const FIXES: Readonly<Record<PortFix, (given: Fixing) => Promise<readonly string[]>>> = {
  async "auto-vacuum"({ copy, sqlite }) {
    await sqlite.rebuild(copy);
    return [];
  },
  async "nul-bytes"({ copy, sqlite }) {
    await replaceNulBytes(copy, sqlite);
    return [];
  },
  async orphans({ copy, sqlite }) {
    const deleted = await deleteOrphans(copy, sqlite);
    return [...deleted].map(([table, rows]) => `${table}: ${formatCount(rows)} deleted`);
  },
  async "pending-updates"({ finishUpdates }) {
    await finishUpdates();
    return [];
  },
  "unknown-tables": () => Promise.resolve([]),
};
