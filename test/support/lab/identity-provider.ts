import { createServer } from "node:http";

/** An identity provider that speaks CAS, and knows one person. */
export class IdentityProvider {
  /** Where the homeserver asked it to send the browser last. */
  service = "";
  readonly #server = createServer((asked, answer) => {
    const { pathname, searchParams } = new URL(asked.url!, "http://here");
    if (pathname === "/login") {
      this.service = searchParams.get("service")!;
      answer.writeHead(302, { Location: `${this.service}&ticket=one` }).end();
    } else if (pathname.endsWith("/proxyValidate"))
      answer
        .writeHead(200, { "Content-Type": "application/xml" })
        .end(
          '<cas:serviceResponse xmlns:cas="http://www.yale.edu/tp/cas"><cas:authenticationSuccess><cas:user>carol</cas:user></cas:authenticationSuccess></cas:serviceResponse>',
        );
    else answer.writeHead(404).end();
  });

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
