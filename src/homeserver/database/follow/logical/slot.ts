import { MigrationError } from "../../../../errors.ts";
import type { Machine } from "../../../../system/machine.ts";
import {
  describeAddress,
  type PostgresAddress,
  postgresCall,
  type PostgresSession,
  quoteIdentifier,
  quoteLiteral,
  SQLSTATE_ARGUMENTS,
  withoutRowValues,
} from "../../../../system/postgres/postgres.ts";
import { linesOf } from "../../../../system/programs/lines.ts";
import type { InteractiveProgram, Programs } from "../../../../system/programs/programs.ts";
import type { QuerySession } from "../../../../system/query.ts";
import { majorOf } from "../../facts.ts";

/** A replication slot whose snapshot of the database can be used by other sessions until `close` is called. */
export interface ExportedSlot {
  /** Everything that was committed before this position of the log is in the snapshot, and nothing else; the slot has the rest. */
  readonly position: string;
  /** For SET TRANSACTION SNAPSHOT, and for pg_dump's --snapshot. */
  readonly snapshot: string;
  /** Ends the session that holds the snapshot. The slot stays. May be called twice. */
  close(): Promise<void>;
}

export interface NewSlot {
  /** The database, as a role with REPLICATION connects: directly, not through a pooler. */
  readonly address: PostgresAddress;
  readonly slot: string;
  readonly serverVersion: number;
  readonly psql: string;
  /** Milliseconds that transactions which are open now are waited for: the slot begins when all of them have ended. */
  readonly patience?: number;
}

/**
 * Creates a slot for logical replication with the plug-in of PostgreSQL's own publications, and keeps its session open, as the snapshot
 * lasts only until that session's next command. Throws `database-unreachable`, and `program-failed` when the server refuses, or
 * when transactions stay open for longer than `patience`; then there is no slot.
 */
export async function createSlot(
  { address, slot, serverVersion, psql, patience = PATIENCE }: NewSlot,
  programs: Programs,
): Promise<ExportedSlot> {
  const to = { ...address, parameters: { ...address.parameters, ...sessionOptions(serverVersion) } };
  const program = await programs.start(
    postgresCall(psql, to, [
      ...["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"],
      ...SQLSTATE_ARGUMENTS,
    ]),
  );
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    program.kill();
  }, patience);
  try {
    await program.write(`${createStatement(slot, serverVersion)}\n`).catch(() => undefined);
    const answer = await firstLine(program);
    if (answer === undefined) throw await refusal(program, { slot, address, late });
    const [, position = "", snapshot = ""] = answer.split("|");
    let closing: Promise<unknown> | undefined;
    return {
      position,
      snapshot,
      close: async () => {
        await (closing ??= program.close());
      },
    };
  } catch (error) {
    program.kill();
    await program.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Milliseconds. */
const PATIENCE = 3600_000;

/** From 15 on all options are in parentheses (PostgreSQL documentation, Streaming Replication Protocol). */
const createStatement = (slot: string, serverVersion: number) =>
  `CREATE_REPLICATION_SLOT ${quoteIdentifier(slot)} LOGICAL pgoutput ${majorOf(serverVersion) >= 15 ? "(SNAPSHOT 'export')" : "EXPORT_SNAPSHOT"};`;

/** The session does nothing for hours, within a transaction: no time limit of the role or of the server may end it. */
function sessionOptions(serverVersion: number): Record<string, string> {
  const major = majorOf(serverVersion);
  const limits = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    ...(major >= 14 ? ["idle_session_timeout"] : []),
    ...(major >= 17 ? ["transaction_timeout"] : []),
  ];
  return {
    replication: "database",
    application_name: "synlift",
    options: limits.map((name) => `-c ${name}=0`).join(" "),
  };
}

async function firstLine(program: InteractiveProgram): Promise<string | undefined> {
  const pieces = linesOf(program.output)[Symbol.asyncIterator]();
  for (;;) {
    const piece = await pieces.next();
    if (piece.done === true) return undefined;
    const line = piece.value.find((one) => one !== "");
    if (line !== undefined) return line;
  }
}

async function refusal(
  program: InteractiveProgram,
  { slot, address, late }: { slot: string; address: PostgresAddress; late: boolean },
): Promise<MigrationError> {
  const ended = await program.close();
  const where = describeAddress(address);
  if (late)
    return new MigrationError(
      "program-failed",
      `the replication slot ${slot} cannot begin on ${where}: transactions stay open there`,
      {
        hint: "end the session that has the oldest one, then run the same command again: SELECT pid, usename, application_name, xact_start FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start",
      },
    );
  const plain = new MigrationError("program-failed", `psql ended`, {
    reason: { kind: "exit-status", program: "psql", status: ended.code },
  });
  const { message, reason } = withoutRowValues(plain, ended);
  return new MigrationError(
    reason?.kind === "sqlstate" ? "program-failed" : "database-unreachable",
    `the replication slot ${slot} cannot be created on ${where}: ${message}`,
    {
      hint: "check that the role may replicate, that wal_level is logical, that a slot and a sender are free, and that pg_hba.conf has a line for this role and database",
      reason,
    },
  );
}

/** What the publisher says of a slot. */
export interface SlotState {
  readonly active: boolean;
  /** "reserved", "extended", "unreserved" (about to be lost), "lost"; null before PostgreSQL 13. */
  readonly walStatus: string | null;
  /** Bytes of the log that the slot keeps on the publisher's disk. */
  readonly heldBytes: number;
  /** Bytes that may still be written before it may be lost; null without a limit, and before 13. */
  readonly safeBytes: number | null;
  /** Everything before this position has been written to disk by the subscriber. */
  readonly confirmed: string;
  /** Bytes of the log that were ever written. */
  readonly writtenBytes: number;
  /** Bytes of the log behind `confirmed`. */
  readonly lagBytes: number;
  /** Seconds by which the subscriber is behind, as the publisher measures them; null when idle or not connected. */
  readonly lagSeconds: number | null;
}

/** Undefined where there is no such slot. Needs a role that may read pg_stat_replication (pg_monitor) for the seconds. */
export async function slotState(publisher: QuerySession, slot: string): Promise<SlotState | undefined> {
  const [state] = await publisher.all<SlotState>(`
    SELECT s.active, to_jsonb(s) ->> 'wal_status' AS "walStatus", (to_jsonb(s) ->> 'safe_wal_size')::bigint AS "safeBytes",
      coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint AS "heldBytes",
      coalesce(s.confirmed_flush_lsn::text, '0/0') AS confirmed,
      pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS "writtenBytes",
      greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(s.confirmed_flush_lsn, '0/0')), 0)::bigint AS "lagBytes",
      (SELECT extract(epoch FROM r.replay_lag)::float8 FROM pg_stat_replication r WHERE r.pid = s.active_pid) AS "lagSeconds"
    FROM pg_replication_slots s WHERE s.slot_name = ${quoteLiteral(slot)}`);
  return state;
}

/**
 * Drops a slot, and ends its walsender first, which may outlive a connection that was cut. Does nothing where there is none: may be
 * repeated. Needs a session that writes, of the role that uses the slot or of a superuser. Throws `program-failed`.
 */
export async function dropSlot(
  session: PostgresSession,
  slot: string,
  { wait }: Pick<Machine, "wait">,
): Promise<void> {
  const name = quoteLiteral(slot);
  for (let look = 0; look < LOOKS; look += 1) {
    const [found] = await session.all<{ active: boolean }>(
      `SELECT active, CASE WHEN active THEN pg_terminate_backend(active_pid) END AS ended FROM pg_replication_slots WHERE slot_name = ${name}`,
    );
    if (!found) return;
    if (!found.active) {
      // Only where nobody has taken it again meanwhile: a refused statement would end the session.
      const dropped = await session.all(
        `SELECT pg_drop_replication_slot(slot_name) AS dropped FROM pg_replication_slots WHERE slot_name = ${name} AND NOT active`,
      );
      if (dropped.length > 0) return;
    }
    await wait(PAUSE);
  }
  throw new MigrationError(
    "program-failed",
    `the replication slot ${slot} cannot be dropped: something connects to it again and again`,
    {
      hint: `stop synlift follow on the new host, and its subscription; then run the same command again`,
    },
  );
}

const PAUSE = 200;
const LOOKS = 150;
