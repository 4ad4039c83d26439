import { MigrationError, type Reason } from "../errors.ts";
import type { Ending } from "./call.ts";
import { describeEnd } from "./running-program.ts";

type Refusal = Extract<Reason, { kind: "sqlstate" }>;

/**
 * For psql: SQLSTATE stands before the server's sentence, and after it the names of the table and the rule that the
 * server tells of. The sentence is in the server's own language (lc_messages), which a client may not choose.
 */
export const TELL_SQLSTATE = { ON_ERROR_STOP: "1", VERBOSITY: "verbose", SHOW_CONTEXT: "never" } as const;

/** The same as arguments of psql. */
export const TELL_SQLSTATE_ARGUMENTS = Object.entries(TELL_SQLSTATE).map(
  ([name, value]) => `--set=${name}=${value}`,
);

/**
 * What the server refused, in what psql said with `TELL_SQLSTATE`; undefined where it told of no error. The first error
 * counts: what stands behind its first line may be out of a row, and look like anything.
 */
export function refusalIn({
  firstWords,
  complaint,
}: Pick<Ending, "firstWords" | "complaint">): Refusal | undefined {
  for (const line of firstWords.split("\n")) {
    const [, code = "", said = ""] = ERROR_LINE.exec(line) ?? [];
    if (code === "" || NO_ERRORS.includes(classOf(code))) continue;
    return { kind: "sqlstate", code, sentence: sentenceFor(code, said, complaint) };
  }
  return undefined;
}

/** libpq writes the severity, in the server's language, a colon, two spaces, SQLSTATE and the sentence (fe-protocol3.c, `pqBuildErrorMessage3`). */
const ERROR_LINE = /^(?:psql:[^\n]{0,200}?:\d+: )?[^:"\n]{1,40}:\s{1,2}([0-9A-Z]{5}): (.*)$/;

const classOf = (code: string) => code.slice(0, 2);

/** Success, warning, no data: notices have them. */
const NO_ERRORS = ["00", "01", "02"];

/**
 * What the server says of these is made of names, numbers and files: connections, transactions, roles and databases;
 * locks, disk and memory, its own files. Of everything else, such as 22 and 23, it may quote a row; of 42601, the
 * statement, and that is a row where a dump came out of step.
 */
const SHOWN_CLASSES = ["08", "25", "28", "3D", "3F", "40", "53", "55", "57", "58"];
const SHOWN_CODES = [
  ...["42501", "42P01", "42P04", "42P06", "42P07", "42701", "42703", "42704", "42710", "42723", "42883"],
  // 54001 and the like quote nothing either, but 54000 has many sentences. XX000 is whatever the server did not foresee.
  ...["54001", "54011", "54023", "XX001", "XX002"],
];

function sentenceFor(code: string, said: string, complaint: string): string {
  if (SHOWN_CLASSES.includes(classOf(code)) || SHOWN_CODES.includes(code)) return said;
  const rule = RULES[code];
  const own = rule === undefined ? OWN_SENTENCES[classOf(code)] : ruleSentence(rule, complaint);
  return `${own ?? "the server refused a statement"} (SQLSTATE ${code}; ${IN_ITS_LOG})`;
}

/** What the classes mean (PostgreSQL documentation, Appendix A), for people. */
const OWN_SENTENCES: Readonly<Record<string, string>> = {
  "0A": "a statement asks for what this server does not have",
  "22": "a value has a form, or lies in a range, that its type does not allow",
  "23": "a row breaks a rule of its table",
  "42": "a statement cannot be understood",
  "54": "a value or a statement goes beyond the server's limits",
  P0: "a function of the database raised an error",
  XX: "the server met what it did not foresee",
};

const RULES: Readonly<Record<string, string>> = {
  "23502": "a row lacks a value that its table demands",
  "23503": "a row names another that is not there",
  "23505": "a row is there twice that may be there once",
  "23514": "a row breaks a rule of its table",
  "23P01": "a row conflicts with another",
};

function ruleSentence(rule: string, complaint: string): string {
  const { table, constraint, column } = namesIn(complaint);
  const names = [
    ...(table === undefined ? [] : [`table ${table}`]),
    ...(constraint === undefined ? [] : [`constraint ${constraint}`]),
    ...(column === undefined ? [] : [`column ${column}`]),
  ];
  return names.length === 0 ? rule : `${rule}: ${names.join(", ")}`;
}

/**
 * The names stand on the last lines, from that of the schema on, and behind all that may be out of a row. Their labels
 * are libpq's own, and our programs speak English.
 */
function namesIn(complaint: string): { table?: string; constraint?: string; column?: string } {
  const lines = complaint.trimEnd().split("\n");
  if (lines.at(-1)?.startsWith("LOCATION:  ") !== true) return {};
  const names = lines.slice(lines.findLastIndex((line) => line.startsWith("SCHEMA NAME:  ")) + 1, -1);
  const after = (label: string) => {
    const line = names.find((one) => one.startsWith(label))?.slice(label.length);
    return line;
  };
  const [table, column, constraint] = ["TABLE NAME:  ", "COLUMN NAME:  ", "CONSTRAINT NAME:  "].map(after);
  return {
    ...(table === undefined ? {} : { table }),
    ...(column === undefined ? {} : { column }),
    ...(constraint === undefined ? {} : { constraint }),
  };
}

/**
 * A failure of psql that was called with `TELL_SQLSTATE`, or of pg_dump or pg_restore, which tell no SQLSTATE, without
 * what may be out of a row. For `Call.explain`.
 */
export function withoutRows(failure: MigrationError, ending: Ending): MigrationError {
  const refusal = refusalIn(ending);
  if (refusal)
    return new MigrationError("program-failed", `the server refused a statement: ${refusal.sentence}`, {
      hint: failure.hint,
      reason: refusal,
    });
  const { hint, reason } = failure;
  // Then it never ran, or what broke is what it was fed with: these are no words of a server's.
  if (reason === undefined || !("program" in reason)) return failure;
  const words = reason.kind === "exit-status" ? clientWords(ending) : undefined;
  const sentence = `${reason.program} ${describeEnd(reason)}`;
  return new MigrationError("program-failed", words === undefined ? sentence : `${sentence}: ${words}`, {
    hint,
    reason,
  });
}

/**
 * What a client of PostgreSQL's says for itself, in English as its environment has it: its first error, without what it
 * hands on from the server, which may quote a row. Undefined where it says nothing.
 */
export function clientWords({ firstWords }: Pick<Ending, "firstWords">): string | undefined {
  const lines = firstWords.split("\n");
  const first = lines.findIndex((one) => CLIENT_LINE.test(one));
  if (first === -1) return undefined;
  const said = lines[first]!.replace(CLIENT_LINE, "");
  // libpq puts two spaces behind the severity, whatever the language.
  const severity = said.indexOf(":  ");
  if (severity === -1) return said;
  const own = said.slice(0, Math.max(0, said.lastIndexOf(": ", severity - 1)));
  const entry = lines
    .slice(0, first)
    .flatMap((line) => ENTRY_LINE.exec(line)?.[1] ?? [])
    .at(-1);
  const at = entry === undefined ? "" : `, at ${entry}`;
  return `${own || "the server refused a statement"}${at} (${IN_ITS_LOG})`;
}

const CLIENT_LINE = /^(?:psql|pg_dump|pg_restore): (?:error|fatal): /;

/** What kind of thing it is, its name and its owner's. */
const ENTRY_LINE = /^pg_restore: from TOC entry \d+; \d+ \d+ (.*)$/;

const IN_ITS_LOG = "the server's own words may quote a row, and are in its log alone";
