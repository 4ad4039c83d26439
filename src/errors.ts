/**
 * Every expected failure with its exit code, which scripts may rely on.
 * The meaning of a code never changes. New codes may be added; scripts should treat an unknown code as a failure.
 *
 * 2: wrong usage; 10 to 19: the source or its configuration; 20 to 29: the bundle; 30 to 39: programs and the
 * host; 40 to 49: the target; 50 to 59: passphrases and keys;
 * 60 to 69: findings, unfinished notices, sign-outs, certificates of our servers, and copies that follow. 1: an unexpected error; 128 + N: ended by signal N.
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
  "object-storage-failed": 19,
  "bundle-damaged": 20,
  "bundle-in-use": 21,
  "bundle-mismatch": 22,
  "bundle-incomplete": 23,
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
  "other-machine": 38,
  "transfer-failed": 39,
  "target-not-empty": 40,
  "target-unsuitable": 41,
  "restore-failed": 42,
  "gate-failed": 43,
  "start-failed": 44,
  "already-opened": 45,
  "invitation-refused": 46,
  "port-failed": 47,
  "passphrase-invalid": 50,
  "passphrase-wrong": 51,
  "recipient-key-invalid": 52,
  "secret-key-unusable": 53,
  "found-warnings": 60,
  "found-blockers": 61,
  "notices-not-sent": 62,
  "certificate-unusable": 63,
  "sign-out-refused": 64,
  "follow-lost": 65,
  "comparison-failed": 66,
  "follow-impossible": 67,
} as const;

export type ErrorCode = keyof typeof EXIT_CODES;

/**
 * The structured cause of a failure, as another program or a server reports it, independent of language. Decisions depend on
 * this and never on a message: a server's messages are in the language of that server.
 */
export type Reason =
  | ServerError
  | NoConnection
  /** SQLite's primary result code, such as 1 for SQLITE_ERROR (sqlite.org/rescode.html). */
  | { readonly kind: "sqlite"; readonly code: number }
  | ProgramReason
  /** gpg failed; the fault comes from its status lines (GnuPG, doc/DETAILS). */
  | { readonly kind: "gnupg"; readonly fault: GnupgFault }
  /** The error number of a system call, such as "ENOSPC". */
  | { readonly kind: "errno"; readonly errno: string };

/** The server rejected a statement. */
export interface ServerError {
  readonly kind: "sqlstate";
  /** SQLSTATE, such as "42P01" (PostgreSQL documentation, Appendix A). */
  readonly code: string;
  /** For people, possibly in the language of the server. Contains no value from a row. */
  readonly message: string;
}

/** How a program failed. `program` is its name or path, as it was called. */
export type ProgramReason =
  | { readonly kind: "exit-status"; readonly program: string; readonly status: number | null }
  | { readonly kind: "signal"; readonly program: string; readonly signal: string }
  /** It was killed after its time-out. */
  | { readonly kind: "timeout"; readonly program: string; readonly milliseconds: number }
  /** It exited with 0, but before it had read all of its input. */
  | { readonly kind: "unread-input"; readonly program: string };

/**
 * A connection to a database failed. libpq reports no SQLSTATE for that, so both members are found out with further
 * requests: whether the server responds (pg_isready), and whether the database exists (pg_database).
 */
export interface NoConnection {
  readonly kind: "no-connection";
  /** "accepting": the server accepts connections, but not this one. */
  readonly server: "accepting" | "starting" | "no-response" | "unknown";
  readonly database: "missing" | "exists" | "unknown";
}

export type GnupgFault =
  /** The passphrase does not decrypt the message. */
  | "passphrase"
  /** The secret key is not there, or could not be unlocked. */
  | "secret-key"
  /** The data is no OpenPGP message, or the message was changed or truncated. */
  | "damaged"
  /** Any other fault, such as a full disk. */
  | "other";

/** An expected failure. The message says what failed and where; the hint says what to do. Neither contains a secret. */
export class MigrationError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** Undefined where synlift itself found the fault: then `code` is the cause. */
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

/** The reason of an expected failure, if it has one of this kind. */
export function reasonOf<Kind extends Reason["kind"]>(
  error: unknown,
  kind: Kind,
): Extract<Reason, { kind: Kind }> | undefined {
  const reason = error instanceof MigrationError ? error.reason : undefined;
  return reason?.kind === kind ? (reason as Extract<Reason, { kind: Kind }>) : undefined;
}

/** Whether the server rejected a statement with one of these SQLSTATEs. */
export const hasSqlstate = (error: unknown, codes: readonly string[]): boolean =>
  codes.includes(reasonOf(error, "sqlstate")?.code ?? "");

/** Returns what `read` returns, or undefined when it throws a `MigrationError`. Other errors are thrown on. */
export async function tryRead<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof MigrationError) return undefined;
    throw error;
  }
}

/** The abort reason when a user or the operating system asks the run to stop. */
export class Interrupted extends Error {
  readonly signal: "SIGINT" | "SIGTERM" | "SIGHUP";
  /** What a person can do now; undefined where that is just to run the same command again. */
  readonly hint: string | undefined;

  /** `left` is what the run leaves behind, in words. */
  constructor(
    signal: "SIGINT" | "SIGTERM" | "SIGHUP",
    left?: { readonly state: string; readonly hint: string },
  ) {
    super(left ? `stopped by ${signal}: ${left.state}` : `stopped by ${signal}`);
    this.name = "Interrupted";
    this.signal = signal;
    this.hint = left?.hint;
  }
}

const SIGNAL_EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** 1 is for unexpected errors, which are treated as bugs. */
export function exitCodeFor(error: unknown): number {
  if (error instanceof MigrationError) return EXIT_CODES[error.code];
  if (error instanceof Interrupted) return SIGNAL_EXIT_CODES[error.signal];
  return 1;
}
