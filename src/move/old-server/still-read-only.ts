import { MigrationError } from "../../errors.ts";
import { addressOfStore, connect } from "../../homeserver/database/address.ts";
import { roleName, type RoleState, roleState } from "../../homeserver/database/fence.ts";
import { STORES } from "../../homeserver/database/store.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { FenceRecord } from "../../homeserver/service/fence/record.ts";
import type { Finding } from "../../report/finding.ts";
import { type PostgresAddress, quoteIdentifier } from "../../system/postgres/postgres.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";

/** Instructions that make a role writable again without the fence record. */
export const makeRoleWritableText = ({ role, database }: Pick<RoleState, "role" | "database">) =>
  `in psql on ${database}: SET default_transaction_read_only = off; ALTER ROLE ${quoteIdentifier(role)} IN DATABASE ${quoteIdentifier(database)} RESET default_transaction_read_only;`;

export const makeFileWritableCommand = (path: string) => `chmod u+w ${quoteShellWord(path)}`;

/** For an export that finds a role or file read-only that it did not change: it cannot undo that. */
export const alreadyReadOnly = (what: string, command: string): Finding => ({
  id: "already-read-only",
  level: "warning",
  sentence: `${what} was already read-only before this export: rollback of this folder does not change that`,
  hint: `to cancel the move, roll back the folder of the export that made it read-only, or ${command}`,
});

/**
 * What is still read-only although this record did not make it so, each with the command that makes it writable. What
 * cannot be checked is left out: starting the server will show it.
 */
export async function findReadOnly(
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
    closed.push(`the database role ${state.role} is read-only; ${makeRoleWritableText(state)}`);
  }
  if (database.kind === "sqlite") {
    const found = await system.files.stat(database.path);
    if (found && (found.mode & 0o222) === 0 && !record.find("file-writes", database.path))
      closed.push(`${database.path} is read-only; ${makeFileWritableCommand(database.path)}`);
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
