import { exitCodeFor, Interrupted, MigrationError } from "../errors.ts";
import { type Finding, worstLevel } from "./finding.ts";
import { countLevels } from "./level-counts.ts";

/** A JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** A value of an interface as one of plain objects: an interface might have more members, and is no JSON to the compiler. */
export type Plain<T> = T extends object ? { readonly [Name in keyof T]: Plain<T[Name]> } : T;

/** The same value; its type keeps names and meanings of the members. */
export const plainJson = <T>(value: T): Plain<T> => value as Plain<T>;

/** How a command ended, for scripts. */
export interface Result {
  /** The command's name, as it is typed. */
  readonly command: string;
  readonly exitCode: number;
  readonly findings: readonly Finding[];
  /** Further results of this command. Their names are part of its documented output. Never a secret. */
  readonly details?: { readonly [name: string]: Json };
}

/** A finding with all fields, including empty ones, so that scripts need not handle missing fields. */
export function findingJson({ id, level, sentence, evidence = [], hint }: Finding) {
  return { id, level, sentence, evidence: [...evidence], hint: hint ?? null };
}

/** The last object that a command prints on standard output. */
export function resultJson({ command, exitCode, findings, details = {} }: Result) {
  return {
    type: "result" as const,
    command,
    exitCode,
    level: worstLevel(findings),
    counts: countLevels(findings),
    findings: findings.map(findingJson),
    details,
  };
}

/** A failure at `now` (milliseconds since 1970). `code` is one of `EXIT_CODES`, "interrupted" or "unexpected". */
export function errorJson(error: unknown, now: number) {
  return {
    type: "error" as const,
    time: new Date(now).toISOString(),
    code:
      error instanceof MigrationError
        ? error.code
        : error instanceof Interrupted
          ? "interrupted"
          : "unexpected",
    message: error instanceof Error ? error.message : String(error),
    hint: error instanceof MigrationError || error instanceof Interrupted ? (error.hint ?? null) : null,
    exitCode: exitCodeFor(error),
  };
}

/** One object on one line. A number that JSON does not support, such as NaN, becomes null. */
export function jsonLine(object: { readonly type: string; readonly [name: string]: Json }): string {
  return `${JSON.stringify(object)}\n`;
}
