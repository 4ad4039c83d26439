import { z } from "zod";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { parseDatabaseAddress } from "./database.ts";

/** The server where the schema is tried. */
export const TRIAL_OPTIONS = optionGroup({
  heading: "Trial of the schema",
  options: [
    {
      flags: "--try-on <address>",
      about:
        "PostgreSQL server where the schema is restored, without rows, into a throw-away database that is dropped again: 'host=… user=… dbname=postgres'",
    },
    { flags: "--try-on-password-file <file>", about: "file that contains only that user's password" },
  ],
  schema: {
    tryOn: z.string().min(1).optional(),
    tryOnPasswordFile: z.string().min(1).optional(),
  },
  /** Throws `bad-usage`, `file-missing`. */
  read: async (given, system: System): Promise<PostgresAddress | undefined> =>
    given.tryOn === undefined
      ? undefined
      : parseDatabaseAddress(given.tryOn, given.tryOnPasswordFile, system, "--try-on"),
});
