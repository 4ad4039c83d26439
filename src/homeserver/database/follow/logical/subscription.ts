import { MigrationError } from "../../../../errors.ts";
import {
  connectionString,
  type PostgresSession,
  quoteIdentifier,
  quoteLiteral,
} from "../../../../system/postgres/postgres.ts";
import type { QuerySession } from "../../../../system/query.ts";
import { majorOf } from "../../facts.ts";
import { quoteTable, type TableName } from "./tables.ts";

/** Below, an UPDATE of a table with REPLICA IDENTITY FULL would read the whole table for each row (PostgreSQL release notes, 16). */
const LEAST_SUBSCRIBER = 16;

export interface SubscriptionOrder {
  readonly name: string;
  readonly publication: string;
  readonly slot: string;
  /** libpq's keywords, as the target's server itself reaches the old database: through the tunnel's socket. Without a password. */
  readonly publisher: Readonly<Record<string, string>>;
  /** Of the account that runs the target's server. In the catalogue, everything of a connection string would lie in clear, and in dumps. */
  readonly passfile: string;
}

/**
 * Whether this session can subscribe. The subscription must belong to a superuser: PostgreSQL wants the password of any other role in the
 * connection string, where a dump would carry it. Throws `target-unsuitable`.
 */
export async function assertMaySubscribe(session: QuerySession): Promise<void> {
  const { version, text, role, superuser, workers } = await session.one<{
    version: number;
    text: string;
    role: string;
    superuser: boolean;
    workers: number;
  }>(`SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS text, current_user AS role,
      (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
      current_setting('max_logical_replication_workers')::int AS workers`);
  if (majorOf(version) < LEAST_SUBSCRIBER)
    throw new MigrationError(
      "target-unsuitable",
      `the new host's PostgreSQL is ${text}, and logical replication needs ${LEAST_SUBSCRIBER} or newer there: before, each change of a table without a key reads that table whole`,
      { hint: `install PostgreSQL ${LEAST_SUBSCRIBER} or newer on the new host` },
    );
  if (!superuser)
    throw new MigrationError(
      "target-unsuitable",
      `PostgreSQL's user ${role} is no superuser on the new host: the password of the old database would have to lie in its catalogue`,
      { hint: "name an administrator who is: --admin-database" },
    );
  if (workers < 1)
    throw new MigrationError(
      "target-unsuitable",
      "the new host's PostgreSQL has max_logical_replication_workers = 0, so no subscription can run",
      { hint: "set it to 4, which is PostgreSQL's default, and restart that server" },
    );
}

/**
 * Subscribes the database of this session, from the slot's position on, and enables it. PostgreSQL connects to the publisher at once, so
 * a wrong socket or passfile is an error here. Does nothing where the subscription is there. Needs a session of a superuser that writes. Throws `program-failed`.
 */
export async function subscribe(session: PostgresSession, order: SubscriptionOrder): Promise<void> {
  const { name, publication, slot, publisher, passfile } = order;
  if ("password" in publisher) throw new TypeError("a subscription's password would lie in the catalogue");
  const connection = connectionString({
    ...publisher,
    passfile,
    application_name: "synlift",
    // A tunnel that hangs is noticed in a minute instead of hours; the server connects again by itself.
    connect_timeout: "15",
  });
  const quoted = quoteIdentifier(name);
  if (!(await subscriptionState(session, name)))
    await session.run(
      `CREATE SUBSCRIPTION ${quoted} CONNECTION ${quoteLiteral(connection)} PUBLICATION ${quoteIdentifier(publication)}
       WITH (create_slot = false, slot_name = ${quoteLiteral(slot)}, copy_data = false, enabled = false, streaming = on);`,
    );
  await resumeSubscription(session, name);
}

/** What the subscriber says of a subscription. */
export interface SubscriptionState {
  readonly enabled: boolean;
  /** Whether its worker runs at this moment: one that fails is started again every few seconds. */
  readonly running: boolean;
  /** Seconds since the publisher was heard; null where it never was since the worker's start. */
  readonly heardSeconds: number | null;
  /** How often its worker has failed so far, connections that broke included. */
  readonly errors: number;
}

/** Undefined where there is no such subscription. `pg_stat_subscription` also has the workers that help one with large transactions. */
export async function subscriptionState(
  subscriber: QuerySession,
  name: string,
): Promise<SubscriptionState | undefined> {
  const [state] = await subscriber.all<SubscriptionState>(`
    SELECT s.subenabled AS enabled, w.pid IS NOT NULL AS running,
      extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)::float8 AS "heardSeconds",
      coalesce((SELECT apply_error_count FROM pg_stat_subscription_stats t WHERE t.subid = s.oid), 0) AS errors
    FROM pg_subscription s LEFT JOIN pg_stat_subscription w
      ON w.subid = s.oid AND w.pid IS NOT NULL AND w.relid IS NULL AND to_jsonb(w) ->> 'leader_pid' IS NULL
    WHERE s.subname = ${quoteLiteral(name)} AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`);
  return state;
}

/** May be repeated. */
export const resumeSubscription = (session: PostgresSession, name: string): Promise<void> =>
  session.run(`ALTER SUBSCRIPTION ${quoteIdentifier(name)} ENABLE;`);

/** Stops the worker, which otherwise tries again for ever. May be repeated. */
export const pauseSubscription = (session: PostgresSession, name: string): Promise<void> =>
  session.run(`ALTER SUBSCRIPTION ${quoteIdentifier(name)} DISABLE;`);

/**
 * Ends a subscription for good, without a word to the publisher, whose slot is dropped there; and gives the tables of this database the
 * replica identity of a new database, which the copy took over. All or nothing, and may be repeated. Needs a session of a superuser that
 * writes.
 */
export async function detachSubscription(session: PostgresSession, name: string): Promise<void> {
  const quoted = quoteIdentifier(name);
  const tables = await session.all<TableName>(`
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relreplident IN ('f', 'i') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
    ORDER BY 1, 2`);
  const there = await subscriptionState(session, name);
  const statements = [
    ...(there
      ? [
          `ALTER SUBSCRIPTION ${quoted} DISABLE;`,
          `ALTER SUBSCRIPTION ${quoted} SET (slot_name = NONE);`,
          `DROP SUBSCRIPTION ${quoted};`,
        ]
      : []),
    ...tables.map((table) => `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY DEFAULT;`),
  ];
  if (statements.length > 0) await session.run(statements.join("\n"));
}
