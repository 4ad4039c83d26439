import type { Machine } from "../machine.ts";
import type { ProgramCall, Programs } from "./call.ts";
import { type StartedPeer, startPeer } from "./peer.ts";

/** Milliseconds until a host must have answered the first command: one that runs something else may say nothing for ever. */
const PATIENCE_MS = 60_000;

/** Characters of a line that are kept. */
const LONGEST_LINE = 4096;

/** A POSIX shell, usually on another host, that stays open: a further command costs no further connection. */
export class RemoteShell {
  readonly #peer: StartedPeer;
  /** In front of each answer, as a login may print what it likes. */
  readonly #mark: string;
  #count = 0;
  #answer: ((text: string | undefined) => void) | undefined;
  #ended = false;

  private constructor(peer: StartedPeer, mark: string) {
    this.#peer = peer;
    this.#mark = mark;
  }

  /**
   * `call` starts `sh` and must pass it this program's input. Undefined when no shell answers. Throws `program-missing`, and the signal's
   * reason.
   */
  static async open(
    call: ProgramCall,
    { programs, machine }: { readonly programs: Programs; readonly machine: Pick<Machine, "uuid" | "wait"> },
    signal: AbortSignal,
  ): Promise<RemoteShell | undefined> {
    signal.throwIfAborted();
    const shell = new RemoteShell(await startPeer(call, programs), `synlift-${machine.uuid()}`);
    void shell.#receive();
    const answered = new AbortController();
    const late = machine.wait(PATIENCE_MS, answered.signal).then(
      () => undefined,
      () => undefined,
    );
    try {
      const hello = await Promise.race([shell.ask("echo ready", signal), late]);
      if (hello === "ready") return shell;
      await shell.close();
      return undefined;
    } finally {
      answered.abort();
    }
  }

  /**
   * The first line that a command prints, without standard error; undefined when the shell is gone. One command at a time. Its standard
   * input is empty. When the signal is aborted the shell ends, and the reason is thrown.
   */
  async ask(command: string, signal: AbortSignal): Promise<string | undefined> {
    signal.throwIfAborted();
    if (this.#ended) return undefined;
    const mark = `${this.#mark}-${(this.#count += 1)} `;
    const stop = () => void this.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      const answer = new Promise<string | undefined>((resolve) => {
        this.#answer = (line) => {
          if (line === undefined) resolve(undefined);
          else if (line.startsWith(mark)) resolve(line.slice(mark.length));
        };
      });
      await this.#peer.write(
        Buffer.from(`printf '%s%s\\n' '${mark}' "$({ ${command}\n} </dev/null 2>/dev/null)"\n`),
      );
      const line = await answer;
      signal.throwIfAborted();
      return line;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#answer = undefined;
    }
  }

  /** May be called twice, and while a command is running. */
  async close(): Promise<void> {
    this.#end();
    this.#peer.kill();
    await this.#peer.close();
  }

  async #receive(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const chunk of this.#peer.input) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop()!.slice(0, LONGEST_LINE);
        for (const line of lines) this.#answer?.(line);
      }
    } catch {
      // It is gone, which is all that matters.
    }
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#answer?.(undefined);
  }
}
