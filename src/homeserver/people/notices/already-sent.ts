import { type QuerySession, quoteLiteral } from "../../../system/query.ts";
import { type Campaign, NOTICE_KEY } from "./campaign.ts";

/**
 * Finds who was already sent this text, from the server's own database: it survives a lost record and a restart of
 * Synapse, which forgets transactions after half an hour.
 */
export async function findNotified(
  session: QuerySession,
  { id }: Campaign,
  noticesUser: string,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  // The text as Synapse writes JSON: without spaces.
  const mark = `%"${NOTICE_KEY}":"${id}"%`;
  const rows = session.rows<{ userId: string }>(`
    SELECT DISTINCT m.user_id AS "userId"
    FROM local_current_membership n
    JOIN events e ON e.room_id = n.room_id AND e.sender = n.user_id AND e.type = 'm.room.message'
    JOIN event_json j ON j.event_id = e.event_id AND j.json LIKE ${quoteLiteral(mark)}
    JOIN local_current_membership m ON m.room_id = n.room_id AND m.user_id <> n.user_id
    WHERE n.user_id = ${quoteLiteral(noticesUser)}`);
  for await (const { userId } of rows) found.add(userId);
  return found;
}
