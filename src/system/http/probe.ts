import { type ClientRequest, type IncomingHttpHeaders, request as requestPlain } from "node:http";
import { connect } from "node:http2";
import { request as requestSecure } from "node:https";
import { isIP } from "node:net";
import { type ConnectionOptions, getCACertificates } from "node:tls";
import { bareHost } from "../ip-address.ts";
import { NoAnswer, toNoAnswer } from "./no-answer.ts";

/** Requests as browsers and other clients send them, to look at a web server's answers closely. */
export interface Prober {
  /** Any status is an answer. Rejects with a `NoAnswer`, and with the signal's reason. */
  ask(question: ProbeQuestion): Promise<ProbeAnswer>;
}

export interface ProbeQuestion {
  readonly url: string;
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes of a body; none when left out. */
  readonly bodyBytes?: number;
  /** Default: 1.1. HTTP/2 needs TLS. */
  readonly http?: "1.1" | "2";
  /** The newest version of TLS that is offered. */
  readonly newestTls?: "TLSv1.2" | undefined;
  /** PEM text of additional authorities. */
  readonly authorities?: string | undefined;
  readonly signal?: AbortSignal;
}

export interface ProbeAnswer {
  readonly status: number;
  /** Names in lower case; a header that came twice is there twice. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

const TIMEOUT = 15_000;
/** Bytes of a body that are kept. */
const LIMIT = 256 * 1024;
/** Bytes of a body that are sent at once. */
const PIECE = 64 * 1024;
/** Milliseconds between two pieces. */
const PAUSE = 30;

export const realProber: Prober = {
  async ask(question) {
    const { signal } = question;
    signal?.throwIfAborted();
    const time = AbortSignal.timeout(TIMEOUT);
    const limit = signal ? AbortSignal.any([time, signal]) : time;
    try {
      return question.http === "2" ? await askHttp2(question, limit) : await askHttp1(question, limit);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof NoAnswer) throw error;
      throw time.aborted
        ? new NoAnswer("timed-out", `no answer within ${TIMEOUT / 1000} s`)
        : toNoAnswer(error);
    }
  },
};

const tlsOptions = ({ newestTls, authorities }: ProbeQuestion, host: string): ConnectionOptions => ({
  ...(newestTls === undefined ? {} : { maxVersion: newestTls }),
  ...(authorities === undefined ? {} : { ca: [...getCACertificates("default"), authorities] }),
  ...(isIP(host) ? {} : { servername: host }),
});

function askHttp1(question: ProbeQuestion, signal: AbortSignal): Promise<ProbeAnswer> {
  const { url, method, headers = {}, bodyBytes } = question;
  const { protocol, hostname } = new URL(url);
  const host = bareHost(hostname);
  const length = bodyBytes === undefined ? {} : { "Content-Length": `${bodyBytes}` };
  return new Promise((resolve, reject) => {
    let answered = false;
    const sent = (protocol === "https:" ? requestSecure : requestPlain)(url, {
      method,
      agent: false,
      signal,
      headers: { ...headers, ...length },
      ...(protocol === "https:" ? tlsOptions(question, host) : {}),
    });
    sent.on("response", (incoming) => {
      answered = true;
      const pairs: [string, string][] = [];
      for (let index = 0; index + 1 < incoming.rawHeaders.length; index += 2)
        pairs.push([incoming.rawHeaders[index]!.toLowerCase(), incoming.rawHeaders[index + 1]!]);
      textOf(incoming)
        .then((body) => {
          resolve({ status: incoming.statusCode ?? 0, headers: pairs, body });
        }, reject)
        .finally(() => sent.destroy());
    });
    // A server may answer before it has read a large body, and close the connection then.
    sent.on("error", (error) => {
      if (!answered) reject(error);
    });
    void sendBody(sent, bodyBytes ?? 0, () => answered || sent.destroyed);
  });
}

/**
 * In pieces, with time between them for an answer to come: of a connection that the server closes while much is still being sent, the
 * answer would be lost (RFC 9112, section 9.6).
 */
async function sendBody(sent: ClientRequest, bytes: number, isOver: () => boolean): Promise<void> {
  sent.flushHeaders();
  for (let left = bytes; left > 0 && !isOver(); left -= PIECE) {
    sent.write(Buffer.alloc(Math.min(left, PIECE), "x"));
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  if (!isOver()) sent.end();
}

async function askHttp2(question: ProbeQuestion, signal: AbortSignal): Promise<ProbeAnswer> {
  const { url, method, headers = {} } = question;
  const { origin, pathname, search, hostname } = new URL(url);
  const session = connect(origin, tlsOptions(question, bareHost(hostname)));
  const stop = () => {
    session.destroy(new Error("stopped"));
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await new Promise<ProbeAnswer>((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({ ":method": method, ":path": `${pathname}${search}`, ...headers });
      stream.on("error", reject);
      stream.on("response", (received) => {
        const { ":status": status = 0, ...rest } = received as IncomingHttpHeaders & { ":status"?: number };
        const pairs = Object.entries(rest).flatMap(([name, value]) =>
          [value].flat().map((one): [string, string] => [name, one ?? ""]),
        );
        textOf(stream).then((body) => {
          resolve({ status, headers: pairs, body });
        }, reject);
      });
      stream.end();
    });
  } finally {
    signal.removeEventListener("abort", stop);
    session.destroy();
  }
}

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > LIMIT) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
