import { MigrationError } from "../../../errors.ts";
import type { Machine } from "../../../system/machine.ts";
import { type PostgresSession, quoteIdentifier, quoteLiteral } from "../../../system/postgres/postgres.ts";
import { majorOf } from "../facts.ts";
import { SALT_BYTES, scramVerifier, UNLOGGED } from "../role/scram.ts";
import { markOf } from "./record.ts";

/** From here on there is a role that may read everything. */
const READS_ALL = 14;

/** Whether the role has to be granted each table. */
export const needsGrants = (serverVersion: number) => majorOf(serverVersion) < READS_ALL;

/** What a role of this name is: of this follow, of somebody else, or not there. */
async function roleOwner(
  session: PostgresSession,
  role: string,
  id: string,
): Promise<"ours" | "other" | "none"> {
  const [found] = await session.all<{ comment: string | null }>(
    `SELECT shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = ${quoteLiteral(role)}`,
  );
  if (!found) return "none";
  return found.comment === markOf(id) ? "ours" : "other";
}

/**
 * Creates the role in one transaction with the comment that says whose it is; gives one that is there already this password,
 * and its login back. The password itself is not sent. Throws `follow-impossible` for a role that is somebody else's.
 */
export async function createFollowRole(
  session: PostgresSession,
  {
    role,
    id,
    password,
    serverVersion,
  }: { role: string; id: string; password: string; serverVersion: number },
  machine: Pick<Machine, "random">,
): Promise<void> {
  const owner = await roleOwner(session, role, id);
  if (owner === "other")
    throw new MigrationError(
      "follow-impossible",
      `there is a role ${role} already, which this follow did not make`,
      {
        hint: `if an earlier follow made it (\\du+ shows its comment): synlift follow stop, or synlift rollback; otherwise rename it`,
      },
    );
  const name = quoteIdentifier(role);
  const verifier = quoteLiteral(scramVerifier(password, machine.random(SALT_BYTES)));
  const create =
    owner === "ours"
      ? ""
      : `CREATE ROLE ${name}; COMMENT ON ROLE ${name} IS ${quoteLiteral(markOf(id))}; GRANT pg_monitor TO ${name};${needsGrants(serverVersion) ? "" : ` GRANT pg_read_all_data TO ${name};`}`;
  await session.run(`${create}\n${UNLOGGED}\nALTER ROLE ${name} LOGIN REPLICATION PASSWORD ${verifier};`);
}

/** Lets the role read every table that there is in this database, and those to come of the roles that own them. May be repeated. */
export async function grantReading(session: PostgresSession, role: string): Promise<void> {
  const name = quoteIdentifier(role);
  const schemas = await session.all<{ schema: string }>(
    "SELECT nspname::text AS schema FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1",
  );
  const owners = await session.all<{ owner: string; schema: string }>(
    "SELECT DISTINCT pg_get_userbyid(c.relowner)::text AS owner, n.nspname::text AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2",
  );
  const grants = schemas.map(({ schema }) => {
    const quoted = quoteIdentifier(schema);
    return `GRANT USAGE ON SCHEMA ${quoted} TO ${name}; GRANT SELECT ON ALL TABLES IN SCHEMA ${quoted} TO ${name}; GRANT SELECT ON ALL SEQUENCES IN SCHEMA ${quoted} TO ${name};`;
  });
  const later = owners.map(
    ({ owner, schema }) =>
      `ALTER DEFAULT PRIVILEGES FOR ROLE ${quoteIdentifier(owner)} IN SCHEMA ${quoteIdentifier(schema)} GRANT SELECT ON TABLES TO ${name};`,
  );
  await session.run([...grants, ...later].join("\n"));
}

/** Takes back what the role may read in this database. Throws `follow-impossible` where something there belongs to the role. */
export async function revokeReading(session: PostgresSession, role: string, id: string): Promise<void> {
  if ((await roleOwner(session, role, id)) !== "ours") return;
  await assertOwnsNothing(session, role);
  await session.run(`DROP OWNED BY ${quoteIdentifier(role)};`);
}

/** DROP OWNED would take along what somebody made as this role. */
async function assertOwnsNothing(session: PostgresSession, role: string): Promise<void> {
  const { count } = await session.one<{ count: number }>(`
    SELECT count(*)::int AS count FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid AND d.refclassid = 'pg_authid'::regclass
    WHERE r.rolname = ${quoteLiteral(role)} AND d.deptype = 'o'
      AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))`);
  if (count === 0) return;
  throw new MigrationError(
    "follow-impossible",
    `something in PostgreSQL belongs to the role ${role}, which synlift never makes`,
    {
      hint: `look whose it is, and give it to another role: REASSIGN OWNED BY ${role} TO …`,
    },
  );
}

/** Milliseconds until all sessions of the role have ended, and between two looks. */
const END_TIMEOUT = 30_000;
const PAUSE = 200;

/**
 * From now on nobody logs in as this role, and its sessions end: nothing is made with it any more. Does nothing with a role that
 * is somebody else's. Throws `program-failed` when a session does not end.
 */
export async function closeRole(
  session: PostgresSession,
  role: string,
  id: string,
  machine: Pick<Machine, "wait" | "elapsed">,
): Promise<void> {
  if ((await roleOwner(session, role, id)) !== "ours") return;
  await session.run(`ALTER ROLE ${quoteIdentifier(role)} NOLOGIN;`);
  const until = machine.elapsed() + END_TIMEOUT;
  for (;;) {
    const alive = await session.all(
      `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity WHERE usename = ${quoteLiteral(role)}`,
    );
    if (alive.length === 0) return;
    if (machine.elapsed() > until)
      throw new MigrationError("program-failed", `${alive.length} sessions of the role ${role} do not end`, {
        hint: "run the same command again",
      });
    await machine.wait(PAUSE);
  }
}

/** Drops the role. May be repeated; never drops one that is somebody else's. */
export async function dropFollowRole(session: PostgresSession, role: string, id: string): Promise<void> {
  if ((await roleOwner(session, role, id)) !== "ours") return;
  await assertOwnsNothing(session, role);
  // A person may have let it connect to the database.
  await session.run(`DROP OWNED BY ${quoteIdentifier(role)}; DROP ROLE ${quoteIdentifier(role)};`);
}
