import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";

/** A proxy for TCP, whose connections break after so many bytes to the server; then it is down until it is mended. */
export class BreakingProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #open: Set<Socket>;
  #left = Infinity;

  private constructor(server: Server, open: Set<Socket>) {
    this.#server = server;
    this.#open = open;
    this.port = (server.address() as AddressInfo).port;
  }

  static async to(port: number): Promise<BreakingProxy> {
    const open = new Set<Socket>();
    let proxy: BreakingProxy | undefined = undefined;
    const server = createServer((client) => {
      proxy!.#pass(client, port);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    proxy = new BreakingProxy(server, open);
    return proxy;
  }

  /** Counts from now on, over all connections. */
  breakAfter(bytes: number): void {
    this.#left = bytes;
  }

  mend(): void {
    this.#left = Infinity;
  }

  async stop(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(client: Socket, port: number): void {
    if (this.#left <= 0) {
      client.destroy();
      return;
    }
    const server = createConnection({ host: "127.0.0.1", port });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#open.delete(socket);
        other.destroy();
      });
    }
    server.pipe(client);
    client.on("data", (chunk: Buffer) => {
      const passed = chunk.subarray(0, Math.max(0, Math.min(chunk.length, this.#left)));
      this.#left -= chunk.length;
      if (!server.write(passed)) {
        client.pause();
        server.once("drain", () => client.resume());
      }
      if (this.#left > 0) return;
      // What was passed on reaches the server before the end.
      server.end(() => {
        for (const socket of this.#open) socket.destroy();
      });
    });
    client.on("end", () => server.end());
  }
}
