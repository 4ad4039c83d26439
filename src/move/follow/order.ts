import type { Road } from "../../homeserver/database/follow/record.ts";
import type { OldHost } from "../connect.ts";
import type { StandbyPlace } from "./choose-standby.ts";
import type { LogicalPlace } from "./logical/choose.ts";
import type { MediaOrder } from "./media/settle.ts";

export interface FollowOrder {
  /** Where the new server's configuration will be. Absolute. */
  readonly configDir: string;
  /** Undefined to go on with what was begun. */
  readonly old: OldHost | undefined;
  /** Undefined for the one that fits. */
  readonly road: Road | undefined;
  readonly place: StandbyPlace;
  /** Where logical replication copies to; undefined where no database was named. */
  readonly logical: LogicalPlace | undefined;
  readonly checkpoint: "spread" | "fast";
  readonly maxRate: string | undefined;
  /** The media beside the database. */
  readonly media: MediaOrder;
  /** Consent to restart the old PostgreSQL once, where that is needed. */
  readonly restart: boolean;
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly beginAgain: boolean;
  readonly untilCaughtUp: boolean;
  /** Write a systemd unit that does the rest, and start it. */
  readonly service: { readonly systemdDir: string } | undefined;
}
