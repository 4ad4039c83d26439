import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { RollbackOrder } from "../../move/rollback/run.ts";
import { optionGroup } from "../command.ts";

/** What becomes of a copy that follows the old database when a move is cancelled. */
export const FOLLOWED_COPY_OPTIONS = optionGroup({
  heading: "Copy that follows the old database",
  options: [
    {
      flags: "--keep-following",
      about: "leave PostgreSQL so that the copy can go on following; it can as long as it was not promoted",
    },
    {
      flags: "--only-follow",
      about:
        "undo only what follow changed in PostgreSQL, and leave the old server as it is: also after the new one was opened",
    },
  ],
  schema: {
    keepFollowing: z.boolean().default(false),
    onlyFollow: z.boolean().default(false),
  },
  /** Throws `bad-usage`. */
  read({ keepFollowing, onlyFollow }): RollbackOrder["follow"] {
    if (keepFollowing && onlyFollow)
      throw new MigrationError("bad-usage", "--keep-following: cannot be combined with --only-follow");
    if (onlyFollow) return "only";
    return keepFollowing ? "keep" : "undo";
  },
});
