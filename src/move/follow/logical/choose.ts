import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { assertMaySubscribe } from "../../../homeserver/database/follow/logical/subscription.ts";
import { inspectTarget } from "../../../homeserver/database/fill/inspect-target.ts";
import { checkRole, type RoleOrder } from "../../../homeserver/database/role/create.ts";
import { planRole } from "../../../homeserver/database/role/order.ts";
import { secretLine } from "../../../system/files/secret-line.ts";
import type { Account } from "../../../system/machine.ts";
import { describeAddress, type PostgresAddress } from "../../../system/postgres/postgres.ts";
import type { QuerySession } from "../../../system/query.ts";
import type { System } from "../../../system/system.ts";
import type { FollowState } from "../state.ts";

/** A database of a PostgreSQL that runs on this host, for logical replication. */
export interface LogicalPlace {
  /** As it was typed: without password. */
  readonly database: PostgresAddress;
  /** Absolute. */
  readonly passwordFile: string | undefined;
  /** PostgreSQL's administrator; undefined for the socket of this host. */
  readonly administrator: PostgresAddress | undefined;
  /** Of the administrator's password. Absolute. */
  readonly administratorPasswordFile: string | undefined;
}

export type LogicalCopy = Extract<FollowState["here"], { kind: "logical" }>;
/** The subscription is named after the copy, which has no id yet. */
export type NewLogicalCopy = Omit<LogicalCopy, "subscription">;

/**
 * Where the copy will be, as it is remembered. The role and the database are created where they do not exist. Makes nothing.
 * Throws `bad-usage`, `target-unsuitable`, `target-not-empty`, `database-unreachable`.
 */
export async function chooseLogical(
  place: LogicalPlace,
  /** Of the old server: server_version_num. */
  serverVersion: number,
  system: System,
): Promise<NewLogicalCopy> {
  const { database, administratorPasswordFile } = place;
  const order = await orderOf(place, system);
  const state = await checkRole(order, { serverVersion }, system.postgres);
  const session = await system.postgres.connect(order.administrator);
  try {
    await assertMaySubscribe(session);
    await serverAccount(session, system);
  } finally {
    await session.close();
  }
  if (state.databaseExists && state.roleExists)
    await inspectTarget({ address: order.address, section: { serverVersion } }, system.postgres);
  return {
    kind: "logical",
    target: { ...database.parameters },
    passwordFile: order.passwordFile,
    administrator: {
      parameters: { ...order.administrator.parameters },
      ...(administratorPasswordFile === undefined ? {} : { passwordFile: administratorPasswordFile }),
    },
    mark: null,
    copied: null,
  };
}

async function orderOf(
  { database, passwordFile, administrator, administratorPasswordFile: file }: LogicalPlace,
  system: System,
): Promise<RoleOrder> {
  const password = file === undefined ? undefined : secretLine(await system.files.readText(file));
  const wish = {
    by: "--database" as const,
    option: "--database",
    typed: database,
    passwordFile,
    administrator: administrator && {
      ...administrator,
      ...(password === undefined ? {} : { password }),
    },
    accounts: [database.parameters["user"]],
  };
  return planRole(wish, new Map(), system);
}

/** Where a copy was made, for another one in the same place. */
export const placeOf = ({ target, passwordFile, administrator }: NewLogicalCopy): LogicalPlace => ({
  database: { parameters: target },
  passwordFile,
  administrator: { parameters: administrator.parameters },
  administratorPasswordFile: administrator.passwordFile,
});

/** How a copy's database is reached: as its owner, and as PostgreSQL's administrator, in that database. */
export interface LogicalAddresses {
  readonly role: RoleOrder;
  /** In the copy's database. */
  readonly administrator: PostgresAddress;
}

/** Throws `bad-usage`, `database-unreachable`. */
export async function addressesOf(here: NewLogicalCopy, system: System): Promise<LogicalAddresses> {
  const role = await orderOf(placeOf(here), system);
  const { administrator } = role;
  const dbname = here.target["dbname"] ?? "";
  return {
    role,
    administrator: { ...administrator, parameters: { ...administrator.parameters, dbname } },
  };
}

/**
 * The account of this host that runs the server: it opens the socket of the tunnel and reads the password file itself. Throws
 * `target-unsuitable` when the server runs on another host or in a container.
 */
export async function serverAccount(
  administrator: QuerySession,
  { files, machine }: Pick<System, "files" | "machine">,
): Promise<Account> {
  const { data, port } = await administrator.one<{ data: string; port: string }>(
    "SELECT current_setting('data_directory') AS data, current_setting('port') AS port",
  );
  const found = await files.stat(join(data, "postmaster.pid")).catch((error: unknown) => {
    if (error instanceof MigrationError) return undefined;
    throw error;
  });
  // Its first line is the process, its fourth the port (PostgreSQL, src/include/utils/pidfile.h).
  const lines = found ? (await files.readText(join(data, "postmaster.pid"))).split("\n") : [];
  const account = found && machine.account(String(found.uid));
  const runs = machine.processStart(Number(lines[0] ?? 0)) !== undefined && lines[3]?.trim() === port;
  if (account && runs) return account;
  throw new MigrationError(
    "target-unsuitable",
    `the new PostgreSQL, with its data in ${data}, does not run on this host itself`,
    {
      hint: "logical replication reaches the old host through a socket of this host: use a PostgreSQL that runs here and not in a container, or move without follow",
    },
  );
}

/** What the old host has to know of this one's PostgreSQL. Throws `database-unreachable`. */
export async function serverFacts(
  place: LogicalPlace | NewLogicalCopy,
  system: System,
): Promise<{ version: number; isSuperuser: boolean; data: string }> {
  const { administrator } = await orderOf("target" in place ? placeOf(place) : place, system);
  const session = await system.postgres.connect(administrator);
  return session
    .one<{ version: number; isSuperuser: boolean; data: string }>(
      `SELECT current_setting('server_version_num')::int AS version, current_setting('data_directory', true) AS data,
        (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS "isSuperuser"`,
    )
    .finally(() => session.close());
}

/** The folder of a server's data, for the free space of its disk. */
export const dataFolder = async (administrator: QuerySession): Promise<string> =>
  (await administrator.one<{ data: string }>("SELECT current_setting('data_directory') AS data")).data;

export const describeCopy = (here: NewLogicalCopy): string =>
  `database ${describeAddress({ parameters: here.target })}`;
