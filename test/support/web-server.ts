import { createServer as createPlain, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecure } from "node:https";
import { Readable } from "node:stream";
import { createSecureContext } from "node:tls";
import type { KeyAndCertificate } from "./test-authority.ts";

interface Page {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** A page; or a server that takes the question and never answers, or breaks off in the middle. */
export type WebAnswer = Page | "hang" | "break";

export interface WebOptions {
  readonly address?: string;
  /** A free one when left out. */
  readonly port?: number;
  /** By the name that is asked for in TLS; "" for who gives none, or another. Plain HTTP when left out. */
  readonly certificates?: Readonly<Record<string, KeyAndCertificate>>;
  /** Asked with the Host header, the path and the method, as they came. */
  readonly answer: (host: string, path: string, method: string) => WebAnswer | undefined;
}

/** A web server on loopback. */
export interface WebServer extends AsyncDisposable {
  /** Bytes that were handed to the network for one connection, the most of all. */
  readonly mostSent: () => number;
  readonly port: number;
  /** "name in TLS, Host header, path" of each request. */
  readonly asked: string[];
}

function* slicesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

export async function startWeb({ address, port, certificates, answer }: WebOptions): Promise<WebServer> {
  const asked: string[] = [];
  let mostSent = 0;
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const { host = "" } = request.headers;
    const path = request.url ?? "";
    const name = (request.socket as { servername?: string | false }).servername;
    response.on("close", () => {
      mostSent = Math.max(mostSent, request.socket.bytesWritten);
    });
    asked.push(`${typeof name === "string" ? name : "-"} ${host} ${path}`);
    const page = answer(host, path, request.method ?? "") ?? { status: 404, body: "no such page" };
    if (page === "hang") return;
    if (page === "break") {
      response.writeHead(200, { "content-length": "1000" });
      response.write("half", () => request.socket.destroy());
      return;
    }
    response.writeHead(page.status ?? 200, page.headers);
    // Only as fast as it is read.
    if (page.body instanceof Uint8Array) Readable.from(slicesOf(page.body)).pipe(response);
    else response.end(page.body ?? "");
  };
  const server = certificates
    ? createSecure(
        {
          ...certificates[""],
          SNICallback(name, done) {
            const own = certificates[name] ?? certificates[""];
            done(null, own && createSecureContext(own));
          },
        },
        handle,
      )
    : createPlain(handle);
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject).listen(port ?? 0, address ?? "127.0.0.1", resolve);
  });
  return {
    asked,
    mostSent: () => mostSent,
    port: (server.address() as { port: number }).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
