import { MigrationError } from "../../errors.ts";
import { describeAddress } from "../../system/postgres/postgres.ts";
import { foreignDatabase, foreignUsers, tableNames } from "../database/identity.ts";
import type { OpenDatabase } from "../database/open.ts";

/** Throws `database-unsupported` when it is empty, not a Synapse database, or that of another server. */
export async function assertHomeserverDatabase(look: OpenDatabase, serverName: string): Promise<void> {
  const where = look.engine === "sqlite" ? look.path : describeAddress(look.address);
  const [fault = await foreignUsers(look.session, serverName)] = foreignDatabase(
    await tableNames(look.session),
    where,
  );
  if (fault.level !== "blocker") return;
  throw new MigrationError("database-unsupported", fault.sentence, { hint: fault.hint });
}
