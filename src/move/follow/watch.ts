import { MigrationError } from "../../errors.ts";
import { STANDBY_NAME } from "../../homeserver/database/follow/standby-settings.ts";
import {
  readStandby,
  standbyDatabase,
  type StandbyServer,
} from "../../homeserver/database/follow/standby.ts";
import { type PostgresSession, quoteLiteral } from "../../system/postgres/postgres.ts";
import type { System } from "../../system/system.ts";

/** How a copy is, as both servers say. Sizes in bytes; null where it is not known. */
export interface Followed {
  /** Of its log that the old server has ever written, so that two looks can be compared. */
  readonly writtenBytes: number;
  /** Of the old server's log that is not in the copy's tables yet. */
  readonly lagBytes: number | null;
  /** Seconds by which what people read in the copy is older; 0 when nothing is missing. */
  readonly lagSeconds: number | null;
  /** Of its log that the old server keeps for the copy. */
  readonly heldBytes: number | null;
  /** That it may keep in addition before the copy is given up. */
  readonly roomBytes: number | null;
  /**
   * What of its log the slot has: "reserved", "extended", "unreserved" or "lost"; "missing" for one that is gone (PostgreSQL,
   * pg_replication_slots). Where none was made, "none", or "lost" once what the copy needs next was removed.
   */
  readonly slot: string;
  readonly connected: boolean;
  /** Of the disk with the copy. */
  readonly freeBytes: number;
}

/** Both servers, connected. The caller closes it. */
export interface Watch {
  look(): Promise<Followed>;
  close(): Promise<void>;
}

interface SlotRow {
  readonly written: number;
  readonly status: string | null;
  readonly held: number | null;
  readonly room: number | null;
  readonly lag: number | null;
  readonly seconds: number | null;
}

/** From 13 on a slot says how much it may hold back. */
const LIMITS = 130_000;

/** Milliseconds in which a look has to be answered. */
const LOOK_TIMEOUT_MS = 30_000;

/** Throws `database-unreachable`. */
export async function watchStandby(
  old: { readonly session: PostgresSession; readonly slot: string | null; readonly serverVersion: number },
  server: StandbyServer,
  { postgres, machine, files }: System,
): Promise<Watch> {
  const here = await postgres.connect(standbyDatabase(server, "postgres", machine), {
    responseTimeout: LOOK_TIMEOUT_MS,
  });
  return {
    async look() {
      const { inRecovery, replayed, receiving } = await readStandby(here);
      if (!inRecovery)
        throw new MigrationError(
          "already-opened",
          `the server in ${server.data} was promoted: it follows no more`,
          {
            hint: "go on with the cut-over where it was broken off, or begin again: synlift follow … --begin-again",
          },
        );
      const row = await old.session.one<SlotRow>(slotQuery(old.slot, old.serverVersion, replayed));
      const none = async () => (!receiving && (await isTooFarBehind(old.session, here)) ? "lost" : "none");
      return {
        writtenBytes: row.written,
        lagBytes: row.lag === null ? null : Math.max(0, row.lag),
        lagSeconds: row.lag === 0 ? 0 : row.seconds,
        heldBytes: row.held,
        roomBytes: row.room,
        slot: old.slot === null ? await none() : (row.status ?? "missing"),
        connected: receiving,
        freeBytes: (await files.diskSpace(server.data)).free,
      };
    },
    close: () => here.close(),
  };
}

function slotQuery(slot: string | null, version: number, replayed: string | null): string {
  const limits =
    version >= LIMITS
      ? "s.wal_status AS status, s.safe_wal_size::float8 AS room"
      : "CASE WHEN s.slot_name IS NULL THEN NULL ELSE 'reserved' END AS status, NULL::float8 AS room";
  return `
    SELECT ${limits}, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS written,
      pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::float8 AS held,
      ${replayed === null ? "NULL::float8" : `pg_wal_lsn_diff(pg_current_wal_lsn(), ${quoteLiteral(replayed)})::float8`} AS lag,
      (SELECT extract(epoch FROM max(replay_lag))::float8 FROM pg_stat_replication
        WHERE application_name = ${quoteLiteral(STANDBY_NAME)}) AS seconds
    FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = ${quoteLiteral(slot ?? "")}`;
}

/**
 * Without a slot, nothing says so but the log of either server: whether the old one has removed the file that the standby waits for. While
 * that still reads files of its own, it waits for none. The wait is called so in PostgreSQL 12, the only version without slots here
 * (its documentation, wait_event; pg_ls_waldir).
 */
async function isTooFarBehind(old: PostgresSession, here: PostgresSession): Promise<boolean> {
  const { position } = await here.one<{ position: string | null }>(`
    SELECT CASE WHEN EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryWalStream')
      THEN pg_last_wal_replay_lsn()::text END AS position`);
  if (position === null) return false;
  const { removed } = await old.one<{ removed: boolean }>(`
    SELECT coalesce(floor(pg_wal_lsn_diff(${quoteLiteral(position)}, '0/0') / s.bytes) < min(
      ('x' || substr(name, 9, 8))::bit(32)::bigint * (4294967296 / s.bytes) + ('x' || substr(name, 17, 8))::bit(32)::bigint), false) AS removed
    FROM pg_ls_waldir() f, (SELECT setting::bigint AS bytes FROM pg_settings WHERE name = 'wal_segment_size') s
    WHERE name ~ '^[0-9A-F]{24}$' GROUP BY s.bytes`);
  return removed;
}

/** What a slot says when the old server has removed what the copy still needs: nothing brings it back. */
export const isLost = ({ slot }: Pick<Followed, "slot">) => slot === "lost" || slot === "missing";
