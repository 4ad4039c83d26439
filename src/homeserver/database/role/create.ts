import { hasSqlstate, MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import { secretLine } from "../../../system/files/secret-line.ts";
import type { Machine } from "../../../system/machine.ts";
import {
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
  quoteIdentifier,
  quoteLiteral,
} from "../../../system/postgres/postgres.ts";
import { majorOf } from "../facts.ts";
import { assertNotOlder } from "../fill/inspect-target.ts";
import { createOptions } from "../locale.ts";
import type { DatabaseSection } from "../section.ts";
import { SALT_BYTES, scramVerifier, UNLOGGED } from "./scram.ts";

/** A database for the new server whose role and owner PostgreSQL's administrator creates, where they do not exist. */
export interface RoleOrder {
  /** As the role connects, with its password. */
  readonly address: PostgresAddress;
  /** Absolute. Written if it does not exist, before the role is created. */
  readonly passwordFile: string;
  readonly administrator: PostgresAddress;
}

/** What is there already. */
export interface RoleState {
  readonly user: string;
  readonly database: string;
  readonly roleExists: boolean;
  readonly databaseExists: boolean;
}

interface Rights {
  readonly administrator: string;
  readonly superuser: boolean;
  readonly mayCreateRoles: boolean;
  readonly mayCreateDatabases: boolean;
  readonly serverVersion: number;
}

/** Whether role and database exist. Changes nothing. Throws `database-unreachable`. */
export async function readRoleState(
  order: Pick<RoleOrder, "address" | "administrator">,
  postgres: Postgres,
): Promise<RoleState> {
  const session = await postgres.connect(order.administrator);
  return stateOf(order.address, session).finally(() => session.close());
}

/**
 * Whether the administrator can create what is missing. Changes nothing. Throws `target-unsuitable`,
 * `database-unreachable`.
 */
export async function checkRole(
  { address, administrator }: RoleOrder,
  section: Pick<DatabaseSection, "serverVersion">,
  postgres: Postgres,
): Promise<RoleState> {
  const session = await postgres.connect(administrator);
  try {
    const state = await stateOf(address, session);
    const rights = await rightsOf(session);
    if (!state.databaseExists) assertNotOlder(rights.serverVersion, section);
    assertMayCreate(state, rights);
    return state;
  } finally {
    await session.close();
  }
}

/**
 * Creates the role and its database, each only where it does not exist, and returns what there was before. May be repeated
 * after an interruption between the two. The password itself is not sent to the server. Throws `target-unsuitable`,
 * `database-unreachable`, and `file-failed` for the password file.
 */
export async function createRole(
  order: RoleOrder,
  { postgres, files, machine }: { postgres: Postgres; files: Files; machine: Pick<Machine, "random"> },
): Promise<RoleState> {
  const session = await postgres.connect(order.administrator, { writes: true });
  try {
    const state = await stateOf(order.address, session);
    const rights = await rightsOf(session);
    assertMayCreate(state, rights);
    const role = quoteIdentifier(state.user);
    if (!state.roleExists) {
      // First: a role whose password no file has could not be used.
      await keepPassword(order, files);
      const verifier = scramVerifier(order.address.password ?? "", machine.random(SALT_BYTES));
      const unlogged = rights.superuser ? `${UNLOGGED}\n` : "";
      await session.run(
        `CREATE ROLE ${role} LOGIN;\n${unlogged}ALTER ROLE ${role} PASSWORD ${quoteLiteral(verifier)};`,
      );
    }
    if (!state.databaseExists) {
      const leave = await joinRole(state.user, rights, session);
      const database = quoteIdentifier(state.database);
      await session.runAlone(
        `CREATE DATABASE ${database} OWNER ${role} ${createOptions(rights.serverVersion)};`,
      );
      await leave();
    }
    return state;
  } catch (error) {
    if (!hasSqlstate(error, [INSUFFICIENT_PRIVILEGE])) throw error;
    throw new MigrationError("target-unsuitable", (error as MigrationError).message, {
      hint: "name an administrator who may: --admin-database; or create role and database yourself",
      cause: error,
    });
  } finally {
    await session.close();
  }
}

const INSUFFICIENT_PRIVILEGE = "42501";

async function stateOf(
  { parameters: { user = "", dbname = user } }: PostgresAddress,
  session: PostgresSession,
): Promise<RoleState> {
  const found = await session.one<Pick<RoleState, "roleExists" | "databaseExists">>(
    `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = ${quoteLiteral(user)}) AS "roleExists",
      EXISTS (SELECT FROM pg_database WHERE datname = ${quoteLiteral(dbname)}) AS "databaseExists"`,
  );
  return { user, database: dbname, ...found };
}

const rightsOf = (session: PostgresSession) =>
  session.one<Rights>(
    `SELECT rolname AS administrator, rolsuper AS superuser, rolsuper OR rolcreaterole AS "mayCreateRoles",
      rolsuper OR rolcreatedb AS "mayCreateDatabases", current_setting('server_version_num')::int AS "serverVersion"
      FROM pg_roles WHERE rolname = current_user`,
  );

function assertMayCreate({ user, database, roleExists, databaseExists }: RoleState, rights: Rights): void {
  const { administrator, mayCreateRoles, mayCreateDatabases } = rights;
  const lacks = [
    ...(roleExists || mayCreateRoles ? [] : [`role ${user}`]),
    ...(databaseExists || mayCreateDatabases ? [] : [`database ${database}`]),
  ];
  if (lacks.length === 0) return;
  throw new MigrationError(
    "target-unsuitable",
    `PostgreSQL's user ${administrator} may not create ${lacks.join(" and ")}`,
    {
      hint: "name an administrator who may: --admin-database; or create them yourself",
    },
  );
}

/**
 * Makes an administrator who is no superuser a member of the role, without which no database can be given to it (PostgreSQL
 * documentation, CREATE DATABASE). Returns what ends that; an interruption leaves the membership, which such an administrator
 * may give itself at any time.
 */
async function joinRole(
  user: string,
  { superuser, serverVersion }: Rights,
  session: PostgresSession,
): Promise<() => Promise<void>> {
  const nothing = () => Promise.resolve();
  if (superuser) return nothing;
  // From 16 on whoever creates a role is a member at once, but may not act as it (createrole_self_grant).
  const needed = majorOf(serverVersion) >= 16 ? "SET" : "MEMBER";
  const { member } = await session.one<{ member: boolean }>(
    `SELECT pg_has_role(${quoteLiteral(user)}, '${needed}') AS member`,
  );
  if (member) return nothing;
  const role = quoteIdentifier(user);
  await session.run(`GRANT ${role} TO CURRENT_USER;`);
  return () => session.run(`REVOKE ${role} FROM CURRENT_USER;`);
}

/** Writes the password, unless the file has it. Throws `file-failed`, `file-missing`. */
async function keepPassword({ address, passwordFile }: RoleOrder, files: Files): Promise<void> {
  const { password = "" } = address;
  if (await files.createNew(passwordFile, `${password}\n`)) return;
  if (secretLine(await files.readText(passwordFile)) === password) return;
  throw new MigrationError("file-failed", `${passwordFile} was written by another program meanwhile`, {
    hint: "run the same command again: it uses the password in this file",
  });
}
