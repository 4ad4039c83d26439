import type { MigrationError } from "../../errors.ts";
import type { Bytes } from "../bytes.ts";
import type { GzipDigest, GzipOptions } from "../formats/gzip-digest.ts";
import type { Account } from "../machine.ts";

/** Runs other programs. Secrets must never be in `args`, which every user of the host can read. */
export interface Programs {
  /**
   * Writes `source` to a program's standard input and yields its standard output. The stream ends without an error only
   * if the program read all of its input and exited with 0. If `source` throws, the program is killed and that error is
   * thrown; if the reader stops early, the program is killed.
   *
   * The result can be passed to `pipe` again, unchanged: then the two programs are connected by a kernel pipe, and
   * the data does not pass through this process. The above holds for such a chain as a whole: when one program fails,
   * the others are killed, and the error is that of the program that failed first.
   * Throws `program-missing` or `program-failed`.
   */
  pipe(call: ProgramCall, source?: Bytes): Output;
  /** Runs a program whose output is small. Throws as `pipe` does. */
  run(call: ProgramCall, input?: string): Promise<string>;
  /**
   * Runs a program that may start background processes, such as a server, and waits only for the program itself. Its
   * output is not read. Throws as `run` does.
   */
  startDetached(call: ProgramCall, options?: DetachedOptions): Promise<void>;
  /** Starts an interactive program. Throws `program-missing`. */
  start(call: ProgramCall): Promise<InteractiveProgram>;
  /** The path of a program, or undefined when it is not installed. */
  find(name: string): Promise<string | undefined>;
}

/** The output of a program, which runs each time the output is read or written to a file. */
export interface Output extends Bytes {
  /**
   * Runs the program with an open file as its standard output, from the current offset. Ends and throws as reading
   * does; a write error has its errno. `stop` ends the program, and its reason is thrown.
   */
  writeTo(descriptor: number, stop?: AbortSignal): Promise<void>;
  /**
   * Runs the program and digests the gzip file that it prints, in a worker thread.
   * Throws as reading does, and zlib's error when the file is damaged or truncated although the program succeeded.
   */
  digestGzip(options: GzipOptions): Promise<GzipDigest>;
}

export interface ProgramCall {
  /** A name to find in PATH, or a path. */
  readonly name: string;
  readonly args: readonly string[];
  /** Added to the few variables that every program gets (PATH, HOME, LANG, TMPDIR, …). */
  readonly env?: Readonly<Record<string, string>>;
  /** Names of further variables of this process to pass on: SSH_AUTH_SOCK; RCLONE_* for all that begin so. */
  readonly passEnvironment?: readonly string[];
  /** Text that precedes its output: at most 4,096 bytes in UTF-8. No secret. */
  readonly outputPrefix?: string;
  /** Written to its standard input first: a way to pass a secret to a program on another host or in a container. */
  readonly inputPrefix?: string;
  /** Text passed on file descriptor 3, for secrets. */
  readonly secret?: string;
  readonly folder?: string;
  /** The account to run it as; requires root. */
  readonly account?: Account;
  /** Time-out in milliseconds, after which it is killed and has failed. For short queries. */
  readonly timeout?: number;
  /** Ends it and all programs connected to it; the signal's reason is thrown. */
  readonly signal?: AbortSignal;
  /** Its message for a write error that does not include the cause; then the free space is checked. */
  readonly writeErrorText?: string;
  /** Maps a failure of this program to a more specific error, or to one without what may not be shown. */
  readonly mapError?: (failure: MigrationError, ended: ExitStatus) => MigrationError;
}

export interface DetachedOptions {
  /** Run it even if this run was asked to stop, for undo operations. Otherwise its process group ends with the run. */
  readonly evenIfStopped?: boolean;
}

/** A running program with its standard input and output. */
export interface InteractiveProgram {
  readonly output: Bytes;
  /** Resolves when the bytes are written and their buffers can be reused. Several pieces are handed to the system together. */
  write(...pieces: readonly (string | Uint8Array)[]): Promise<void>;
  /** Closes its standard input, and resolves when the program has ended; never rejects. */
  close(): Promise<ExitStatus>;
  kill(): void;
}

/** How a program ended. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of its standard error: at most about 4,000 characters. */
  readonly stderr: string;
  /** The beginning of its standard error, of the same size. */
  readonly stderrStart: string;
}

/** Runs gpg. Without a passphrase, gpg uses the keys in its home. */
export type Gpg = (args: readonly string[], passphrase: string | undefined, source: Bytes) => Output;
