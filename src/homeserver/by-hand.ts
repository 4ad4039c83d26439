import type { QuerySession } from "../system/query.ts";
import { ONE_TIME_KEYS, removeLeftBehind } from "./left-behind.ts";

/** What somebody must know who opens a bundle with plain programs and not with synlift. Goes into the bundle. */
export const afterOpeningByHand = (engine: QuerySession["engine"]) => `Then, before the new server is started:
- The signing key must be in place, at signing_key_path. Without it Synapse makes
  a new one without a word, and other servers no longer believe this one.
${oneTimeKeys(engine)}
- Only local media is in the bundle. Rows about remote media and about URL
  previews have no file here; without these statements they answer 404 for ever:

${removeLeftBehind(engine)
  .filter((statement) => engine === "sqlite" || !statement.includes(ONE_TIME_KEYS))
  .map((statement) => `    ${statement}`)
  .join("\n")}

- The old server must never be started again.
`;

const oneTimeKeys = (engine: QuerySession["engine"]) =>
  engine === "postgres"
    ? `- The table ${ONE_TIME_KEYS} must be empty. It is: its rows were left out
  of the dump on purpose, as used keys that come back break encrypted messages.`
    : `- The table ${ONE_TIME_KEYS} must be empty, as used keys that come back
  break encrypted messages. The last of the statements below empties it: give them
  to sqlite3 homeserver.db. Then give the file to Synapse's account, mode 0600.`;
