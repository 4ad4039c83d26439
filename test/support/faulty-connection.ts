import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What becomes of one exchange with the server behind. */
export type Mishap =
  /** The connection breaks after so many bytes of the body. */
  | { readonly breakAfter: number }
  /** The road answers itself. */
  | { readonly status: number; readonly code: string };

/** A road to a web server on which a test says what goes wrong: asked for each request, in turn. */
export class FaultyRoad {
  readonly url: string;
  readonly requests: {
    readonly method: string;
    readonly path: string;
    readonly range: string | undefined;
  }[] = [];
  mishap: (request: IncomingMessage) => Mishap | undefined = () => undefined;
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async to(target: string): Promise<FaultyRoad> {
    let road: FaultyRoad | undefined = undefined;
    const server = createServer((incoming, answer) => {
      road!.#pass(new URL(target), incoming, answer);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    road = new FaultyRoad(server);
    return road;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(target: URL, incoming: IncomingMessage, answer: ServerResponse): void {
    const { method = "GET", url: path = "/", headers } = incoming;
    this.requests.push({ method, path, range: headers.range });
    const mishap = this.mishap(incoming);
    if (mishap && "status" in mishap) {
      incoming.resume();
      answer.writeHead(mishap.status, { "content-type": "application/xml" });
      answer.end(
        method === "HEAD" ? "" : `<Error><Code>${mishap.code}</Code><Message>a secret</Message></Error>`,
      );
      return;
    }
    const onward = request({ host: target.hostname, port: target.port, method, path, headers }, (back) => {
      answer.writeHead(back.statusCode ?? 500, back.headers);
      let passed = 0;
      back.on("data", (chunk: Buffer) => {
        const room = mishap ? mishap.breakAfter - passed : Infinity;
        passed += chunk.length;
        if (chunk.length <= room) answer.write(chunk);
        else answer.write(chunk.subarray(0, Math.max(0, room)), () => answer.destroy());
      });
      back.on("end", () => answer.end());
      back.on("error", () => answer.destroy());
    });
    onward.on("error", () => answer.destroy());
    incoming.pipe(onward);
  }
}
