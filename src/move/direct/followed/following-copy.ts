import type { Store } from "../../../homeserver/database/store.ts";
import type { PostgresAddress } from "../../../system/postgres/postgres.ts";

/** One database that follows. */
export interface FollowingDatabase {
  readonly store: Exclude<Store, "mas">;
  /** Its name on the old host. */
  readonly oldName: string;
  /** As the new server will use it. */
  readonly target: PostgresAddress;
  /** The same as PostgreSQL's administrator, on this host. */
  readonly administrator: PostgresAddress;
  /** As whom the new server has to log in; undefined where that is not known. */
  readonly owner: string | undefined;
}

/** A copy on this host that follows the old server, of either kind. */
export interface FollowingCopy {
  /**
   * Whether it is a copy of the whole server: roles and what is set for them come along, and it counts nothing of what comes
   * with the log.
   */
  readonly ofWholeServer: boolean;
  readonly databases: readonly FollowingDatabase[];
  /** Whether the rows of a table, such as "public.events", come along. */
  covers(table: string): boolean;
  /** False once it was promoted or detached: a server of its own. */
  follows(): Promise<boolean>;
  /** Resolves once everything up to this position is in it. */
  reach(position: string): Promise<void>;
  /** Holds it still while it is read; returns the undo. */
  pause(): Promise<() => Promise<void>>;
  /** Undoes what a killed run has paused. */
  resume(): Promise<void>;
  /** Makes it a server of its own. May be repeated. */
  detach(): Promise<void>;
}
