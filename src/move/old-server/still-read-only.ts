import { MigrationError } from "../../errors.ts";
import { addressOfStore, connect } from "../../homeserver/database/address.ts";
import { roleName, type RoleState, roleState } from "../../homeserver/database/fence.ts";
import { STORES } from "../../homeserver/database/store.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { FenceRecord } from "../../homeserver/service/fence/record.ts";
import type { Finding } from "../../report/finding.ts";
import { type PostgresAddress, sqlName } from "../../system/postgres/postgres.ts";
import { shellWord } from "../../system/shell-word.ts";
import type { System } from "../../system/system.ts";

/** What lets a role write again, for whom the record of its fence is gone. */
export const openRoleWords = ({ role, database }: Pick<RoleState, "role" | "database">) =>
  `in psql on ${database}: SET default_transaction_read_only = off; ALTER ROLE ${sqlName(role)} IN DATABASE ${sqlName(database)} RESET default_transaction_read_only;`;

export const openFileWords = (path: string) => `chmod u+w ${shellWord(path)}`;

/** For an export that finds closed what it did not close: it knows no way back for it. */
export const closedBefore = (what: string, command: string): Finding => ({
  id: "fence-older",
  level: "warning",
  sentence: `${what} was closed already, not by this export: rollback of this folder does not open it`,
  hint: `to give up the move, roll back the folder of the export that closed it, or ${command}`,
});

/**
 * What the server could not write to if it were started now, though this record does not keep it so, each with the
 * command that opens it. What cannot be looked at is left out: the start will say it.
 */
export async function stillClosed(
  homeserver: Homeserver,
  record: Pick<FenceRecord, "find">,
  system: System,
): Promise<string[]> {
  const { database } = homeserver;
  const closed: string[] = [];
  for (const store of STORES) {
    const address = addressOfStore(store, homeserver);
    if (!address) continue;
    const state = await lookAt(address, homeserver, system);
    if (state?.before !== "on" || record.find("role-writes", roleName(state, store))) continue;
    closed.push(`the database role ${state.role} can only read; ${openRoleWords(state)}`);
  }
  if (database.kind === "sqlite") {
    const found = await system.files.follow(database.path);
    if (found && (found.mode & 0o222) === 0 && !record.find("file-writes", database.path))
      closed.push(`${database.path} can only be read; ${openFileWords(database.path)}`);
  }
  return closed;
}

async function lookAt(
  address: PostgresAddress,
  { mediaStore }: Homeserver,
  system: System,
): Promise<RoleState | undefined> {
  try {
    const { session } = await connect(address, system, mediaStore);
    return await roleState(session).finally(() => session.close());
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return undefined;
  }
}
