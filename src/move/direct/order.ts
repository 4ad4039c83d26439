import type { Inventory } from "../../bundle/inventory.ts";
import type { DatabaseRestore } from "../../homeserver/database/target.ts";
import type { Placing } from "../restore/run.ts";
import type { Road } from "./connect.ts";
import type { FromOld } from "./protocol.ts";

export interface RoadOrder {
  readonly road: Road;
  readonly rehearsal: boolean;
  readonly dryRun: boolean;
  /** Do not ask for consent. */
  readonly yes: boolean;
  /** Compress the database for the transfer. */
  readonly presses: boolean;
  readonly placing: Placing;
  /** The target of each database; throws when they do not match. */
  readonly databasesFor: (looked: FromOld["looked"], counted: Inventory) => Promise<DatabaseRestore[]>;
}
