import { type Kept, NOTHING_KEPT, ONE_TIME_KEYS, removeExcludedRows } from "../../homeserver/scope.ts";
import type { QuerySession } from "../../system/query.ts";

/** Instructions, stored in the bundle, for opening it with standard programs instead of synlift. */
export const openingNotes = (
  engine: QuerySession["engine"],
  kept: Kept = NOTHING_KEPT,
) => `Then, before the new server is started:
- The signing key must be in place, at signing_key_path. Without it Synapse silently
  generates a new one, and other servers no longer trust this one.
${oneTimeKeys(engine)}
- ${kept.remote ? "Media of other servers is in the bundle" : kept.origins.length > 0 ? "Of other servers' media, only media of servers that no longer answer is in the bundle" : "Only local media is in the bundle"}. Rows
  of files that are not in the bundle answer 404 forever unless you run these statements:

${removeExcludedRows(engine, kept)
  .filter((statement) => engine === "sqlite" || !statement.includes(ONE_TIME_KEYS))
  .map((statement) => `    ${statement}`)
  .join("\n")}

- The old server must never be started again.
`;

const oneTimeKeys = (engine: QuerySession["engine"]) =>
  engine === "postgres"
    ? `- The table ${ONE_TIME_KEYS} must be empty. It is: its rows were left out
  of the dump on purpose, because reused keys break encrypted messages.`
    : `- The table ${ONE_TIME_KEYS} must be empty, because reused keys
  break encrypted messages. The last of the statements below empties it: give them
  to sqlite3 homeserver.db. Then give the file to Synapse's account, mode 0600.`;
