import type { Inventory } from "../../bundle/inventory.ts";
import type { DatabaseRestore } from "../../homeserver/database/target.ts";
import type { RestoreTarget } from "../restore/run.ts";
import type { SenderCall } from "./connect.ts";
import type { OldHostMessages } from "./protocol.ts";

export interface DirectOrder {
  readonly road: SenderCall;
  readonly rehearsal: boolean;
  readonly dryRun: boolean;
  /** Do not ask for consent. */
  readonly yes: boolean;
  /** Compress the database for the transfer. */
  readonly presses: boolean;
  readonly placing: RestoreTarget;
  /** The target of each database; throws when they do not match. */
  readonly databasesFor: (
    looked: OldHostMessages["looked"],
    counted: Inventory,
  ) => Promise<DatabaseRestore[]>;
}
