import type { RestoreTarget } from "../restore/run.ts";
import type { SenderCall } from "../connect.ts";

/** A direct transfer, as the new host orders it. */
export interface PullOrder {
  /** How the sender is started on the old host. */
  readonly sender: SenderCall;
  /** The database is not sent: a copy on this host follows it, and is cut over. */
  readonly followed: boolean;
  /** The old server keeps running, and the result cannot be opened as the real server. */
  readonly rehearsal: boolean;
  readonly dryRun: boolean;
  /** Do not ask for consent. */
  readonly yes: boolean;
  /** Compress the database for the transfer. */
  readonly compress: boolean;
  readonly target: RestoreTarget;
}
