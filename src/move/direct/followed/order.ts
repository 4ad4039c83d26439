import type { DatabaseSection } from "../../../homeserver/database/section.ts";
import type { OldHostMessages } from "../protocol.ts";

/** A pull of a homeserver whose database follows already. */
export interface FollowedPull {
  /** What will be done with the copy, in words, a line each. */
  readonly lines: readonly string[];
  /** Called when the media that existed before the stop are here, and the old server still runs. */
  readonly mediaCame: () => Promise<void>;
  /** Cuts over, once the old server is fenced. Returns the inventory's sections of the databases. */
  readonly cut: (
    roles: OldHostMessages["fenced"]["roles"],
  ) => Promise<Partial<Record<"main" | "state", DatabaseSection>>>;
}
