import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Bytes } from "../system/bytes.ts";
import type { JsonBody } from "../system/http/http.ts";
import { type StartedPeer, startPeer } from "../system/programs/peer.ts";
import type { ProgramCall } from "../system/programs/programs.ts";
import type { System } from "../system/system.ts";

type Host = Pick<System, "programs" | "machine" | "http">;

/** What rclone refused to do, in its own words. */
export class RcloneRefusal extends Error {
  /** The HTTP status of its answer: 404 for a file or folder that is not there. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }

  get isMissing(): boolean {
    return this.status === 404;
  }
}

/**
 * Ends rclone when this program ends, however it does: then the pipe that the shell's `cat` reads is closed. Standard error joins
 * standard output, all of which is read.
 */
const SUPERVISED =
  'exec 3<&0; "$0" "$@" 2>&1 < /dev/null & child=$!; { cat <&3; kill -9 $child; } > /dev/null 2>&1 & exec 3<&-; wait $child';

/** Milliseconds: calls have no time limit of their own, as a transfer may take days; their signal ends them. */
const NO_LIMIT = 2_000_000_000;

/** Characters of its log that are kept. */
const LOG_END = 4000;

const refusal = z.object({ error: z.string() });

/**
 * A running `rclone rcd`: its remote control, on loopback, with a password that nobody else knows (rclone.org/rc). To start rclone and
 * to connect for each operation takes longer than to send a small part.
 */
export class RcloneDaemon {
  readonly #peer: StartedPeer;
  readonly #host: Host;
  readonly #authorization: string;
  /** Undefined when it ended before it said where it listens. */
  readonly #url: Promise<string | undefined>;
  #log = "";

  private constructor(peer: StartedPeer, authorization: string, host: Host) {
    this.#peer = peer;
    this.#host = host;
    this.#authorization = authorization;
    this.#url = new Promise((resolve) => {
      void this.#read(peer.input, resolve);
    });
  }

  /** `options` are of every operation. Throws `program-missing`, `program-failed`, and the signal's reason. */
  static async start(
    { args: options, ...call }: ProgramCall,
    host: Host,
    signal: AbortSignal,
  ): Promise<RcloneDaemon> {
    signal.throwIfAborted();
    if ((await host.programs.find(call.name)) === undefined)
      throw new MigrationError("program-missing", "rclone is not installed", {
        hint: "install it: apt-get install rclone",
      });
    const user = "synlift";
    const password = Buffer.from(host.machine.random(24)).toString("hex");
    const args = ["rcd", "--rc-addr", "127.0.0.1:0", "--use-json-log", ...options];
    const peer = await startPeer(
      {
        ...call,
        name: "sh",
        args: ["-c", SUPERVISED, call.name, ...args],
        // Not in its arguments, which every user of the host can read.
        env: { RCLONE_RC_USER: user, RCLONE_RC_PASS: password, RCLONE_RC_NO_AUTH: "false" },
      },
      host.programs,
    );
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    const daemon = new RcloneDaemon(peer, authorization, host);
    const stop = () => void daemon.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      const url = await daemon.#url;
      signal.throwIfAborted();
      if (url !== undefined) return daemon;
      await daemon.close();
      throw new MigrationError("program-failed", `rclone does not start: ${daemon.#log.trim()}`, {
        hint: "run rclone rcd by hand, and correct the error that it shows",
      });
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /**
   * Calls a function of its remote control. Throws `RcloneRefusal`, `transfer-failed` when rclone has ended, and the signal's
   * reason.
   */
  async call(path: string, body: JsonBody, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted();
    const url = (await this.#url) ?? "";
    const answer = await this.#host.http
      .request("POST", `${url}${path}`, {
        body,
        headers: { authorization: this.#authorization },
        signal,
        timeout: NO_LIMIT,
        limit: ANSWER_LIMIT,
      })
      .catch((error: unknown) => {
        signal.throwIfAborted();
        throw new MigrationError("transfer-failed", "rclone has ended in the middle of its work", {
          hint: "check the kernel log for a lack of memory, then run the same command again",
          cause: error,
        });
      });
    const said: unknown = JSON.parse(new TextDecoder().decode(answer.body));
    if (answer.status === 200) return said;
    throw new RcloneRefusal(answer.status, refusal.parse(said).error);
  }

  /** May be called twice, and while a call is running. */
  async close(): Promise<void> {
    await this.#peer.close();
  }

  async #read(input: Bytes, listening: (url: string | undefined) => void): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of input) {
        this.#log = (this.#log + decoder.decode(chunk, { stream: true })).slice(-LOG_END);
        const url = /http:\/\/127\.0\.0\.1:\d+\//.exec(this.#log)?.[0];
        if (url !== undefined) listening(url);
      }
    } catch {
      // It has ended.
    }
    listening(undefined);
  }
}

/** Bytes of an answer: a folder with 20,000 files is listed in a tenth of it. */
const ANSWER_LIMIT = 64 * 1024 * 1024;
