import { LEFT_BEHIND, ONE_TIME_KEYS } from "./left-behind.ts";

/** What somebody must know who opens a bundle with plain programs and not with synlift. Goes into the bundle. */
export const AFTER_OPENING_BY_HAND = `Then, before the new server is started:
- The signing key must be in place, at signing_key_path. Without it Synapse makes
  a new one without a word, and other servers no longer believe this one.
- The table ${ONE_TIME_KEYS} must be empty. It is: its rows were left out
  of the dump on purpose, as used keys that come back break encrypted messages.
- Only local media is in the bundle. Rows about remote media and about URL
  previews have no file here; without these statements they answer 404 for ever:

${LEFT_BEHIND.map(({ table, keep }) => `    DELETE FROM ${table} WHERE NOT (${keep.replace(/\s+/g, " ")});`).join("\n")}

- The old server must never be started again.
`;
