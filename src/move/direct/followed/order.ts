import type { DatabaseSection } from "../../../homeserver/database/section.ts";
import type { OldHost } from "../../connect.ts";
import type { OldHostMessages } from "../protocol.ts";

/** Media that were copied beside the database. */
export interface FollowedMedia {
  /** Bytes that are here. */
  readonly bytes: number;
  /** False where all of it is to be sent again. */
  readonly isListed: boolean;
  /** Names below the store that are to be sent again. */
  readonly without: ReadonlySet<string>;
}

/** A pull of a homeserver whose database follows already. */
export interface FollowedPull {
  /** How the copy reaches the old host. */
  readonly oldHost: OldHost;
  /** Undefined where none were copied. */
  readonly media: FollowedMedia | undefined;
  /** Awaited with the name of each media file before it is written; undefined where nobody has to know. */
  readonly begins: ((name: string) => Promise<void>) | undefined;
  /** What will be done with the copy, in words, a line each. */
  readonly lines: readonly string[];
  /** Called when the media that existed before the stop are here, and the old server still runs. */
  readonly mediaCame: () => Promise<void>;
  /** Receives the media that came since; `receive` adds the names of its files to the set. */
  readonly newestMedia: (receive: (names: Set<string>) => Promise<void>) => Promise<void>;
  /** Cuts over, once the old server is fenced. Returns the inventory's sections of the databases. */
  readonly cut: (
    roles: OldHostMessages["fenced"]["roles"],
  ) => Promise<Partial<Record<"main" | "state", DatabaseSection>>>;
}
