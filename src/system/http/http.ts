import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";
import { createConnection, isIP } from "node:net";
import type { SecureContext } from "node:tls";
import { type Certificate, fetchCertificate, trustStore } from "./certificate.ts";
import { NoAnswer, toNoAnswer } from "./no-answer.ts";
import { socketIn } from "./unix-socket.ts";

/** HTTP requests to other servers, with a time limit, never following redirects. */
export interface Http {
  /**
   * Rejects with a `NoAnswer` when there is no complete response, and with the signal's reason. Any status counts as a
   * response; redirects are returned. `http+unix:` URLs name a unix socket (unix-socket.ts).
   */
  get(url: string, options?: HttpOptions): Promise<HttpAnswer>;
  /** Sends JSON. Rejects as `get` does; the server may have processed the request anyway. */
  put(url: string, body: JsonBody, options?: HttpOptions): Promise<HttpAnswer>;
  /** Sends an empty body. Rejects as `get` does; the server may have processed the request anyway. */
  post(url: string, options?: HttpOptions): Promise<HttpAnswer>;
  /** Any method, with JSON as its body if that is given. Rejects as `get` does; the server may have processed it anyway. */
  request(method: HttpMethod, url: string, options?: HttpOptions & { body?: JsonBody }): Promise<HttpAnswer>;
  /**
   * Streams a large response to `take`. The time limit applies to its beginning and to each wait for more data; there
   * is no `limit`. It and the body reject as `get` does; it also rejects with the error of `take`.
   */
  download<Taken>(
    url: string,
    options: Omit<HttpOptions, "limit">,
    take: (answer: HttpDownload) => Promise<Taken>,
  ): Promise<Taken>;
  /** Whether a TCP connection is accepted. Never rejects. */
  accepts(host: string, port: number, milliseconds: number): Promise<boolean>;
  /** The certificate of a server, trusted or not. Rejects as `get` does. */
  certificate(name: string, at: IpEndpoint, options?: TimeLimit): Promise<Certificate>;
}

type HttpMethod = "GET" | "HEAD" | "PUT" | "POST" | "DELETE" | "OPTIONS";

interface TimeLimit {
  /** Time-out for the complete response in milliseconds; 10,000 by default. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

interface HttpOptions extends TimeLimit {
  readonly headers?: Readonly<Record<string, string>>;
  /** The address to connect to, without DNS; the Host header and the name in TLS are those of the URL. */
  readonly at?: IpEndpoint;
  /** Maximum size of the body in bytes, 8 MiB by default: more is `too-large`. */
  readonly limit?: number;
  /** Accept any certificate: only for a server whose identity is proven in another way. */
  readonly unverified?: boolean;
}

/** An object that JSON.stringify supports. */
export type JsonBody = Readonly<Record<string, unknown>>;

interface IpEndpoint {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

export interface HttpDownload extends Omit<HttpAnswer, "body"> {
  readonly body: AsyncIterable<Uint8Array>;
}

export interface HttpConnectOptions {
  /** PEM certificates of additional trusted authorities. */
  readonly authorities?: readonly string[];
  /** Maps a port to the one to connect to; the Host header is not changed. */
  readonly portFor?: (port: number) => number;
}

const TIMEOUT = 10_000;
const LIMIT = 8 * 1024 * 1024;

/** Http over real sockets. */
export function httpOver({ authorities = [], portFor = (port) => port }: HttpConnectOptions = {}): Http {
  const trust = trustStore(authorities);
  const questionFor = (address: string, method: HttpMethod, options: HttpOptions): HttpRequest => {
    const url = URL.parse(address);
    const socket = url ? socketIn(url) : undefined;
    if (url && socket !== undefined) return { ...options, url, method, trust, at: { socket } };
    if (url?.protocol !== "https:" && url?.protocol !== "http:")
      throw new NoAnswer("broken", "this is not an HTTP URL");
    const usual = url.protocol === "https:" ? 443 : 80;
    const port = url.port === "" ? usual : Number(url.port);
    const place = options.at ?? { address: withoutBrackets(url.hostname), port };
    return { ...options, url, method, trust, at: { ...place, port: portFor(place.port) } };
  };
  return {
    get: async (url, options = {}) => exchange(questionFor(url, "GET", options)),
    put: async (url, body, options = {}) => exchange({ ...questionFor(url, "PUT", options), body }),
    post: async (url, options = {}) => exchange(questionFor(url, "POST", options)),
    request: async (method, url, { body, ...options } = {}) =>
      exchange({ ...questionFor(url, method, options), ...(body ? { body } : {}) }),
    download: async (url, options, take) => downloadFrom(questionFor(url, "GET", options), take),

    certificate: (name, { address, port }, { timeout = TIMEOUT, signal } = {}) =>
      fetchCertificate(name, { address, port: portFor(port) }, { timeout, signal, trust }),

    accepts: (host, port, milliseconds) =>
      new Promise((resolve) => {
        const socket = createConnection({ host, port: portFor(port) });
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
      }),
  };
}

export const realHttp: Http = httpOver();

interface HttpRequest extends Omit<HttpOptions, "at"> {
  readonly url: URL;
  readonly method: HttpMethod;
  readonly at: IpEndpoint | { readonly socket: string };
  readonly trust: SecureContext | undefined;
  readonly body?: JsonBody;
}

async function exchange(question: HttpRequest): Promise<HttpAnswer> {
  const { timeout = TIMEOUT, limit = LIMIT, signal } = question;
  signal?.throwIfAborted();
  const time = AbortSignal.timeout(timeout);
  const { request, answered } = send(question, signal ? AbortSignal.any([time, signal]) : time);
  try {
    const incoming = await answered;
    return {
      status: incoming.statusCode ?? 0,
      headers: headersOf(incoming),
      body: await bodyOf(incoming, limit),
    };
  } catch (error) {
    signal?.throwIfAborted();
    throw time.aborted
      ? new NoAnswer("timed-out", `no complete response within ${timeout / 1000} s`)
      : toNoAnswer(error);
  } finally {
    request.destroy();
  }
}

async function downloadFrom<Taken>(
  question: HttpRequest,
  take: (answer: HttpDownload) => Promise<Taken>,
): Promise<Taken> {
  const { timeout = TIMEOUT, signal } = question;
  signal?.throwIfAborted();
  const time = new AbortController();
  const { request, answered } = send(question, signal ? AbortSignal.any([time.signal, signal]) : time.signal);
  let timer: NodeJS.Timeout | undefined;
  // Only waiting counts, not the time that the consumer needs.
  const wait = (waiting: boolean) => {
    clearTimeout(timer);
    if (!waiting) return;
    timer = setTimeout(() => {
      time.abort();
    }, timeout);
  };
  const fault = (error: unknown) => {
    signal?.throwIfAborted();
    return time.signal.aborted
      ? new NoAnswer("timed-out", `no more data for ${timeout / 1000} s`)
      : toNoAnswer(error);
  };
  try {
    wait(true);
    const incoming = await answered.catch((error: unknown) => {
      throw fault(error);
    });
    wait(false);
    const body = async function* () {
      try {
        wait(true);
        for await (const chunk of incoming as AsyncIterable<Uint8Array>) {
          wait(false);
          yield chunk;
          wait(true);
        }
      } catch (error) {
        throw fault(error);
      } finally {
        wait(false);
      }
    };
    return await take({ status: incoming.statusCode ?? 0, headers: headersOf(incoming), body: body() });
  } finally {
    wait(false);
    request.destroy();
  }
}

function send({ url, method, at, headers = {}, trust, body, unverified }: HttpRequest, signal: AbortSignal) {
  const secure = url.protocol === "https:";
  const name = withoutBrackets(url.hostname);
  const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const about = sent && { "content-type": "application/json", "content-length": sent.length };
  const request = (secure ? requestSecure : requestPlain)({
    ...("socket" in at ? { socketPath: at.socket } : { host: at.address, port: at.port }),
    path: `${url.pathname}${url.search}`,
    method,
    headers: { host: "socket" in at ? "localhost" : url.host, ...about, ...headers },
    // A separate connection for each request, because pooled connections may lead to another address.
    agent: false,
    signal,
    // An IP address is never sent as the name of a server (RFC 6066, section 3).
    ...(secure && trust ? { secureContext: trust } : {}),
    ...(secure ? { servername: isIP(name) ? "" : name } : {}),
    ...(secure && unverified ? { rejectUnauthorized: false } : {}),
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.on("response", resolve).on("error", reject).end(sent);
  });
  return { request, answered };
}

async function bodyOf(incoming: IncomingMessage, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > limit) throw new NoAnswer("too-large", `the response has more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    headers.append(rawHeaders[index]!, rawHeaders[index + 1]!);
  return headers;
}

const withoutBrackets = (host: string) => host.replace(/^\[(.*)\]$/, "$1");
