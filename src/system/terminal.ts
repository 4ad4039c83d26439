import type { Readable, Writable } from "node:stream";
import { Interrupted, MigrationError } from "../errors.ts";
import { parentPeer, type Peer } from "./programs/peer.ts";

/** Output of results and messages, and prompts. */
export interface Terminal {
  /** Writes results to standard output. */
  readonly out: (text: string) => void;
  /** Writes everything else to standard error. */
  readonly err: (text: string) => void;
  /** Prompts are possible: standard input and standard error are both a terminal. */
  readonly interactive: boolean;
  /** Standard error is a terminal, so lines can be redrawn. */
  readonly drawable: boolean;
  readonly colour: boolean;
  /** Width in characters; 80 when unknown. */
  readonly columns: number;
  /** Height in lines; 24 when unknown. */
  readonly rows: number;
  /** Resolves when everything passed to `out` has been written or has failed. */
  flushed(): Promise<void>;
  /** Whether the reader has closed standard output. */
  readonly outputClosed: boolean;
  /** The parent process as a peer, through standard input and output. */
  parent(signal: AbortSignal): Peer;
  /** Prompts for a secret without echo. Throws `bad-usage` when not interactive. */
  askSecret(question: string): Promise<string>;
  /** Asks a yes/no question. Throws `bad-usage` when not interactive. */
  confirm(question: string): Promise<boolean>;
}

export interface Streams {
  readonly stdin: Readable & { isTTY?: boolean };
  readonly stdout: Writable & { isTTY?: boolean; columns?: number };
  readonly stderr: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  readonly noColour: boolean;
}

export function realTerminal({ stdin, stdout, stderr, noColour }: Streams): Terminal {
  const closed = { out: false, err: false };
  // A reader that closes the pipe (`| head`) must not end a run that is writing a bundle.
  stdout.on("error", () => (closed.out = true));
  stderr.on("error", () => (closed.err = true));
  let written = Promise.resolve();
  const interactive = stdin.isTTY === true && stderr.isTTY === true;
  const asked = { input: stdin, output: stderr };

  return {
    out: (text) => {
      if (closed.out) return;
      written = new Promise((resolve) => {
        stdout.write(text, (error) => {
          if (error) closed.out = true;
          resolve();
        });
      });
    },
    err: (text) => {
      if (!closed.err) stderr.write(text);
    },
    interactive,
    drawable: stderr.isTTY === true,
    colour: stderr.isTTY === true && !noColour,
    get columns() {
      return stderr.columns ?? 80;
    },
    get rows() {
      return stderr.rows ?? 24;
    },
    flushed: () => written,
    parent: (signal) => parentPeer(stdin, stdout, signal),
    get outputClosed() {
      return closed.out;
    },
    async askSecret(question) {
      assertInteractive(interactive, question);
      const { isCancel, password } = await import("@clack/prompts");
      return answered(await password({ message: question, ...asked }), isCancel);
    },
    async confirm(question) {
      assertInteractive(interactive, question);
      const { confirm, isCancel } = await import("@clack/prompts");
      return answered(await confirm({ message: question, initialValue: false, ...asked }), isCancel);
    },
  };
}

function assertInteractive(interactive: boolean, question: string): void {
  if (interactive) return;
  throw new MigrationError(
    "bad-usage",
    `cannot ask, because this is not an interactive terminal: ${question}`,
    {
      hint: "give the answer with an option, or run the command in a terminal",
    },
  );
}

function answered<T>(answer: T, isCancel: (answer: unknown) => boolean): Exclude<T, symbol> {
  if (isCancel(answer)) throw new Interrupted("SIGINT");
  return answer as Exclude<T, symbol>;
}
