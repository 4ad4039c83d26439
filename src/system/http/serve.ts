import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createServer as createPlainServer, type Server, type ServerResponse } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import { isIPv4, type Server as NetServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { MigrationError } from "../../errors.ts";
import { urlHost } from "../ip-address.ts";
import { type AnyRequest, type AnyResponse, Forwarder, type ForwardReply } from "./forward.ts";
import type { PemPair } from "./pem-pair.ts";

/** Web servers of this process. */
export interface WebServers {
  /** Listens on all endpoints; throws `target-unsuitable` naming the one that cannot be had, and listens on none then. */
  listen(options: ServeOptions): Promise<WebListener>;
}

interface ServeOptions {
  /** Without an address: all of this host, IPv4 and, where there is one, IPv6. */
  readonly endpoints: readonly { readonly address: string | undefined; readonly port: number }[];
  /** For HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3; undefined for HTTP/1.1 without encryption. */
  readonly tls: PemPair | undefined;
  /** Decides about a request before its body is read. Must not throw. */
  readonly handle: (request: WebRequest) => Reply;
  /** The reply when an upstream cannot be reached. */
  readonly unreachable: StaticReply;
  /** The reply to a request that comes back to this server when it is forwarded. */
  readonly loop: StaticReply;
}

export interface WebRequest {
  readonly method: string;
  /** As it came in the first line: a path with a query, an absolute URL, or "*". */
  readonly target: string;
  readonly authorization: string | undefined;
  readonly userAgent: string | undefined;
}

export type Reply =
  | StaticReply
  | ForwardReply
  | {
      readonly kind: "file";
      readonly folder: string;
      /** Below the folder, with "/" at the beginning, without "..". */
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
    };

export interface StaticReply {
  readonly kind: "reply";
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export interface WebListener {
  /** Where it listens, with the port that the system chose for 0. */
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
  /** For a renewed certificate: connections from now on use it. Throws when it is none. */
  setCertificate(tls: PemPair): void;
  /**
   * Takes no more requests, lets those in flight end for `milliseconds`, then closes their connections. Resolves to the
   * number of requests that were broken off so.
   */
  stop(milliseconds: number): Promise<number>;
}

/** Milliseconds until all headers of a request have come. */
const HEADERS_TIMEOUT = 20_000;
/** Milliseconds for a whole request with its body, as for a large upload over a slow line. */
const REQUEST_TIMEOUT = 15 * 60_000;
/** A body that nobody wants is read, so that the client gets to read the reply; up to here, in bytes and milliseconds. */
const DISCARDED_BYTES = 64 * 1024 * 1024;
const DISCARD_TIMEOUT = 30_000;
const MAX_CONNECTIONS = 10_000;

export const realWebServers: WebServers = {
  async listen({ endpoints, tls, handle, unreachable, loop }) {
    const always = (reply: StaticReply) => (request: AnyRequest, response: AnyResponse) => {
      send(request, response, reply);
    };
    const forwarder = new Forwarder({ unreachable: always(unreachable), loop: always(loop) });
    let inFlight = 0;
    const sessions = new Set<ServerHttp2Session>();
    const servers: (Server | Http2SecureServer)[] = [];
    const close = () => {
      for (const server of servers) server.close();
      forwarder.close();
    };
    try {
      for (const endpoint of endpoints) {
        const server = newServer(tls, (request, response) => {
          inFlight++;
          response.on("close", () => inFlight--);
          answer(request, response, handle, forwarder);
        });
        server.on("session", (session: ServerHttp2Session) => {
          sessions.add(session);
          session.on("close", () => sessions.delete(session));
        });
        // Linux has "::" take the port of IPv4 as well, which another endpoint may want.
        const ipv6Only = endpoints.some(
          ({ address, port }) => port === endpoint.port && isIPv4(address ?? ""),
        );
        await listenAt(server, { ...endpoint, ipv6Only });
        servers.push(server);
      }
    } catch (error) {
      close();
      throw error;
    }
    return {
      endpoints: servers.map((server) => {
        const { address, port } = server.address() as { address: string; port: number };
        return { address, port };
      }),
      setCertificate({ certificate, key }) {
        for (const server of servers)
          if ("setSecureContext" in server) server.setSecureContext({ cert: certificate, key });
      },
      async stop(milliseconds) {
        const closed = servers.map(
          (server) =>
            new Promise<void>((resolve) => {
              server.close(() => {
                resolve();
              });
            }),
        );
        // An HTTP/2 session that is closed still completes its streams.
        for (const session of sessions) session.close();
        for (const server of servers) if ("closeIdleConnections" in server) server.closeIdleConnections();
        let brokenOff = 0;
        const timer = setTimeout(() => {
          brokenOff = inFlight;
          for (const session of sessions) session.destroy();
          for (const server of servers) if ("closeAllConnections" in server) server.closeAllConnections();
        }, milliseconds);
        await Promise.all(closed);
        clearTimeout(timer);
        forwarder.close();
        return brokenOff;
      },
    };
  },
};

function newServer(
  tls: PemPair | undefined,
  handle: (request: AnyRequest, response: AnyResponse) => void,
): Server | Http2SecureServer {
  const limits = {
    headersTimeout: HEADERS_TIMEOUT,
    requestTimeout: REQUEST_TIMEOUT,
    keepAliveTimeout: 30_000,
  };
  const server = tls
    ? createSecureServer({
        cert: tls.certificate,
        key: tls.key,
        allowHTTP1: true,
        minVersion: "TLSv1.2",
        settings: { maxConcurrentStreams: 100 },
        http1Options: limits,
        ...limits,
      })
    : createPlainServer(limits);
  server.maxConnections = MAX_CONNECTIONS;
  server.on("request", handle);
  // A client that waits for leave to send its body gets the reply instead, or sends it on.
  server.on("checkContinue", handle);
  // Nobody is connected to another host through us. In HTTP/2 it is a stream that must be answered, not a connection.
  server.on("connect", (_request: unknown, to: Socket | Http2ServerResponse) => {
    if ("stream" in to) to.writeHead(405).end();
    else to.destroy();
  });
  server.on("clientError", refuseBadRequest);
  // What is no TLS, or a handshake that fails: the connection is closed, and others go on.
  server.on("tlsClientError", (_error: Error, socket: Socket) => socket.destroy());
  server.on("sessionError", () => undefined);
  return server;
}

const REFUSALS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** For what cannot be parsed as HTTP, has too long headers, or comes too slowly. */
export function refuseBadRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = REFUSALS[error.code ?? ""] ?? "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Throws `target-unsuitable`, which names the place and the reason. */
export async function listenAt(
  server: NetServer,
  {
    address,
    port,
    ipv6Only = false,
  }: { readonly address: string | undefined; readonly port: number; readonly ipv6Only?: boolean },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const place = address === undefined ? `port ${port}` : `${urlHost(address)}:${port}`;
      const reason = error.code === undefined ? undefined : ({ kind: "errno", errno: error.code } as const);
      reject(
        new MigrationError("target-unsuitable", `cannot listen on ${place}: ${whyNot(error)}`, {
          hint:
            error.code === "EACCES"
              ? "ports below 1024 are root's; run it as root, or listen on a higher port behind another web server"
              : "ss -ltnp shows what listens there; stop it, or choose another port with --listen",
          reason,
          cause: error,
        }),
      );
    });
    server.listen({ ...(address === undefined ? {} : { host: address, ipv6Only }), port }, () => {
      server.removeAllListeners("error").on("error", () => undefined);
      resolve();
    });
  });
}

function whyNot({ code }: NodeJS.ErrnoException): string {
  switch (code) {
    case "EADDRINUSE":
      return "another program listens there";
    case "EACCES":
      return "this account may not";
    case "EADDRNOTAVAIL":
      return "this host does not have the address";
    case undefined:
      return "unknown error";
    default:
      return code;
  }
}

function answer(
  request: AnyRequest,
  response: AnyResponse,
  handle: ServeOptions["handle"],
  forwarder: Forwarder,
): void {
  // The connection may break at any moment, which is the client's right.
  request.on("error", () => undefined);
  response.on("error", () => undefined);
  const reply = handle({
    method: request.method ?? "GET",
    target: request.url ?? "/",
    authorization: request.headers.authorization,
    userAgent: request.headers["user-agent"],
  });
  switch (reply.kind) {
    case "reply":
      send(request, response, reply);
      return;
    case "file":
      void sendFile(request, response, reply);
      return;
    case "forward":
      void forwarder.forward(request, response, reply);
  }
}

function send(request: AnyRequest, response: AnyResponse, reply: StaticReply): void {
  const { status, body } = reply;
  if (response.headersSent || response.destroyed) return;
  (response as ServerResponse).writeHead(status, headersOf(reply));
  (response as ServerResponse).end(request.method === "HEAD" ? undefined : body);
  discard(request);
}

const allHeaders = new WeakMap<StaticReply, Readonly<Record<string, string>>>();

function headersOf(reply: StaticReply): Readonly<Record<string, string>> {
  const found = allHeaders.get(reply);
  if (found) return found;
  const { status, headers, body } = reply;
  const about =
    body === undefined
      ? status === 204
        ? {}
        : { "Content-Length": "0" }
      : { "Content-Type": "application/json", "Content-Length": `${Buffer.byteLength(body)}` };
  const all = { ...headers, ...about };
  allHeaders.set(reply, all);
  return all;
}

/** In HTTP/1.1 a body is announced (RFC 9112, section 6); in HTTP/2 it is not. */
const mayHaveBody = ({ httpVersionMajor, headers }: AnyRequest): boolean =>
  httpVersionMajor > 1 || "content-length" in headers || "transfer-encoding" in headers;

/** Reads what is left of the body, and breaks off what is too large or too slow. */
export function discard(request: AnyRequest): void {
  if (request.readableEnded || request.destroyed || !mayHaveBody(request)) return;
  let bytes = 0;
  const timer = setTimeout(() => request.destroy(), DISCARD_TIMEOUT).unref();
  request
    .on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > DISCARDED_BYTES) request.destroy();
    })
    .on("close", () => {
      clearTimeout(timer);
    })
    // Whoever read a part of it stopped its flow.
    .resume();
}

/** A regular file; anything else is a 404. */
async function sendFile(
  request: AnyRequest,
  response: AnyResponse,
  { folder, path, headers }: Extract<Reply, { kind: "file" }>,
): Promise<void> {
  const missing: StaticReply = { kind: "reply", status: 404, headers: {}, body: undefined };
  const file = (await openFile(join(folder, path))) ?? (await openFile(join(folder, path, "index.html")));
  if (!file) {
    send(request, response, missing);
    return;
  }
  try {
    const { size } = await file.stat();
    (response as ServerResponse).writeHead(200, { ...headers, "Content-Length": `${size}` });
    if (request.method === "HEAD") response.end();
    else await pipeline(createReadStream("", { fd: file, autoClose: false }), response);
    discard(request);
  } catch {
    response.destroy();
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  try {
    const file = await open(path, "r");
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch {
    // Whatever prevents reading it, the client learns only that there is nothing.
  }
  return undefined;
}
