import type { Inventory } from "../../bundle/inventory.ts";
import type { DatabaseRestore } from "../../homeserver/database/target.ts";
import type { Placing } from "../restore/run.ts";
import type { Road } from "./connect.ts";
import type { FromOld } from "./protocol.ts";

export interface RoadOrder {
  readonly road: Road;
  readonly rehearsal: boolean;
  readonly dryRun: boolean;
  /** Nobody is asked. */
  readonly yes: boolean;
  /** Compress the database on the way. */
  readonly presses: boolean;
  readonly placing: Placing;
  /** Where each database is to go; throws when they do not fit. */
  readonly databasesFor: (looked: FromOld["looked"], counted: Inventory) => Promise<DatabaseRestore[]>;
}
