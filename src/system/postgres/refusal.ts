import { MigrationError, type ServerError } from "../../errors.ts";
import type { ExitStatus } from "../programs/programs.ts";
import { describeFailure } from "../programs/running-program.ts";

/**
 * psql's variables with which it prints the SQLSTATE before the server's message, and the names of table and constraint
 * after it. The message is in the server's language (lc_messages), which only a superuser can change.
 */
export const SQLSTATE_VARIABLES = {
  ON_ERROR_STOP: "1",
  VERBOSITY: "verbose",
  SHOW_CONTEXT: "never",
} as const;

/** The same as arguments of psql. */
export const SQLSTATE_ARGUMENTS = Object.entries(SQLSTATE_VARIABLES).map(
  ([name, value]) => `--set=${name}=${value}`,
);

/**
 * The server's first error on psql's standard error, which was run with `SQLSTATE_VARIABLES`; undefined when there is
 * none. Only the first one counts: everything after its first line may come from a row, and may look like an error.
 */
export function findServerError({
  stderrStart,
  stderr,
}: Pick<ExitStatus, "stderrStart" | "stderr">): ServerError | undefined {
  for (const line of stderrStart.split("\n")) {
    const [, code = "", said = ""] = ERROR_LINE.exec(line) ?? [];
    if (code === "" || NOT_ERRORS.includes(classOf(code))) continue;
    return { kind: "sqlstate", code, message: messageFor(code, said, stderr) };
  }
  return undefined;
}

/** libpq writes the severity, in the server's language, a colon, two spaces, SQLSTATE and the sentence (fe-protocol3.c, `pqBuildErrorMessage3`). */
const ERROR_LINE = /^(?:psql:[^\n]{0,200}?:\d+: )?[^:"\n]{1,40}:\s{1,2}([0-9A-Z]{5}): (.*)$/;

const classOf = (code: string) => code.slice(0, 2);

/** Success, warning, no data: the classes of notices. */
const NOT_ERRORS = ["00", "01", "02"];

/**
 * The server's messages in these classes contain only names, numbers and paths: they are about connections, transactions,
 * roles, databases, locks, disk, memory and the server's files. All others, such as those of 22 and 23, may contain values from
 * a row; those of 42601 quote the statement, which may be a row of a damaged dump.
 */
const SHOWN_CLASSES = ["08", "25", "28", "3D", "3F", "40", "53", "55", "57", "58"];
const SHOWN_CODES = [
  ...["42501", "42P01", "42P04", "42P06", "42P07", "42701", "42703", "42704", "42710", "42723", "42883"],
  // The messages of 54001, 54011 and 54023 contain no values either; 54000 and XX000 have many different messages.
  ...["54001", "54011", "54023", "XX001", "XX002"],
];

function messageFor(code: string, said: string, stderr: string): string {
  if (SHOWN_CLASSES.includes(classOf(code)) || SHOWN_CODES.includes(code)) return said;
  const violation = VIOLATIONS[code];
  const own = violation === undefined ? CLASS_MESSAGES[classOf(code)] : describeViolation(violation, stderr);
  return `${own ?? "the server rejected a statement"} (SQLSTATE ${code}; ${IN_SERVER_LOG})`;
}

/** The meaning of the classes (PostgreSQL documentation, Appendix A), for people. */
const CLASS_MESSAGES: Readonly<Record<string, string>> = {
  "0A": "a statement uses a feature that this server does not support",
  "22": "a value has an invalid format or is out of range for its type",
  "23": "a row violates a constraint",
  "42": "a statement has a syntax error or an invalid reference",
  "54": "a value or a statement exceeds a limit of the server",
  P0: "a function in the database raised an error",
  XX: "the server reported an internal error",
};

const VIOLATIONS: Readonly<Record<string, string>> = {
  "23502": "a row violates a not-null constraint",
  "23503": "a row violates a foreign key constraint",
  "23505": "a row violates a unique constraint",
  "23514": "a row violates a check constraint",
  "23P01": "a row violates an exclusion constraint",
};

function describeViolation(violation: string, stderr: string): string {
  const { table, constraint, column } = namesIn(stderr);
  const names = [
    ...(table === undefined ? [] : [`table ${table}`]),
    ...(constraint === undefined ? [] : [`constraint ${constraint}`]),
    ...(column === undefined ? [] : [`column ${column}`]),
  ];
  return names.length === 0 ? violation : `${violation}: ${names.join(", ")}`;
}

/**
 * libpq prints the names on the last lines, from the name of the schema on, after everything that may come from a row. It
 * prints the labels itself, in English, as programs run with LC_MESSAGES=C or LC_ALL=C.
 */
function namesIn(stderr: string): {
  table: string | undefined;
  constraint: string | undefined;
  column: string | undefined;
} {
  const lines = stderr.trimEnd().split("\n");
  if (lines.at(-1)?.startsWith("LOCATION:  ") !== true)
    return { table: undefined, constraint: undefined, column: undefined };
  const names = lines.slice(lines.findLastIndex((line) => line.startsWith("SCHEMA NAME:  ")) + 1, -1);
  const after = (label: string) => names.find((one) => one.startsWith(label))?.slice(label.length);
  return {
    table: after("TABLE NAME:  "),
    constraint: after("CONSTRAINT NAME:  "),
    column: after("COLUMN NAME:  "),
  };
}

/**
 * A `mapError` for psql with `SQLSTATE_ARGUMENTS`, and for pg_dump and pg_restore, which report no SQLSTATE. The error
 * that it returns contains no value from a row.
 */
export function withoutRowValues(failure: MigrationError, ended: ExitStatus): MigrationError {
  const refusal = findServerError(ended);
  if (refusal)
    return new MigrationError("program-failed", `the server rejected a statement: ${refusal.message}`, {
      hint: failure.hint,
      reason: refusal,
    });
  const { hint, reason } = failure;
  // Then the program was not started, or its input could not be read: the message is not from a server.
  if (reason === undefined || !("program" in reason)) return failure;
  const detail = reason.kind === "exit-status" ? clientMessage(ended) : undefined;
  const message = describeFailure(reason);
  return new MigrationError("program-failed", detail === undefined ? message : `${message}: ${detail}`, {
    hint,
    reason,
  });
}

/**
 * The first error message of psql, pg_dump or pg_restore itself, in English, without the part that it passes on from the
 * server, which may contain a value from a row. Undefined when there is no such message.
 */
export function clientMessage({ stderrStart }: Pick<ExitStatus, "stderrStart">): string | undefined {
  const lines = stderrStart.split("\n");
  const first = lines.findIndex((one) => CLIENT_LINE.test(one));
  if (first === -1) return undefined;
  const said = lines[first]!.replace(CLIENT_LINE, "");
  // libpq prints two spaces after the severity, in every language.
  const severity = said.indexOf(":  ");
  if (severity === -1) return said;
  const own = said.slice(0, Math.max(0, said.lastIndexOf(": ", severity - 1)));
  const entry = lines
    .slice(0, first)
    .flatMap((line) => ENTRY_LINE.exec(line)?.[1] ?? [])
    .at(-1);
  const at = entry === undefined ? "" : `, at ${entry}`;
  return `${own || "the server rejected a statement"}${at} (${IN_SERVER_LOG})`;
}

const CLIENT_LINE = /^(?:psql|pg_dump|pg_restore): (?:error|fatal): /;

/** Its type, its name and its owner. */
const ENTRY_LINE = /^pg_restore: from TOC entry \d+; \d+ \d+ (.*)$/;

const IN_SERVER_LOG = "the server's own message may quote a row; see the server's log";
