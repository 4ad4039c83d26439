import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** How one request to the server behind the proxy fails. */
export type Fault =
  /** The connection breaks after so many bytes of the body. */
  | { readonly breakAfter: number }
  /** The proxy answers itself. */
  | { readonly status: number; readonly code: string };

/** A proxy before a web server in which a test injects faults. `fault` is called for each request, in turn. */
export class FaultyProxy {
  readonly url: string;
  readonly requests: {
    readonly method: string;
    readonly path: string;
    readonly range: string | undefined;
  }[] = [];
  fault: (request: IncomingMessage) => Fault | undefined = () => undefined;
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async to(target: string): Promise<FaultyProxy> {
    let proxy: FaultyProxy | undefined = undefined;
    const server = createServer((incoming, answer) => {
      proxy!.#pass(new URL(target), incoming, answer);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    proxy = new FaultyProxy(server);
    return proxy;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(target: URL, incoming: IncomingMessage, answer: ServerResponse): void {
    const { method = "GET", url: path = "/", headers } = incoming;
    this.requests.push({ method, path, range: headers.range });
    const fault = this.fault(incoming);
    if (fault && "status" in fault) {
      incoming.resume();
      answer.writeHead(fault.status, { "content-type": "application/xml" });
      answer.end(
        method === "HEAD" ? "" : `<Error><Code>${fault.code}</Code><Message>a secret</Message></Error>`,
      );
      return;
    }
    const onward = request({ host: target.hostname, port: target.port, method, path, headers }, (back) => {
      answer.writeHead(back.statusCode ?? 500, back.headers);
      let passed = 0;
      back.on("data", (chunk: Buffer) => {
        const left = fault ? fault.breakAfter - passed : Infinity;
        passed += chunk.length;
        if (chunk.length <= left) answer.write(chunk);
        else answer.write(chunk.subarray(0, Math.max(0, left)), () => answer.destroy());
      });
      back.on("end", () => answer.end());
      back.on("error", () => answer.destroy());
    });
    onward.on("error", () => answer.destroy());
    incoming.pipe(onward);
  }
}
