import type { Finding } from "../../report/finding.ts";
import type { Machine } from "../../system/machine.ts";
import type { QuerySession } from "../../system/query.ts";
import { databaseFiles } from "./file-state.ts";

/** The other connections to the database: a stopped server has none. */
export async function connectionFindings(session: QuerySession): Promise<Finding[]> {
  const others = await session.all<{ who: string; count: number }>(`
    SELECT usename || CASE WHEN application_name <> '' THEN ' (' || application_name || ')' ELSE '' END AS who, count(*) AS count
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND application_name NOT IN ('pg_dump', 'synlift')
    GROUP BY 1 ORDER BY 1`);
  if (others.length === 0) return [];
  return [
    {
      id: "database-in-use",
      level: "blocker",
      sentence: "there are still connections to the homeserver's database",
      evidence: others.map(
        ({ who, count }) => `${who}: ${count} ${count === 1 ? "connection" : "connections"}`,
      ),
      hint: "stop Synapse, its workers and whatever else uses the database; a connection pooler (PgBouncer, Odyssey, PgCat) keeps connections open after Synapse has stopped, and the fence does not hold for these: stop it too, or let it close them (in PgBouncer's console: KILL and the database's name, and RESUME after a rollback)",
    },
  ];
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
