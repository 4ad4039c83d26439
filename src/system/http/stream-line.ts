import {
  Agent as PlainAgent,
  type ClientRequest,
  type IncomingMessage,
  request as requestPlain,
} from "node:http";
import { Agent as SecureAgent, request as requestSecure } from "node:https";
import { isIP } from "node:net";
import type { Bytes } from "../bytes.ts";
import { trustStore } from "./certificate.ts";
import { toNoAnswer } from "./no-answer.ts";

/** Requests with large bodies to one server. */
export interface StreamLines {
  /** Connects with the first request. */
  to(origin: string, options: StreamLineOptions): StreamLine;
}

interface StreamLineOptions {
  /** PEM certificates of additional trusted authorities. */
  readonly authorities: readonly string[];
}

/** One connection, which is kept between requests. One request at a time. */
export interface StreamLine {
  /**
   * Resolves when the head of the reply is there. A body is sent only when the server gives leave to, or after a while. Rejects with
   * a `NoAnswer`, with the signal's reason, and with what the body throws. There is no time limit but the signal.
   */
  request(order: StreamOrder): Promise<StreamAnswer>;
  /** Ends the connection and every request on it. May be called twice. */
  close(): void;
}

export interface StreamOrder {
  readonly method: string;
  /** With "/" at the beginning. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: {
    readonly length: number;
    /** Each chunk is used until the next one is asked for. */
    readonly bytes: Bytes;
    /** So many more bytes were handed over to the system. */
    readonly sent: (bytes: number) => void;
  };
  readonly signal: AbortSignal;
}

export interface StreamAnswer {
  readonly status: number;
  /** By its name in lower case. */
  header(name: string): string | undefined;
  /** To be read to its end before the next request. Throws as `request` does. */
  readonly body: Bytes;
}

/** Milliseconds to wait for leave to send a body: servers that know nothing of it are silent. */
const LEAVE = 1_000;

export const realStreamLines: StreamLines = {
  to(origin, { authorities }) {
    const { protocol, hostname, port } = new URL(origin);
    const secure = protocol === "https:";
    const agent = new (secure ? SecureAgent : PlainAgent)({ keepAlive: true, maxSockets: 1 });
    const trust = trustStore(authorities);
    const name = hostname.replace(/^\[(.*)\]$/, "$1");
    return {
      async request({ method, path, headers, body, signal }) {
        signal.throwIfAborted();
        const about = body && { "Content-Length": `${body.length}`, Expect: "100-continue" };
        const request = (secure ? requestSecure : requestPlain)({
          host: name,
          port: port === "" ? (secure ? 443 : 80) : Number(port),
          method,
          path,
          headers: { ...headers, ...about },
          agent,
          signal,
          ...(secure && trust ? { secureContext: trust } : {}),
          ...(secure ? { servername: isIP(name) ? "" : name } : {}),
        });
        const answered = new Promise<IncomingMessage>((resolve, reject) => {
          request.on("response", resolve).on("error", reject);
        });
        // It is awaited below; until then a failure is no unhandled one.
        answered.catch(() => undefined);
        try {
          if (body) await sendBody(request, body, answered);
          else request.end();
          return answerOf(await answered, request, signal);
        } catch (error) {
          request.destroy();
          signal.throwIfAborted();
          throw isSystemError(error) ? toNoAnswer(error) : error;
        }
      },
      close: () => {
        agent.destroy();
      },
    };
  },
};

/** Errors of sockets, of TLS and of HTTP have a code; those of the body's own source are passed on. */
const isSystemError = (error: unknown) =>
  error instanceof AggregateError ||
  (error instanceof Error &&
    /^(E|HPE_|CERT_|UNABLE_|DEPTH_|SELF_)/.test((error as NodeJS.ErrnoException).code ?? ""));

/** Ends early when the server replies before it has read everything. */
async function sendBody(
  request: ClientRequest,
  { bytes, sent }: NonNullable<StreamOrder["body"]>,
  answered: Promise<IncomingMessage>,
): Promise<void> {
  const state = { early: false };
  const end = () => {
    state.early = true;
  };
  const over = answered.then(end, end);
  await Promise.race([over, leave(request)]);
  for await (const chunk of bytes) {
    if (state.early) break;
    const written = new Promise<boolean>((resolve) => {
      request.write(chunk, (error) => {
        resolve(!error);
      });
    });
    // A server that refuses stops reading, so the write may never end.
    const whole = await Promise.race([written, over.then(() => false)]);
    if (whole) sent(chunk.length);
    else await answered;
  }
  // After an early reply the rest is not sent, and the connection is not used again.
  if (!state.early) request.end();
}

function leave(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, LEAVE);
    request.once("continue", () => {
      clearTimeout(timer);
      resolve();
    });
    request.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    request.flushHeaders();
  });
}

function answerOf(incoming: IncomingMessage, request: ClientRequest, signal: AbortSignal): StreamAnswer {
  return {
    status: incoming.statusCode ?? 0,
    header: (name) => {
      const value = incoming.headers[name];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    body: (async function* () {
      try {
        yield* incoming as AsyncIterable<Uint8Array>;
      } catch (error) {
        signal.throwIfAborted();
        throw toNoAnswer(error);
      } finally {
        // Half a request is on this connection: the next one needs another.
        if (!request.writableEnded) request.destroy();
      }
    })(),
  };
}
