import type { Finding } from "./finding.ts";
import type { Page } from "./page.ts";
import type { Redaction } from "./placeholders.ts";
import { type RedactOptions, textRedactor } from "./redact-text.ts";

/** Redacts names in all parts of one report. The same name gets the same placeholder everywhere. */
export interface Redactor {
  readonly text: (text: string) => string;
  /**
   * Redacts every string in a value, at any depth. Field names in camelCase are kept, so private names that are used as
   * field names must not look like that.
   */
  readonly value: <T>(value: T) => T;
  /** Redacts findings, except their ids and levels, which `--accept` refers to. */
  readonly findings: (findings: readonly Finding[]) => Finding[];
  readonly page: (page: Page) => Page;
}

/** A redactor for one report; see `textRedactor` for what it redacts in addition to the given names. */
export function redactor(hidden: readonly Redaction[], options: RedactOptions = {}): Redactor {
  const text = textRedactor(hidden, options);

  function value<T>(given: T): T {
    if (typeof given === "string") return text(given) as T;
    if (Array.isArray(given)) return given.map(value) as T;
    if (typeof given !== "object" || given === null) return given;
    const named = new Map<string, unknown>();
    for (const [name, inside] of Object.entries(given)) {
      named.set(freeName(OURS.test(name) ? name : text(name), named), value(inside));
    }
    return Object.fromEntries(named) as T;
  }

  const findings = (given: readonly Finding[]) =>
    given.map((finding) => ({ ...value(finding), id: finding.id, level: finding.level }));

  function page(given: Page): Page {
    const { runbook, verdict } = given;
    const redacted = value(given);
    return {
      ...redacted,
      verdict: { ...redacted.verdict, level: verdict.level },
      findings: findings(given.findings),
      ...(runbook && {
        runbook: {
          ...value(runbook),
          steps: runbook.steps.map((moment) => ({
            ...value(moment),
            ...(moment.tone && { tone: moment.tone }),
          })),
        },
      }),
    };
  }

  return { text, value, findings, page };
}

/** Two field names may get the same placeholder, for example if they differ only in case; both values are kept. */
function freeName(name: string, taken: ReadonlyMap<string, unknown>): string {
  let free = name;
  for (let number = 2; taken.has(free); number += 1) free = `${name} (${number})`;
  return free;
}

const OURS = /^[a-z][A-Za-z0-9]*$/;
