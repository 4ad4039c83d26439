import { readSequences, readStreams } from "../../../homeserver/database/count.ts";
import type { DatabaseSection } from "../../../homeserver/database/section.ts";
import { SCHEMA_VERSIONS, type Store } from "../../../homeserver/database/store.ts";
import { NOTHING_KEPT } from "../../../homeserver/scope.ts";
import type { PostgresSession } from "../../../system/postgres/postgres.ts";

/** What the gates compare of a database that follows, besides its rows: nothing of it takes longer with a larger one. */
export async function readFollowedSection(session: PostgresSession, store: Store): Promise<DatabaseSection> {
  const [version, compat] = SCHEMA_VERSIONS[store];
  const found = await session.one<Pick<DatabaseSection, "schemaVersion" | "compatVersion" | "serverVersion">>(
    `SELECT ${version} AS "schemaVersion", ${compat} AS "compatVersion", current_setting('server_version_num')::int AS "serverVersion"`,
  );
  return {
    engine: "postgres",
    ...found,
    rows: {},
    staying: {},
    leftOut: {},
    sequences: await readSequences(session),
    streams: await readStreams(session),
    ...(store === "main" ? { kept: { ...NOTHING_KEPT, origins: [] } } : {}),
  };
}
