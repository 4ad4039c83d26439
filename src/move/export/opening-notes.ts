import { type Kept, NOTHING_KEPT, ONE_TIME_KEYS, removeLeftBehind } from "../../homeserver/scope.ts";
import type { QuerySession } from "../../system/query.ts";

/** What somebody must know who opens a bundle with plain programs and not with synlift. Goes into the bundle. */
export const afterOpeningByHand = (
  engine: QuerySession["engine"],
  kept: Kept = NOTHING_KEPT,
) => `Then, before the new server is started:
- The signing key must be in place, at signing_key_path. Without it Synapse makes
  a new one without a word, and other servers no longer believe this one.
${oneTimeKeys(engine)}
- ${kept.remote ? "Media of other servers is in the bundle" : kept.origins.length > 0 ? "Of other servers' media, only what can be had nowhere else is in the bundle" : "Only local media is in the bundle"}. Rows
  about files that are not here answer 404 for ever, without these statements:

${removeLeftBehind(engine, kept)
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
