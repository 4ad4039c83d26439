import type { MigrationError } from "../errors.ts";
import type { GzipDigest, GzipOptions } from "./gzip-digest.ts";
import type { Account } from "./machine.ts";
import type { Bytes } from "./system.ts";

/** Runs other programs. No secret ever goes into `args`: anybody on the host can read them. */
export interface Programs {
  /**
   * Feeds `source` to a program and yields what it prints. The stream ends well only if the program did: it was
   * there, read everything, was not killed and said 0. If `source` breaks, the program is killed and the source's
   * error is thrown; if the reader stops early, the program is killed.
   *
   * What this gives may be given to `through` again, as it is: then the two programs talk to each other through a pipe
   * of the kernel, and nothing of it comes by here. All of the above holds for such a chain as a whole: the first of
   * them that fails takes the others along, and it is the one that is told.
   * Throws `program-missing` or `program-failed`.
   */
  through(call: Call, source?: Bytes): Output;
  /** Runs a program whose output is small. Throws as `through` does. */
  run(call: Call, input?: string): Promise<string>;
  /**
   * Runs a program that may leave others running behind it, such as one that starts a server, and waits for itself
   * only. Its output is not read. Throws as `run` does.
   */
  launch(call: Call, options?: LaunchOptions): Promise<void>;
  /** Starts a program to talk with. Throws `program-missing`. */
  open(call: Call): Promise<Conversation>;
  /** The path of a program, or undefined when it is not installed. */
  find(name: string): Promise<string | undefined>;
}

/** What a program prints. It runs each time that this is read, or written into a file. */
export interface Output extends Bytes {
  /**
   * Runs it and lets it write by itself into an open file, from where that stands: nothing of it comes by here. Ends
   * and throws as reading does, and with the errno of what kept it from writing. `stop` ends it, and its reason is thrown.
   */
  into(descriptor: number, stop?: AbortSignal): Promise<void>;
  /**
   * Runs it and looks at the gzip file that it prints, in a thread of its own: nothing of it comes by here.
   * Throws as reading does, and zlib's error for a file that is damaged or cut off though the program ended well.
   */
  gunzipped(options: GzipOptions): Promise<GzipDigest>;
}

export interface Call {
  /** A name to be found in PATH, or a path. */
  readonly name: string;
  readonly args: readonly string[];
  /** Added to the few variables that every program gets (PATH, HOME, LANG, TMPDIR, …). */
  readonly env?: Readonly<Record<string, string>>;
  /** Names of variables of our own environment that it needs besides: SSH_AUTH_SOCK. */
  readonly passOn?: readonly string[];
  /** Goes out before what it prints: at most 4,096 bytes in UTF-8. No secret. */
  readonly before?: string;
  /** Written to its standard input before anything else: the road for a secret to a program that runs somewhere else. */
  readonly firstInput?: string;
  /** Text handed over on file descriptor 3: the road for secrets. */
  readonly secret?: string;
  readonly folder?: string;
  /** Run as another account of this host; only root may. */
  readonly account?: Account;
  /** Milliseconds after which it is killed and has failed. For questions that should be answered at once. */
  readonly limit?: number;
  /** Ends it, and all that it is joined to; its reason is what is thrown then. */
  readonly stop?: AbortSignal;
  /** What it says when it cannot write, where it does not say why: whether there is room is looked at then. */
  readonly cannotWrite?: string;
  /** What is to be thrown instead of this failure of it, for those who know what it reports and what of that may be shown. */
  readonly explain?: (failure: MigrationError, ending: Ending) => MigrationError;
}

export interface LaunchOptions {
  /** Run it also when this run was asked to stop: for the way back. Else it ends with the run, with all its group. */
  readonly always?: boolean;
}

/** A program that is asked and answers, until it is closed or dies. */
export interface Conversation {
  readonly output: Bytes;
  write(what: string | Uint8Array): Promise<void>;
  /** Says that there is no more to come, and resolves when the program has ended; never rejects. */
  close(): Promise<Ending>;
  kill(): void;
}

/** How a program ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it said on standard error: at most some 4,000 characters. */
  readonly complaint: string;
  /** The beginning of that: as many. */
  readonly firstWords: string;
}

/** Without a passphrase, gpg has to find what it needs in its home. */
export type Gpg = (args: readonly string[], passphrase: string | undefined, source: Bytes) => Output;
