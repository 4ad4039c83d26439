import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";

/** A way for TCP to a port of this host, which can be cut, and can fall silent as one does behind a firewall that forgot it. */
export class CuttableConnection {
  readonly port: number;
  readonly #server: Server;
  readonly #open: Set<Socket>;
  #state: "open" | "cut" | "silent" = "open";

  private constructor(server: Server, open: Set<Socket>) {
    this.#server = server;
    this.#open = open;
    this.port = (server.address() as AddressInfo).port;
  }

  static async to(port: number): Promise<CuttableConnection> {
    const open = new Set<Socket>();
    let way: CuttableConnection | undefined = undefined;
    const server = createServer((client) => {
      way!.#pass(client, port);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    way = new CuttableConnection(server, open);
    return way;
  }

  /** All connections break, and new ones are refused. */
  cut(): void {
    this.#state = "cut";
    for (const socket of this.#open) socket.destroy();
  }

  /** No byte passes any more, and nobody is told. New connections are accepted, and nothing follows. */
  fallSilent(): void {
    this.#state = "silent";
    for (const socket of this.#open) socket.pause();
  }

  /** New connections pass again. Those that were silent break, as they do when the two hosts find each other again. */
  mend(): void {
    this.#state = "open";
    for (const socket of this.#open) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(client: Socket, port: number): void {
    if (this.#state === "cut") {
      client.destroy();
      return;
    }
    this.#open.add(client);
    client.on("error", () => undefined);
    client.on("close", () => this.#open.delete(client));
    if (this.#state === "silent") {
      client.pause();
      return;
    }
    const server = createConnection({ host: "127.0.0.1", port });
    this.#open.add(server);
    server.on("error", () => undefined);
    server.on("close", () => {
      this.#open.delete(server);
      client.destroy();
    });
    client.on("close", () => server.destroy());
    client.pipe(server);
    server.pipe(client);
  }
}
