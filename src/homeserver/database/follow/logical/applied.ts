import { MigrationError } from "../../../../errors.ts";
import type { Machine } from "../../../../system/machine.ts";
import { type PostgresSession, quoteIdentifier, quoteLiteral } from "../../../../system/postgres/postgres.ts";
import type { QuerySession } from "../../../../system/query.ts";
import { readSequences } from "../../count.ts";
import { slotState } from "./slot.ts";

export interface Awaited {
  readonly slot: string;
  /** Of the publisher's log: everything before it has to be on the subscriber's disk. */
  readonly position: string;
  /** Milliseconds without any progress after which it gives up. */
  readonly patience: number;
  readonly machine: Pick<Machine, "wait" | "elapsed">;
  readonly signal: AbortSignal;
  /** Bytes of the log that are still to come. */
  readonly left?: (bytes: number) => void;
}

/**
 * Waits until the subscriber has written everything before a position to its disk, as it has confirmed to the publisher. Rows that
 * were committed before are there then. Throws `program-failed` when nothing moves for `patience`, and when the slot is gone.
 */
export async function waitForApplied(publisher: QuerySession, awaited: Awaited): Promise<void> {
  const { slot, position, patience, machine, signal } = awaited;
  let best = Infinity;
  let since = machine.elapsed();
  for (;;) {
    signal.throwIfAborted();
    const [found] = await publisher.all<{ left: number }>(
      `SELECT greatest(pg_wal_lsn_diff(${quoteLiteral(position)}, coalesce(confirmed_flush_lsn, '0/0')), 0)::bigint AS left
       FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(slot)}`,
    );
    if (!found)
      throw new MigrationError(
        "program-failed",
        `the old database has no replication slot ${slot} any more`,
        {
          hint: "the copy cannot catch up: undo what was begun, then begin again, or move without it: synlift follow stop",
        },
      );
    if (found.left === 0) return;
    if (found.left < best) {
      best = found.left;
      since = machine.elapsed();
    } else if (machine.elapsed() - since > patience) throw await stands(publisher, awaited, found.left);
    awaited.left?.(found.left);
    await machine.wait(LOOK, signal);
  }
}

/** Milliseconds: a part of the outage. */
const LOOK = 20;

async function stands(publisher: QuerySession, { slot, patience }: Awaited, left: number) {
  const state = await slotState(publisher, slot);
  const connected =
    state?.active === true ? "the subscription is connected" : "the subscription is not connected";
  return new MigrationError(
    "program-failed",
    `the copy lacks ${left} bytes of the old database's log, and none has come for ${Math.round(patience / 1000)} seconds: ${connected}`,
    {
      hint: "synlift follow status says why; the old server is unharmed, and rollback there starts it again",
    },
  );
}

/**
 * Sets every sequence of the new database to where it is at the source, those of identity columns too: no replication carries them. Call it
 * when nothing writes there any more. Returns how many. May be repeated. `target` is a session that writes, of the sequences' owner. Throws `restore-failed`
 * for one that the new database does not have.
 */
export async function copySequences(source: QuerySession, target: PostgresSession): Promise<number> {
  const [there, here] = [await readSequences(source), await readSequences(target)];
  const names = Object.keys(there);
  const missing = names.filter((name) => !(name in here));
  if (missing.length > 0)
    throw new MigrationError(
      "restore-failed",
      `the new database lacks ${missing.length === 1 ? "a sequence" : `${missing.length} sequences`} that the old one has: ${missing.slice(0, 3).join(", ")}`,
      {
        hint: "the schema was changed after the copy was begun: undo what was begun, then begin again: synlift follow stop",
      },
    );
  if (names.length === 0) return 0;
  await target.run(
    names
      .map((name) => {
        const { last, called } = there[name]!;
        const [schema = "", ...rest] = name.split(".");
        const quoted = `${quoteIdentifier(schema)}.${quoteIdentifier(rest.join("."))}`;
        return `SELECT setval(${quoteLiteral(quoted)}, ${last}, ${called});`;
      })
      .join("\n"),
  );
  return names.length;
}
