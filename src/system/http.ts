import { createConnection } from "node:net";

/** Small questions to a homeserver: always with a time limit, never following a redirect to somewhere else. */
export interface Http {
  /** Rejects only when there was no answer at all; any status is an answer. */
  get(url: string, options?: HttpOptions): Promise<HttpAnswer>;
  /** Whether something accepts connections there. Never rejects. */
  accepts(host: string, port: number, milliseconds: number): Promise<boolean>;
}

export interface HttpOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds for the whole answer; 10,000 when left out. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

export const realHttp: Http = {
  async get(url, { headers = {}, timeout = 10_000, signal } = {}) {
    const limits = [AbortSignal.timeout(timeout), ...(signal ? [signal] : [])];
    const answer = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.any(limits) });
    return {
      status: answer.status,
      headers: answer.headers,
      body: new Uint8Array(await answer.arrayBuffer()),
    };
  },

  accepts(host, port, milliseconds) {
    return new Promise((resolve) => {
      const socket = createConnection({ host, port });
      const done = (answer: boolean) => {
        socket.destroy();
        resolve(answer);
      };
      socket.setTimeout(milliseconds, () => {
        done(false);
      });
      socket.on("connect", () => {
        done(true);
      });
      socket.on("error", () => {
        done(false);
      });
    });
  },
};
