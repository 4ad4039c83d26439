import { blocksIn } from "./readme.ts";

const RUNBOOK = "docs/runbook.md";

/**
 * The runbook's command blocks, in the page's order: a name for each, and how it begins. test/hosts executes each of them as it
 * stands in the page; whatever follows the beginning is not repeated here.
 */
const RUNBOOK_BLOCKS = [
  ["plan", "synlift plan"],
  ["set aside", "mv /etc/matrix-synapse"],
  ["role", "(umask 077; openssl rand"],
  ["unit", "systemctl cat"],
  ["rehearse", "synlift export"],
  ["trial", "synlift open"],
  ["dry run", "synlift export"],
  ["export", "synlift export"],
  ["send", "synlift send"],
  ["passphrase", "(umask 077; cat"],
  ["restore", "synlift restore"],
  ["export to", "synlift export"],
  ["pull", "synlift pull"],
  ["gates", "synlift open"],
  ["open", "synlift open"],
  ["at boot", "systemctl enable"],
  ["show", "synlift delegation show"],
  ["files", "synlift delegation files"],
  ["check before", "synlift delegation check"],
  ["check afterwards", "synlift delegation check"],
  ["rollback", "synlift rollback"],
  ["report", "synlift report"],
  ["cleanup", "synlift cleanup"],
  ["port", "synlift port"],
  ["archives", "synlift export"],
  ["media repo", "synlift media export"],
  ["leave out", "psql DATABASE_OF_MATRIX_MEDIA_REPO"],
] as const;

export type RunbookBlock = (typeof RUNBOOK_BLOCKS)[number][0];

/** The commands of each block as they stand; throws when the page has a block that is not known, or lacks one. */
export function runbookCommands(): Record<RunbookBlock, string> {
  const blocks = blocksIn(RUNBOOK);
  const commands: Partial<Record<RunbookBlock, string>> = {};
  for (const [index, [name, begins]] of RUNBOOK_BLOCKS.entries()) {
    const block = blocks[index] ?? "nothing";
    if (!block.startsWith(begins))
      throw new Error(`${RUNBOOK}: block ${index + 1} should be "${name}" (${begins} …) and is:\n${block}`);
    commands[name] = block;
  }
  const unknown = blocks.slice(RUNBOOK_BLOCKS.length);
  if (unknown.length > 0) throw new Error(`${RUNBOOK}: no test executes these:\n${unknown.join("\n")}`);
  return commands as Record<RunbookBlock, string>;
}
