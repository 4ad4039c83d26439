import { MigrationError } from "../../errors.ts";
import type { Programs } from "../../system/programs/programs.ts";
import { journalLines, startResult, type StartResult } from "../../system/systemd/systemctl.ts";

/**
 * The system units that a start command starts, as full names: those after `systemctl start` and its relatives, and after
 * `service`. Empty for any other command: nothing is known of what it starts.
 */
export function unitsStartedBy(command: string): string[] {
  return command.split(/[;&|\n]+/).flatMap((part) => {
    const words = part.trim().split(/\s+/);
    const named = unitsOfSystemctl(words) ?? unitsOfService(words) ?? [];
    return named.map((name) => (/\.[a-z]+$/.test(name) ? name : `${name}.service`));
  });
}

const STARTS = /^(?:start|restart|try-restart|reload-or-restart)$/;

function unitsOfSystemctl(words: readonly string[]): string[] | undefined {
  const at = words.findIndex((word) => /(?:^|\/)systemctl$/.test(word));
  if (at === -1) return undefined;
  const args = words.slice(at + 1);
  const [verb = "", ...names] = args.filter((word) => !word.startsWith("-"));
  const starts = STARTS.test(verb) || (verb === "enable" && args.includes("--now"));
  // The units of a user's own systemd are not those of the system.
  return starts && !args.includes("--user") ? names.filter(isPlainName) : [];
}

function unitsOfService(words: readonly string[]): string[] | undefined {
  const at = words.findIndex((word) => /(?:^|\/)service$/.test(word));
  const [name, verb = ""] = at === -1 ? [] : words.slice(at + 1);
  return name !== undefined && isPlainName(name) && STARTS.test(verb) ? [name] : undefined;
}

/** Without anything that the shell would fill in. */
const isPlainName = (name: string) => /^[\w@:.\\-]+$/.test(name);

/**
 * Throws `start-failed` when systemd did not start one of the units, or it has ended: `systemctl start` also exits with 0
 * when a condition of the unit is not met. What cannot be asked is left out.
 */
export async function assertUnitsRun(units: readonly string[], programs: Programs): Promise<void> {
  for (const unit of units) {
    const result = await unlessUnanswered(() => startResult(unit, programs));
    if (!result || result.isQueued || !["inactive", "failed"].includes(result.active)) continue;
    // A unit that runs a command once and ends well has started what it should.
    if (result.active === "inactive" && result.conditionsMet && result.result === "success") continue;
    throw new MigrationError("start-failed", `systemd did not start ${unit}: ${describe(result)}`, {
      hint: `systemctl status ${unit} and journalctl -u ${unit} say why`,
    });
  }
}

const describe = ({ active, sub, result, conditionsMet }: StartResult) =>
  conditionsMet ? `it is ${active} (${sub}), result ${result}` : "a condition of the unit is not met";

/** The last lines of the units' journals, each with the name of its unit; `secrets` are hidden. */
export async function journalOf(
  units: readonly string[],
  secrets: readonly string[],
  programs: Programs,
): Promise<string[]> {
  const lines: string[] = [];
  for (const unit of units) {
    const said = (await unlessUnanswered(() => journalLines(unit, programs))) ?? [];
    lines.push(...said.map((line) => `${unit}: ${hideAll(line, secrets)}`));
  }
  return lines;
}

/** Very short values are no secrets, and would hide parts of words. */
const hideAll = (line: string, secrets: readonly string[]) =>
  secrets
    .filter((secret) => secret.length >= 4)
    .reduce((text, secret) => text.replaceAll(secret, "<hidden>"), line);

/** Undefined where systemd cannot be asked: the server answers, or it does not. */
async function unlessUnanswered<Answer>(ask: () => Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof MigrationError) return undefined;
    throw error;
  }
}
