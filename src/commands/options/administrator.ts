import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { GivenAdministrator } from "../../homeserver/database/follow/administrator.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { parseDatabaseAddress } from "./database.ts";

/** PostgreSQL's administrator on the old host. */
export const ADMINISTRATOR_OPTIONS = optionGroup({
  heading: "Administrator of the old database",
  options: [
    {
      flags: "--admin-database <address>",
      about:
        "how a superuser of the old PostgreSQL connects, without password: 'host=… user=… dbname=postgres'",
      default: "the user postgres through the socket of this host, or at the homeserver's own address",
    },
    {
      flags: "--admin-database-password-file <file>",
      about: "file that contains only the administrator's password; it is read again when follow is undone",
    },
  ],
  schema: {
    adminDatabase: z.string().min(1).optional(),
    adminDatabasePasswordFile: z.string().min(1).optional(),
  },
  /** Throws `bad-usage`, `file-missing`. */
  async read(
    { adminDatabase: text, adminDatabasePasswordFile: file },
    system: System,
  ): Promise<GivenAdministrator | undefined> {
    if (text === undefined) {
      if (file === undefined) return undefined;
      throw new MigrationError(
        "bad-usage",
        "--admin-database-password-file: --admin-database must be given, too",
      );
    }
    const passwordFile = file === undefined ? undefined : resolve(system.machine.folder, file);
    return {
      address: await parseDatabaseAddress(text, passwordFile, system, "--admin-database"),
      passwordFile,
    };
  },
});
