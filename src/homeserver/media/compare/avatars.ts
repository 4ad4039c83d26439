import { type QuerySession, quoteLiteral } from "../../../system/query.ts";
import type { CheckedMismatch } from "./mismatches.ts";
import type { UploadsComparison } from "./uploads.ts";

/** So many are asked about: as many as are named. */
const ASKED = 20;

/**
 * Says of the first uploads that are missing whose picture they were: a room's, or a person's. Two small tables tell
 * that, one row for each room and one for each account. In which message a file was sent stands in the events alone,
 * as JSON and without an index: to find one, the largest table of all would be read from end to end, and what was sent
 * in encrypted rooms would still not be found. So no finding says that a file was never used.
 */
export async function withAvatarUses(
  look: UploadsComparison,
  serverName: string,
  session: QuerySession,
): Promise<UploadsComparison> {
  const { some } = look.missing;
  const asked = some
    .slice(0, ASKED)
    .flatMap(({ id }) => (id === undefined ? [] : [addressOf(id, serverName)]));
  if (asked.length === 0 || !(await haveAvatarTables(session))) return look;
  const list = asked.map(quoteLiteral).join(", ");
  const rows = await session.all<{ address: string; room: string | null; person: string | null }>(`
    SELECT avatar AS address, room_id AS room, NULL AS person FROM room_stats_state WHERE avatar IN (${list})
    UNION ALL SELECT avatar_url, NULL, user_id FROM profiles WHERE avatar_url IN (${list})`);
  const uses = new Map<string, string>();
  for (const { address, room, person } of rows)
    uses.set(address, room === null ? `the picture of @${person}:${serverName}` : `the picture of ${room}`);
  const told = ({ id }: CheckedMismatch) =>
    id === undefined ? undefined : uses.get(addressOf(id, serverName));
  return { ...look, missing: { ...look.missing, some: some.map((one) => ({ ...one, usedAs: told(one) })) } };
}

const addressOf = (id: string, serverName: string) => `mxc://${serverName}/${id}`;

async function haveAvatarTables(session: QuerySession): Promise<boolean> {
  const { there } = await session.one<{ there: number }>(
    session.engine === "postgres"
      ? "SELECT count(to_regclass(name)) AS there FROM unnest(ARRAY['room_stats_state', 'profiles']) AS name"
      : "SELECT count(*) AS there FROM sqlite_master WHERE name IN ('room_stats_state', 'profiles')",
  );
  return there === 2;
}
