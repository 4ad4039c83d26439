import type { z } from "zod";
import { hasSqlstate, MigrationError } from "../../../../errors.ts";
import type { Machine } from "../../../../system/machine.ts";
import { type PostgresSession, quoteIdentifier, quoteLiteral } from "../../../../system/postgres/postgres.ts";
import type { Progress } from "../../../../system/progress.ts";
import type { identityChangeSchema } from "../record.ts";
import {
  keyOf,
  type PublicationPlan,
  quoteTable,
  type ReplicaIdentity,
  type TableName,
  withoutIdentity,
} from "./tables.ts";

/** What is needed to undo the change of one table's replica identity. */
export type IdentityChange = Readonly<z.infer<typeof identityChangeSchema>>;

interface Changing {
  /** Opens another session that writes, after a refused statement has ended the one before. */
  readonly connect: () => Promise<PostgresSession>;
  readonly machine: Pick<Machine, "wait">;
  readonly progress: Pick<Progress, "note">;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Gives every table of the plan the identity that it needs, one table in a transaction. A table is locked for the moment of the
 * change, and while that lock is waited for, everybody else who wants the table waits too: so it is waited for briefly, and tried
 * again after a pause. `record` is called before each change and must have stored it when it resolves. May be repeated: tables
 * that have an identity by now are not touched. Returns the number of changes. Throws `program-failed` for a lock that nobody releases.
 */
export async function setIdentities(
  plan: PublicationPlan,
  { record, ...changing }: Changing & { readonly record: (change: IdentityChange) => Promise<void> },
): Promise<number> {
  const without = withoutIdentity(plan);
  if (without.length === 0) return 0;
  const sessions = new Reconnecting(changing.connect);
  try {
    for (const { schema, name, now, wanted } of without) {
      await record({ schema, table: name, before: now });
      await changeIdentity({ schema, name }, wanted, sessions, changing);
    }
  } finally {
    await sessions.close();
  }
  return without.length;
}

/** A session that is opened when it is needed, and anew after a refused statement has ended it. */
export class Reconnecting {
  readonly #connect: Changing["connect"];
  #session: PostgresSession | undefined;

  constructor(connect: Changing["connect"]) {
    this.#connect = connect;
  }

  async use<T>(work: (session: PostgresSession) => Promise<T>): Promise<T> {
    const session = (this.#session ??= await this.#connect());
    try {
      return await work(session);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }
}

/**
 * Gives a table back the identity that it had. Does nothing where the table is gone; where its former index is, the default.
 * May be repeated. A table that is still published without an identity refuses UPDATE and DELETE: drop the publication first.
 */
export async function resetIdentity(change: IdentityChange, changing: Changing): Promise<void> {
  const sessions = new Reconnecting(changing.connect);
  await resetIdentityIn(sessions, change, changing).finally(() => sessions.close());
}

/** The same with sessions for several tables, which the caller closes. */
export async function resetIdentityIn(
  sessions: Reconnecting,
  change: IdentityChange,
  changing: Omit<Changing, "connect">,
): Promise<void> {
  const [found] = await sessions.use((session) =>
    session.all<ReplicaIdentity & { there: boolean }>(currentIdentity(change)),
  );
  if (!found) return;
  const { kind, index } = change.before;
  const back = kind === "index" && !found.there ? DEFAULT : { kind, index };
  if (found.kind === back.kind && found.index === back.index) return;
  await changeIdentity({ schema: change.schema, name: change.table }, back, sessions, changing);
}

const DEFAULT: ReplicaIdentity = { kind: "default", index: null };

const currentIdentity = ({ schema, table, before }: IdentityChange) => `
  SELECT CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'index' END AS kind,
    (SELECT ic.relname FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
      WHERE i.indrelid = c.oid AND i.indisreplident AND c.relreplident = 'i') AS index,
    EXISTS (SELECT FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
      WHERE i.indrelid = c.oid AND ic.relname = ${quoteLiteral(before.index ?? "")}) AS there
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname = ${quoteLiteral(schema)} AND c.relname = ${quoteLiteral(table)}`;

/** Milliseconds that the lock is waited for, with everybody else behind it, and between two attempts. */
const LOCK_WAIT = 500;
const PAUSE = 2_000;
const ATTEMPTS = 150;

async function changeIdentity(
  table: TableName,
  identity: ReplicaIdentity,
  sessions: Reconnecting,
  { machine, progress, signal }: Omit<Changing, "connect">,
): Promise<void> {
  const statement = `SET LOCAL lock_timeout = ${LOCK_WAIT}; ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY ${identityClause(identity)};`;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await sessions.use((session) => session.run(statement));
      return;
    } catch (error) {
      if (hasSqlstate(error, [UNDEFINED_TABLE])) return;
      if (!hasSqlstate(error, LOCKED)) throw error;
      if (attempt === ATTEMPTS) throw staysLocked(table, error as MigrationError);
      if (attempt === TOLD)
        progress.note(
          `waiting for a moment in which nobody uses table ${keyOf(table)}, to change its replica identity`,
        );
    }
    await machine.wait(PAUSE, signal);
    signal?.throwIfAborted();
  }
}

const TOLD = 5;

/** lock_not_available; deadlock_detected. */
const LOCKED = ["55P03", "40P01"];
/** Synapse drops tables of its background updates when these are done. */
const UNDEFINED_TABLE = "42P01";

function identityClause({ kind, index }: ReplicaIdentity): string {
  if (kind === "index") return `USING INDEX ${quoteIdentifier(index ?? "")}`;
  return kind.toUpperCase();
}

const staysLocked = (table: TableName, cause: MigrationError) =>
  new MigrationError(
    "program-failed",
    `the replica identity of table ${keyOf(table)} cannot be changed: the table was in use at each of ${ATTEMPTS} attempts`,
    {
      hint: "find the session that holds it, and run the same command again when that has ended: SELECT pid, usename, state, xact_start FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE relation = '…'::regclass)",
      cause,
      reason: cause.reason,
    },
  );
