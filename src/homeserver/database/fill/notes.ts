import type { Postgres, PostgresAddress } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import { ownSearchPath } from "./search-path.ts";

/** Before a restore: notes that the database user is a superuser. */
export async function warnOfSuperuser(
  address: PostgresAddress,
  postgres: Postgres,
  progress: Pick<Progress, "note">,
): Promise<void> {
  if (await isSuperuser(address, postgres))
    progress.note(
      "this database user is a superuser: give the homeserver one of its own, and restore only bundles that you trust",
    );
}

/** After a restore: notes the search_path that it set. */
export async function noteSearchPath(
  address: PostgresAddress,
  postgres: Postgres,
  progress: Pick<Progress, "note">,
): Promise<void> {
  const path = await ownSearchPath(address, postgres);
  if (path !== undefined)
    progress.note(
      `the tables are not in the schema public: the search_path ${path} was set for this user in this database; other users of it do not have it`,
    );
}
/** Whether this user is a superuser: then a dump that somebody else made could run programs on the server. */
async function isSuperuser(address: PostgresAddress, postgres: Postgres): Promise<boolean> {
  const session = await postgres.connect(address);
  const asked = session.one<{ super: boolean }>(
    "SELECT rolsuper AS super FROM pg_roles WHERE rolname = current_user",
  );
  return (await asked.finally(() => session.close())).super;
}
