import type { Postgres, PostgresAddress } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import { ownSearchPath } from "./search-path.ts";

/** Before a database is filled: what its user may do that it should not. */
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

/** Once it is filled: see `findTables`. */
export async function tellSearchPath(
  address: PostgresAddress,
  postgres: Postgres,
  progress: Pick<Progress, "note">,
): Promise<void> {
  const path = await ownSearchPath(address, postgres);
  if (path !== undefined)
    progress.note(
      `the tables are not in the schema public: in this database, its user has the search_path ${path}, and no other user of it has`,
    );
}
/** Whether this user may do anything to the server: then a dump that somebody else made could run programs there. */
export async function isSuperuser(address: PostgresAddress, postgres: Postgres): Promise<boolean> {
  const session = await postgres.connect(address);
  const asked = session.one<{ super: boolean }>(
    "SELECT rolsuper AS super FROM pg_roles WHERE rolname = current_user",
  );
  return (await asked.finally(() => session.close())).super;
}
