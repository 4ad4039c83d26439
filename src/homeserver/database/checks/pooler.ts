import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import {
  describeAddress,
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
} from "../../../system/postgres/postgres.ts";

const POOLER = "database-pooler";

/** Seconds by which the two clocks of a comparison may differ: each only measures a span. */
const SLACK = 1;

interface Backend {
  readonly pid: number;
  /** Seconds that this server connection has existed. */
  readonly age: number;
  /** The server's own address; null for its Unix socket. */
  readonly host: string | null;
  readonly port: string;
}

/**
 * A connection pooler (PgBouncer, Odyssey, PgCat) between here and the server: it gives us server connections that others have used, and
 * the other way round. A server makes a new process for each connection. So a pooler shows itself by a server
 * process that is older than our connection, or is the same for two connections.
 * Undefined when there is none, and when one opened new server connections for each of ours, as nothing else uses it.
 * Throws as `Postgres.connect` does.
 */
async function findPooler(
  address: PostgresAddress,
  postgres: Postgres,
): Promise<PostgresAddress | undefined> {
  const first = await ask(address, postgres);
  try {
    const seen = new Set([first.backend.pid]);
    // Each is closed before the next: a pooler that gives every client a connection of its own hands that one on.
    for (let asked = 0; asked < 3; asked += 1) {
      const { session, backend, isOlder } = await ask(address, postgres);
      await session.close();
      if (first.isOlder || isOlder || seen.has(backend.pid)) return serverAddress(address, backend);
      seen.add(backend.pid);
    }
    return undefined;
  } finally {
    await first.session.close();
  }
}

async function ask(address: PostgresAddress, postgres: Postgres) {
  const began = performance.now();
  const session: PostgresSession = await postgres.connect(address);
  try {
    const backend = await session.one<Backend>(`
      SELECT pid, extract(epoch FROM clock_timestamp() - backend_start)::float8 AS age,
        host(inet_server_addr()) AS host, current_setting('port') AS port
      FROM pg_stat_activity WHERE pid = pg_backend_pid()`);
    return { session, backend, isOlder: backend.age > (performance.now() - began) / 1000 + SLACK };
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** As the pooler reaches it. On a Unix socket the host is libpq's default, as only superusers may ask for the folder. */
function serverAddress(address: PostgresAddress, { host, port }: Backend): PostgresAddress {
  const parameters: Record<string, string> = { ...address.parameters, port };
  delete parameters["host"];
  delete parameters["hostaddr"];
  if (host !== null) parameters["host"] = host;
  return { ...address, parameters };
}

interface Advice {
  readonly sentence: string;
  readonly evidence: readonly string[];
  readonly hint: string;
}

function adviceFor(address: PostgresAddress, server: PostgresAddress): Advice {
  const { host = "/var/run/postgresql", port = "5432" } = server.parameters;
  return {
    sentence: `the database ${describeAddress(address)} is reached through a connection pooler: what pg_dump sets would stay on connections that others use, and the pooler's open connections would not be fenced`,
    evidence: [`the pooler reaches the server at host ${host}, port ${port}`],
    hint: `name the server's own address to synlift: --database-server 'host=${host} port=${port}'; once the homeserver is stopped, stop the pooler too, or let it close its connections to this database`,
  };
}

/** What `plan` says. */
export async function poolerFindings(address: PostgresAddress, postgres: Postgres): Promise<Finding[]> {
  const server = await findPooler(address, postgres);
  return server ? [{ id: POOLER, level: "blocker", ...adviceFor(address, server) }] : [];
}

/** Throws `database-unsupported`: a dump would harm whoever else uses the pooler. */
export async function assertNoPooler(address: PostgresAddress, postgres: Postgres): Promise<void> {
  const server = await findPooler(address, postgres);
  if (!server) return;
  const { sentence, evidence, hint } = adviceFor(address, server);
  throw new MigrationError("database-unsupported", `${sentence}; ${evidence.join("; ")}`, { hint });
}

/** Throws `target-unsuitable`: psql and pg_restore set much for their sessions. */
export async function assertNoPoolerBeforeTarget(
  address: PostgresAddress,
  postgres: Postgres,
): Promise<void> {
  const server = await findPooler(address, postgres);
  if (!server) return;
  const { host = "/var/run/postgresql", port = "5432" } = server.parameters;
  throw new MigrationError(
    "target-unsuitable",
    `the database ${describeAddress(address)} is reached through a connection pooler, which would hand on what a restore sets`,
    {
      hint: `name the server's own address: host=${host} port=${port}, as the pooler reaches it; the homeserver's configuration can name the pooler again once it is open`,
    },
  );
}
