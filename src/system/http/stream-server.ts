import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type Server as SecureServer } from "node:https";
import type { Socket } from "node:net";
import type { Bytes } from "../bytes.ts";
import type { PemPair } from "./pem-pair.ts";
import { discard, listenAt, refuseBadRequest } from "./serve.ts";

/** Web servers of this process whose requests or replies have large bodies. HTTP/1.1. */
export interface StreamServers {
  /** Throws `target-unsuitable` when it cannot listen there. */
  listen(options: StreamServeOptions): Promise<StreamListener>;
}

interface StreamServeOptions {
  /** Without an address: all of this host. */
  readonly endpoint: { readonly address: string | undefined; readonly port: number };
  /** For TLS 1.2 and 1.3; undefined without encryption. */
  readonly tls: PemPair | undefined;
  /** Open at a time: further ones are closed at once. */
  readonly connections: number;
  /** Milliseconds in which a body has to bring `SLOWEST` bytes a second on average, and a reply has to be read on. */
  readonly silence: number;
  /** Must not reject: then the connection is closed. */
  readonly handle: (request: StreamRequest) => Promise<StreamReply>;
}

export interface StreamRequest {
  readonly method: string;
  /** As it came in the first line: a path with a query, an absolute URL, or "*". */
  readonly target: string;
  /** By its name in lower case. A header that came twice is joined with ", ". */
  header(name: string): string | undefined;
  /** Can be read once. A client that waits for leave to send gets it then. Throws `BrokenBody`. */
  readonly body: Bytes;
  /** Aborted when the connection ends before the reply was sent, and when the server stops. */
  readonly signal: AbortSignal;
}

export interface StreamReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | Bytes;
}

export interface StreamListener {
  readonly address: string;
  readonly port: number;
  /** For a renewed certificate: connections from now on use it. Throws when it is none. */
  setCertificate(tls: PemPair): void;
  /** Takes no more requests, asks those in flight to end, and closes their connections after `milliseconds`. */
  stop(milliseconds: number): Promise<void>;
}

/** Why a body is not complete: the connection ended, it was too slow, or the server stops. */
export class BrokenBody extends Error {
  readonly why: "ended" | "slow" | "stopping";

  constructor(why: BrokenBody["why"]) {
    super(`the body of a request is not complete: ${why}`);
    this.name = "BrokenBody";
    this.why = why;
  }
}

/** Bytes a second of a body, at least. */
const SLOWEST = 1024;
/** Milliseconds until all headers of a request have come. */
const HEADERS_TIMEOUT = 20_000;
/** Milliseconds between two looks for connections that are too slow with their headers. */
const LOOK = 2_000;

export const realStreamServers: StreamServers = {
  async listen({ endpoint, tls, connections, silence, handle }) {
    const stopping = new AbortController();
    const limits = {
      headersTimeout: Math.min(HEADERS_TIMEOUT, silence),
      // A body may take days; `silence` is its limit.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(LOOK, silence),
      keepAliveTimeout: 30_000,
    };
    const server: Server | SecureServer = tls
      ? createSecureServer({ cert: tls.certificate, key: tls.key, minVersion: "TLSv1.2", ...limits })
      : createServer(limits);
    server.maxConnections = connections;
    // The disk may be slow too, so this is longer than the limit of what a client may take.
    server.setTimeout(silence * 2 + 60_000);
    const answer = (request: IncomingMessage, response: ServerResponse, expects: boolean) => {
      void reply(request, response, { expects, silence, handle, stopping: stopping.signal });
    };
    server.on("request", (request, response) => {
      answer(request, response, false);
    });
    server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      answer(request, response, true);
    });
    server.on("clientError", refuseBadRequest);
    server.on("tlsClientError", (_error: Error, socket: Socket) => socket.destroy());
    await listenAt(server, endpoint);
    const { address, port } = server.address() as { address: string; port: number };
    return {
      address,
      port,
      setCertificate({ certificate, key }) {
        if ("setSecureContext" in server) server.setSecureContext({ cert: certificate, key });
      },
      async stop(milliseconds) {
        const closed = new Promise<void>((resolve) => {
          server.close(() => {
            resolve();
          });
        });
        stopping.abort(new BrokenBody("stopping"));
        server.closeIdleConnections();
        const timer = setTimeout(() => {
          server.closeAllConnections();
        }, milliseconds);
        await closed;
        clearTimeout(timer);
      },
    };
  },
};

interface Order extends Pick<StreamServeOptions, "silence" | "handle"> {
  readonly expects: boolean;
  readonly stopping: AbortSignal;
}

async function reply(
  request: IncomingMessage,
  response: ServerResponse,
  { expects, silence, handle, stopping }: Order,
): Promise<void> {
  // The connection may break at any moment, which is the client's right.
  request.on("error", () => undefined);
  response.on("error", () => undefined);
  const gone = new AbortController();
  response.on("close", () => {
    gone.abort(new BrokenBody("ended"));
  });
  const signal = AbortSignal.any([gone.signal, stopping]);
  const body = bodyOf(request, silence, stopping, () => {
    if (expects) response.writeContinue();
  });
  try {
    const answer = await handle({
      method: request.method ?? "GET",
      target: request.url ?? "/",
      header: (name) => {
        const value = request.headers[name];
        return Array.isArray(value) ? value.join(", ") : value;
      },
      body,
      signal,
    });
    if (response.destroyed) return;
    // What is left of a body would be taken for the next request.
    const closes = !request.complete || stopping.aborted ? { Connection: "close" } : {};
    await send(request, response, { ...answer, headers: { ...answer.headers, ...closes } });
    discard(request);
  } catch {
    response.destroy();
  }
}

async function* bodyOf(
  request: IncomingMessage,
  silence: number,
  stopping: AbortSignal,
  begin: () => void,
): Bytes {
  begin();
  const broken: { why: BrokenBody["why"] } = { why: "ended" };
  const breakOff = (why: BrokenBody["why"]) => {
    broken.why = why;
    request.destroy();
  };
  const stop = () => {
    breakOff("stopping");
  };
  // The time for which the next bytes were waited for, and what came in it.
  let [waited, came] = [0, 0];
  const next = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  if (stopping.aborted) throw new BrokenBody("stopping");
  stopping.addEventListener("abort", stop, { once: true });
  try {
    for (;;) {
      const since = performance.now();
      const timer = setTimeout(() => {
        breakOff("slow");
      }, silence - waited);
      let chunk: IteratorResult<Buffer>;
      try {
        chunk = await next.next();
      } catch {
        throw new BrokenBody(broken.why);
      } finally {
        clearTimeout(timer);
      }
      if (chunk.done === true) break;
      waited += performance.now() - since;
      came += chunk.value.length;
      if (came >= (SLOWEST * silence) / 1000) [waited, came] = [0, 0];
      yield chunk.value;
    }
    if (!request.complete) throw new BrokenBody(broken.why);
  } finally {
    stopping.removeEventListener("abort", stop);
    await next.return?.();
  }
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: StreamReply,
) {
  const whole = typeof body === "string" || body instanceof Uint8Array || body === undefined;
  const length = typeof body === "string" ? Buffer.byteLength(body) : whole ? (body?.length ?? 0) : undefined;
  // A HEAD reply may tell the length of what a GET would send.
  const told = status === 204 || "Content-Length" in headers || length === undefined;
  response.writeHead(status, { ...headers, ...(told ? {} : { "Content-Length": `${length}` }) });
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  if (whole) {
    response.end(body);
    return;
  }
  for await (const chunk of body)
    await new Promise<void>((resolve, reject) => {
      if (response.destroyed) reject(new BrokenBody("ended"));
      response.write(chunk, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  response.end();
}
