import { chownSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { type PostgresCluster, unprivilegedAccount } from "./postgres-cluster.ts";
import { freePort, ServerProcess } from "./server-process.ts";
import { removeFolder, temporaryFolder } from "./temporary-folder.ts";

export interface PgbouncerOptions {
  readonly mode?: "session" | "transaction";
  /** Server connections of each database and user. */
  readonly size?: number;
}

const HOST = "127.0.0.1";

/** A throw-away PgBouncer on loopback, in front of all databases of a cluster. Everybody on this host may log in as anybody. */
export class Pgbouncer {
  readonly host = HOST;
  readonly port: number;
  readonly #folder: string;
  readonly #server: ServerProcess;

  private constructor(port: number, folder: string, server: ServerProcess) {
    this.port = port;
    this.#folder = folder;
    this.#server = server;
  }

  static async start(
    cluster: PostgresCluster,
    { mode = "transaction", size = 3 }: PgbouncerOptions = {},
  ): Promise<Pgbouncer> {
    const account = unprivilegedAccount();
    const folder = temporaryFolder("pgbouncer", account);
    const port = await freePort();
    const { host, port: behind } = cluster.address;
    const users = join(folder, "users.txt");
    writeFileSync(users, ["postgres", "syn", "mover"].map((name) => `"${name}" "pw"\n`).join(""));
    const settings = join(folder, "pgbouncer.ini");
    const lines = [
      "[databases]",
      `* = host=${host} port=${behind}`,
      "[pgbouncer]",
      `listen_addr = ${HOST}`,
      `listen_port = ${port}`,
      "unix_socket_dir =",
      "auth_type = trust",
      `auth_file = ${users}`,
      `pool_mode = ${mode}`,
      `default_pool_size = ${size}`,
      "",
    ];
    writeFileSync(settings, lines.join("\n"));
    if (account) for (const file of [users, settings]) chownSync(file, account.uid, account.gid);
    const server = new ServerProcess({ program: "/usr/sbin/pgbouncer", args: [settings], folder, account });
    await server.untilReady(() => answers(port), 20);
    return new Pgbouncer(port, folder, server);
  }

  /** Ends it at once, with all its connections. May be called twice. */
  async stop(): Promise<void> {
    await this.#server.stop("SIGTERM", 10);
    removeFolder(this.#folder);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: HOST, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
}
