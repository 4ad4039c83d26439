/**
 * Each way we foresaw failing, with the exit code scripts may rely on.
 * A code is never given a new meaning; new ones may appear, and an unknown one means failure.
 *
 * 2 the call itself; 10 to 19 the source or its configuration; 20 to 29 the bundle; 30 to 39 programs and the
 * machine; 40 to 49 the target; 50 to 59 passphrases and keys;
 * 60 to 69 what a look before the move found. 1 is for what nobody foresaw, 128 + N for a signal.
 */
export const EXIT_CODES = {
  "bad-usage": 2,
  "config-unreadable": 10,
  "signing-key-missing": 11,
  "database-unreachable": 12,
  "database-unsupported": 13,
  "homeserver-running": 14,
  "media-missing": 15,
  "source-changed": 16,
  "file-missing": 17,
  "fence-failed": 18,
  "storage-failed": 19,
  "bundle-damaged": 20,
  "bundle-locked": 21,
  "bundle-foreign": 22,
  "bundle-unfinished": 23,
  "bundle-too-new": 24,
  "rehearsal-refused": 25,
  "archive-damaged": 26,
  "program-failed": 30,
  "program-missing": 31,
  "program-too-old": 32,
  "disk-full": 33,
  "permission-denied": 34,
  "file-failed": 35,
  "output-closed": 36,
  "connection-failed": 37,
  "target-not-empty": 40,
  "target-unsuitable": 41,
  "restore-failed": 42,
  "gate-failed": 43,
  "start-failed": 44,
  "already-opened": 45,
  "passphrase-unusable": 50,
  "passphrase-wrong": 51,
  "recipient-unusable": 52,
  "secret-key-unusable": 53,
  "found-warnings": 60,
  "found-blockers": 61,
  "notices-unsent": 62,
} as const;

export type ErrorCode = keyof typeof EXIT_CODES;

/**
 * Why something failed, as others report it in a form that is no language's: this is what decisions go by. A message is
 * for people, and that of a server comes in the language of that server.
 */
export type Reason =
  /** A server refused a statement. `code` is its SQLSTATE, such as "42P01" (PostgreSQL documentation, Appendix A). */
  | {
      readonly kind: "sqlstate";
      readonly code: string;
      /** For people; holds no value out of a row. */ readonly sentence: string;
    }
  | NoConnection
  /** SQLite's primary result code, such as 1 for SQLITE_ERROR (sqlite.org/rescode.html). */
  | { readonly kind: "sqlite"; readonly code: number }
  | ProgramReason
  /** gpg failed, and its status lines tell at what (GnuPG, doc/DETAILS). */
  | { readonly kind: "gnupg"; readonly fault: GnupgFault }
  /** A system call's error, such as "ENOSPC". */
  | { readonly kind: "errno"; readonly errno: string };

/** How a program that failed has ended. `program` is what it was called by: a name, or a path. */
export type ProgramReason =
  | { readonly kind: "exit-status"; readonly program: string; readonly status: number }
  | { readonly kind: "signal"; readonly program: string; readonly signal: string }
  /** It was ended, as it took longer than it was given. */
  | { readonly kind: "time-limit"; readonly program: string; readonly milliseconds: number }
  /** It ended well, but before it had read what was written to it. */
  | { readonly kind: "left-early"; readonly program: string };

/**
 * No connection to a database. libpq tells no SQLSTATE of that, so the rest was asked after: whether the server answers
 * at all (pg_isready), and whether it has such a database (pg_database).
 */
export interface NoConnection {
  readonly kind: "no-connection";
  readonly server: "refuses" | "starting" | "silent" | "unknown";
  readonly database: "missing" | "there" | "unknown";
}

export type GnupgFault =
  /** The passphrase does not open a message that needs one. */
  | "passphrase"
  /** There is no secret key for it here, or that one could not be unlocked. */
  | "secret-key"
  /** The message is none, was changed or was cut off. */
  | "damaged"
  /** gpg could not work here. */
  | "other";

/** A failure we foresaw. The message says what failed and on what; the hint says what to try. Neither holds a secret. */
export class MigrationError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** Undefined where our own code found what is wrong, and `code` says it all. */
  readonly reason: Reason | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    more: { hint?: string | undefined; cause?: unknown; reason?: Reason | undefined } = {},
  ) {
    super(message, { cause: more.cause });
    this.name = "MigrationError";
    this.code = code;
    this.hint = more.hint;
    this.reason = more.reason;
  }
}

/** Why it failed, if it is a failure that we foresaw and others told us; by kind. */
export function reasonOf<Kind extends Reason["kind"]>(
  error: unknown,
  kind: Kind,
): Extract<Reason, { kind: Kind }> | undefined {
  const reason = error instanceof MigrationError ? error.reason : undefined;
  return reason?.kind === kind ? (reason as Extract<Reason, { kind: Kind }>) : undefined;
}

/** Whether a server refused a statement with one of these SQLSTATEs. */
export const isRefusedAs = (error: unknown, codes: readonly string[]): boolean =>
  codes.includes(reasonOf(error, "sqlstate")?.code ?? "");

/** What was read, or undefined for a failure that we foresaw: for those who can do without it. */
export async function unlessUnreadable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof MigrationError) return undefined;
    throw error;
  }
}

/** The reason given to an AbortSignal when the person or the machine asks us to stop. */
export class Interrupted extends Error {
  readonly signal: "SIGINT" | "SIGTERM" | "SIGHUP";

  constructor(signal: "SIGINT" | "SIGTERM" | "SIGHUP") {
    super(`stopped by ${signal}`);
    this.name = "Interrupted";
    this.signal = signal;
  }
}

const SIGNAL_EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** 1 is for what we did not foresee: a bug of ours, until shown otherwise. */
export function exitCodeFor(error: unknown): number {
  if (error instanceof MigrationError) return EXIT_CODES[error.code];
  if (error instanceof Interrupted) return SIGNAL_EXIT_CODES[error.signal];
  return 1;
}
