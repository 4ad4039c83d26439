import type { PostgresAddress } from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";
import type { Homeserver } from "../../homeserver.ts";
import { addressOfStore, connect, databaseAddress } from "../address.ts";
import { type Administrator, findAdministrator, type GivenAdministrator } from "./administrator.ts";
import type { FollowedDatabases } from "./read-facts.ts";

/**
 * The PostgreSQL of a homeserver: how its databases and its administrator connect. Throws `database-unsupported`, and what a
 * connection throws.
 */
export async function findServer(
  homeserver: Homeserver,
  given: GivenAdministrator | undefined,
  system: Pick<System, "postgres" | "machine" | "files">,
): Promise<{ databases: FollowedDatabases; administrator: Administrator }> {
  const reachable = async (named: PostgresAddress) => {
    const { session, address } = await connect(named, system, homeserver.mediaStore);
    await session.close();
    return address;
  };
  const [state, mas] = [addressOfStore("state", homeserver), addressOfStore("mas", homeserver)];
  const databases = {
    main: await reachable(databaseAddress(homeserver)),
    state: state && (await reachable(state)),
    mas: mas && (await reachable(mas)),
  };
  return { databases, administrator: await findAdministrator(databases.main, given, system) };
}
