import { type Readable, Writable } from "node:stream";
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
  /** Standard error is a terminal on which lines can be redrawn. */
  readonly drawable: boolean;
  /** Of what is written to standard error. */
  readonly colour: boolean;
  /** How standard output is written, which may go to a file while messages go to a terminal. */
  readonly results: { readonly columns: number; readonly colour: boolean };
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
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What a terminal can do by TERM: a "dumb" one, or one that nobody named, knows no codes that move the cursor or paint. */
const isPlain = ({ TERM: name = "" }: Streams["environment"]) => name === "" || name === "dumb";

/** FORCE_COLOR (force-color.org) is for a pipe whose reader understands colours; NO_COLOR (no-color.org) is stronger. */
function isPainted({ isTTY }: { isTTY?: boolean }, environment: Streams["environment"]): boolean {
  const { NO_COLOR: none = "", FORCE_COLOR: forced = "" } = environment;
  if (none !== "") return false;
  if (forced !== "") return forced !== "0" && forced !== "false";
  return isTTY === true && !isPlain(environment);
}

export function realTerminal({ stdin, stdout, stderr, environment }: Streams): Terminal {
  const closed = { out: false, err: false };
  // A reader that closes the pipe (`| head`) must not end a run that is writing a bundle.
  stdout.on("error", () => (closed.out = true));
  stderr.on("error", () => (closed.err = true));
  let written = Promise.resolve();
  const interactive = stdin.isTTY === true && stderr.isTTY === true;
  const drawable = stderr.isTTY === true && !isPlain(environment);
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
    drawable,
    colour: isPainted(stderr, environment),
    get results() {
      return { columns: stdout.columns ?? stderr.columns ?? 80, colour: isPainted(stdout, environment) };
    },
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
      if (!drawable) return askPlainly(`${question}: `, asked, { secret: true });
      const { isCancel, password } = await import("@clack/prompts");
      return answered(await password({ message: question, ...asked }), isCancel);
    },
    async confirm(question) {
      assertInteractive(interactive, question);
      if (!drawable) return /^y(es)?$/i.test(await askPlainly(`${question} [y/N] `, asked));
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

const CURSOR_CODE = /\u001b\[[\d;?]*[A-Za-z]/g;

/** One line, where the cursor cannot be moved. */
async function askPlainly(
  question: string,
  { input, output }: { readonly input: Readable; readonly output: Writable },
  { secret = false } = {},
): Promise<string> {
  const { createInterface } = await import("node:readline");
  // Echoes what is typed, without the codes that readline moves the cursor with; what is secret is echoed to nobody.
  const echo = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!secret) output.write(chunk.toString().replaceAll(CURSOR_CODE, ""));
      done();
    },
  });
  const lines = createInterface({ input, output: echo, terminal: true });
  // Now the terminal itself echoes no more.
  output.write(question);
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once("line", (line) => {
        resolve(line.trim());
      });
      lines.once("SIGINT", () => {
        reject(new Interrupted("SIGINT"));
      });
      lines.once("close", () => {
        reject(new Interrupted("SIGINT"));
      });
    });
  } finally {
    lines.close();
    if (secret) output.write("\n");
  }
}

function answered<T>(answer: T, isCancel: (answer: unknown) => boolean): Exclude<T, symbol> {
  if (isCancel(answer)) throw new Interrupted("SIGINT");
  return answer as Exclude<T, symbol>;
}
