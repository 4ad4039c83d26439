import { MigrationError } from "../../../errors.ts";
import type { Account, Machine } from "../../../system/machine.ts";
import {
  type PostgresAddress,
  type PostgresSession,
  quoteLiteral,
} from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";

/** A PostgreSQL on this host that follows another one as its physical standby, and becomes the new server's own. */
export interface StandbyServer {
  /** Its data folder. */
  readonly data: string;
  /** The folder with PostgreSQL's programs of its version. */
  readonly programs: string;
  readonly port: number;
  readonly socketFolder: string;
  /** The account of this host that owns it. */
  readonly account: string;
  /** The superuser, as whom that account logs in over the socket. */
  readonly administrator: string;
  /** Debian's name for it, MAJOR/NAME; null for a data folder alone. */
  readonly cluster: { readonly major: number; readonly name: string } | null;
}

/** The account that owns the server. Throws `bad-usage` when this host has none of that name. */
export function standbyAccount({ account }: Pick<StandbyServer, "account">, machine: Machine): Account {
  const found = machine.account(account);
  if (found) return found;
  throw new MigrationError("bad-usage", `this host has no account ${account}`, {
    hint: "install PostgreSQL of the old server's major version first",
  });
}

/** One of its databases, as its superuser. */
export const standbyDatabase = (
  server: StandbyServer,
  dbname: string,
  machine: Machine,
): PostgresAddress => ({
  parameters: {
    host: server.socketFolder,
    port: String(server.port),
    user: server.administrator,
    dbname,
  },
  ...(machine.isRoot ? { account: standbyAccount(server, machine) } : {}),
});

/** How far a standby is. Positions are PostgreSQL's, such as "0/3000148". */
export interface StandbyProgress {
  /** False once it was promoted. */
  readonly inRecovery: boolean;
  /** What it has of the old server's log on disk; null before the first byte. */
  readonly received: string | null;
  /** What of it is in its tables; null before the first. */
  readonly replayed: string | null;
  /** Whether it is connected to the old server. */
  readonly receiving: boolean;
}

/** Throws `database-unreachable`. */
export const readStandby = (session: PostgresSession): Promise<StandbyProgress> =>
  session.one<StandbyProgress>(`
    SELECT pg_is_in_recovery() AS "inRecovery", pg_last_wal_receive_lsn()::text AS received,
      pg_last_wal_replay_lsn()::text AS replayed,
      EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') AS receiving`);

/** Milliseconds between two looks: the outage lasts that much longer at most. */
const REPLAY_POLL_MS = 20;

/** Milliseconds without any progress after which waiting fails. */
const REPLAY_PATIENCE_MS = 120_000;

/**
 * Waits until everything of the old server's log up to `position` is in the standby's tables. Throws `connection-failed` when nothing
 * arrives for two minutes, and `target-unsuitable` when it was promoted before that.
 */
export async function waitForReplay(
  server: StandbyServer,
  position: string,
  system: Pick<System, "postgres" | "machine" | "signal">,
): Promise<void> {
  const { postgres, machine, signal } = system;
  const session = await postgres.connect(standbyDatabase(server, "postgres", machine));
  try {
    let last = "";
    for (let since = machine.elapsed(); ;) {
      const now = await session.one<StandbyProgress & { done: boolean }>(`
        SELECT pg_is_in_recovery() AS "inRecovery", pg_last_wal_receive_lsn()::text AS received,
          pg_last_wal_replay_lsn()::text AS replayed,
          coalesce(pg_last_wal_replay_lsn() >= ${quoteLiteral(position)}::pg_lsn, false) AS done`);
      if (now.done) return;
      if (!now.inRecovery) throw promotedTooEarly(server, position);
      const seen = `${now.received ?? ""} ${now.replayed ?? ""}`;
      if (seen !== last) since = machine.elapsed();
      last = seen;
      if (machine.elapsed() - since > REPLAY_PATIENCE_MS) throw nothingArrives(now, position);
      await machine.wait(REPLAY_POLL_MS, signal);
    }
  } finally {
    await session.close();
  }
}

const promotedTooEarly = ({ data }: StandbyServer, position: string) =>
  new MigrationError(
    "target-unsuitable",
    `the server in ${data} was promoted before it had everything of the old one, up to ${position}`,
    { hint: "it is no copy any more: begin again with synlift follow --begin-again" },
  );

const nothingArrives = ({ replayed }: StandbyProgress, position: string) =>
  new MigrationError(
    "connection-failed",
    `the standby is at ${replayed ?? "the start of its log"} and has received nothing for two minutes; ${position} is needed`,
    {
      hint: "see its log for the reason, and whether ssh still reaches the old host; then run the same command again",
    },
  );

/** Lets it go on where a comparison that was killed has paused it: it would receive, and never replay. Does nothing otherwise. */
export async function resumeReplay(
  server: StandbyServer,
  { postgres, machine }: Pick<System, "postgres" | "machine">,
): Promise<void> {
  const session = await postgres.connect(standbyDatabase(server, "postgres", machine));
  try {
    const { paused } = await session.one<{ paused: boolean }>(
      "SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused",
    );
    if (paused) await session.run("SELECT pg_wal_replay_resume();");
  } finally {
    await session.close();
  }
}

/** Seconds that the server itself waits for its promotion. */
const PROMOTE_SECONDS = 60;

/**
 * Makes it a server of its own, which writes. Does nothing when it is one already. Throws `restore-failed` when it does not become one,
 * and `database-unreachable`.
 */
export async function promoteStandby(
  server: StandbyServer,
  { postgres, machine }: Pick<System, "postgres" | "machine">,
): Promise<void> {
  const session = await postgres.connect(standbyDatabase(server, "postgres", machine));
  let failed: unknown;
  try {
    const { inRecovery } = await session.one<{ inRecovery: boolean }>(
      `SELECT pg_is_in_recovery() AS "inRecovery"`,
    );
    if (!inRecovery) return;
    const { promoted } = await session.one<{ promoted: boolean }>(
      `SELECT pg_promote(true, ${PROMOTE_SECONDS}) AS promoted`,
    );
    if (promoted) return;
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    failed = error;
  } finally {
    await session.close();
  }
  throw new MigrationError(
    "restore-failed",
    failed instanceof MigrationError
      ? `the server in ${server.data} could not be promoted: ${failed.message}`
      : `the server in ${server.data} was not promoted within ${PROMOTE_SECONDS} seconds`,
    {
      hint: "see its log for the reason, then run the same command again; until then the old server can run: on the old host, synlift rollback",
      cause: failed,
    },
  );
}
