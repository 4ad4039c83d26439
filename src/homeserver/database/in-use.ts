import type { Finding } from "../../report/finding.ts";
import type { Machine } from "../../system/machine.ts";
import type { PostgresSession } from "../../system/postgres/postgres.ts";
import { quoteLiteral } from "../../system/query.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import { databaseFiles } from "./file-state.ts";
import { FOLLOW_ROLE } from "./follow/record.ts";

/** Who is connected to a database besides this run. */
export interface DatabaseConnections {
  /** Connections with the homeserver's role: evidence that it runs. A stopped server has none. */
  readonly homeserver: readonly Finding[];
  /**
   * Connections of other programs, a finding for each role, with the id of `acceptConnectionsOf`. They may write after
   * the dump.
   */
  readonly others: readonly Finding[];
}

/** The id to accept with `--accept` that other programs stay connected to the database with this role. */
const acceptConnectionsOf = (role: string) => `database-connections:${role}`;

/**
 * All connections to the session's database but those of this run, which are known by their process, and of a copy that follows, whose
 * role only reads. Of another role's
 * connection a role without privileges sees hardly more than that it is there (PostgreSQL documentation, pg_stat_activity): it counts,
 * whatever else is hidden.
 */
export async function databaseConnections(session: PostgresSession): Promise<DatabaseConnections> {
  const own = session.ownBackends.map(
    ({ pid, startedAt }) => `(${pid}, ${startedAt === null ? "NULL" : quoteLiteral(startedAt)})`,
  );
  const found = await session.all<Connections>(`
    SELECT coalesce(usename::text, 'role ' || usesysid) AS role, usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user) AS "isServerRole",
      coalesce(application_name, '') AS program, host(client_addr) AS address, backend_type IS NULL AS "isHidden", count(*) AS count
    FROM pg_stat_activity a
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
      AND backend_type IS DISTINCT FROM 'parallel worker' AND usename IS DISTINCT FROM '${FOLLOW_ROLE}'
      AND NOT EXISTS (SELECT FROM (VALUES ${["(0, NULL::text)", ...own].join(", ")}) AS own (pid, started)
        WHERE own.pid = a.pid AND coalesce(own.started = extract(epoch FROM a.backend_start)::text, true))
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 3, 4`);
  const isServer = ({ isServerRole, program }: Connections) =>
    isServerRole && !MOVING_PROGRAMS.includes(program);
  const [server, others] = [found.filter(isServer), found.filter((one) => !isServer(one))];
  const roles = [...new Set(others.map(({ role }) => role))];
  return {
    homeserver:
      server.length === 0
        ? []
        : [
            {
              id: "database-in-use",
              level: "blocker",
              sentence: "there are still connections to the homeserver's database",
              evidence: server.map(describeConnections),
              hint: "stop Synapse, its workers and whatever else uses the database; a connection pooler (PgBouncer, Odyssey, PgCat) keeps connections open after Synapse has stopped, and the fence does not hold for these: stop it too, or let it close them (in PgBouncer's console: KILL and the database's name, and RESUME after a rollback)",
            },
          ],
    others: roles.map((role) => ({
      id: acceptConnectionsOf(role),
      level: "warning",
      sentence: `other programs are connected to the homeserver's database as ${role}`,
      evidence: others.filter((one) => one.role === role).map(describeConnections),
      hint: `stop them, because the bundle will not contain what they write after the dump; if they only read, --accept ${quoteShellWord(acceptConnectionsOf(role))}. A superuser sees which they are: SELECT pid, application_name, client_addr FROM pg_stat_activity WHERE datname = current_database()`,
    })),
  };
}

interface Connections {
  readonly role: string;
  readonly isServerRole: boolean;
  readonly program: string;
  readonly address: string | null;
  /** Whether its address is hidden. */
  readonly isHidden: boolean;
  readonly count: number;
}

/** Names of connections with the homeserver's role that are not the homeserver's: of another, or of an interrupted run. */
const MOVING_PROGRAMS = ["synlift", "pg_dump"];

function describeConnections({ role, program, address, isHidden, count }: Connections): string {
  const name = program === "" ? "" : ` (${program})`;
  const from = address === null ? "" : ` from ${address}`;
  const hidden = isHidden ? ", whose address is hidden from the homeserver's role" : "";
  return `${role}${name}${from}: ${count} ${count === 1 ? "connection" : "connections"}${hidden}`;
}

/** The processes that have the files of a SQLite database open. */
export function fileUserFindings(path: string, machine: Pick<Machine, "usersOf">): Finding[] {
  const users = machine.usersOf(databaseFiles(path));
  if (users.length === 0) return [];
  return [
    {
      id: "database-in-use",
      level: "blocker",
      sentence: `a process still has the homeserver's database open: ${path}`,
      evidence: users.map(({ pid, program }) =>
        pid === undefined ? "a process that cannot be seen from here" : `process ${pid} (${program})`,
      ),
      hint: "stop Synapse and whatever else uses the database",
    },
  ];
}
