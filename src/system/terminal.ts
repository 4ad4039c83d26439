import type { Readable, Writable } from "node:stream";
import { confirm, isCancel, password } from "@clack/prompts";
import { Interrupted, MigrationError } from "../errors.ts";
import { callingPeer, type Peer } from "./programs/peer.ts";

/** Where results and remarks go, and where a person may be asked. */
export interface Terminal {
  /** The result, for eyes or for a pipe: standard output. */
  readonly out: (text: string) => void;
  /** Everything else: standard error. */
  readonly err: (text: string) => void;
  /** A person can read and answer: standard input and standard error are both a terminal. */
  readonly interactive: boolean;
  /** Standard error is a terminal: lines may be drawn over. */
  readonly drawable: boolean;
  readonly colour: boolean;
  /** Width in characters; 80 when nobody knows. */
  readonly columns: number;
  /** Height in lines; 24 when nobody knows. */
  readonly rows: number;
  /** Resolves when everything given to `out` has been taken, or refused. */
  settled(): Promise<void>;
  /** True once standard output was closed by whoever read it. */
  readonly outputClosed: boolean;
  /** The program that started this one, where that is one to talk with. */
  caller(signal: AbortSignal): Peer;
  /** Asks without showing what is typed. Throws `bad-usage` when there is nobody to ask. */
  askSecret(question: string): Promise<string>;
  /** Throws `bad-usage` when there is nobody to ask. */
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
  // A reader that goes away (`| head`) must not end a run that is writing a bundle.
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
    settled: () => written,
    caller: (signal) => callingPeer(stdin, stdout, signal),
    get outputClosed() {
      return closed.out;
    },
    async askSecret(question) {
      mustBeInteractive(interactive, question);
      return answered(await password({ message: question, ...asked }));
    },
    async confirm(question) {
      mustBeInteractive(interactive, question);
      return answered(await confirm({ message: question, initialValue: false, ...asked }));
    },
  };
}

function mustBeInteractive(interactive: boolean, question: string): void {
  if (interactive) return;
  throw new MigrationError("bad-usage", `there is nobody to ask: ${question}`, {
    hint: "give the answer by an option, or run this in a terminal",
  });
}

function answered<T>(answer: T): Exclude<T, symbol> {
  if (isCancel(answer)) throw new Interrupted("SIGINT");
  return answer as Exclude<T, symbol>;
}
