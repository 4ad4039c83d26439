import type { Finding } from "../../../report/finding.ts";
import type { QuerySession } from "../../../system/query.ts";
import { ONE_TIME_KEYS } from "../../scope.ts";
import { creatorOf } from "../checks/known-tables.ts";
import { listTables, readStreams } from "../count.ts";
import { isMark } from "../fill/interrupted.ts";
import type { DatabaseSection } from "../section.ts";
import { describeBehind, sequencesBehind } from "../sequences.ts";
import { SCHEMA_VERSIONS } from "../store.ts";
import { comparePorted, countPorted, type TableRows } from "./verify.ts";

/**
 * The gates of a database of PostgreSQL that was filled from one of SQLite. `rows` were counted in the copy that was
 * ported, after what was mended in it; without them it is not known what must be there. Reads only.
 */
export async function verifyPortedDatabase(
  section: DatabaseSection,
  rows: TableRows | undefined,
  session: QuerySession,
): Promise<Finding[]> {
  const found = await countPorted(session);
  return [
    await rowCounts(rows, found, session),
    await sequences(session),
    await streams(section, session),
    await schema(section, session),
    oneTimeKeys(found),
  ];
}

async function rowCounts(
  rows: TableRows | undefined,
  found: TableRows,
  session: QuerySession,
): Promise<Finding> {
  const id = "row-counts";
  const hint = "has a server been started on this database? remove it and restore again";
  const unfinished = (await listTables(session)).some(({ name }) => isMark(name));
  if (rows === undefined || unfinished)
    return { id, level: "blocker", sentence: "the port of the database was not finished", hint };
  // The job that builds the user directory again waits there.
  const [finding] = comparePorted(without(JOBS, rows), without(JOBS, found), {
    leftBehind: (table) => creatorOf(table) !== "synapse",
  });
  return { ...finding!, id, ...(finding!.level === "ok" ? {} : { hint }) };
}

const JOBS = "background_updates";
const without = (table: string, rows: TableRows): TableRows =>
  Object.fromEntries(Object.entries(rows).filter(([name]) => name !== table));

async function sequences(session: QuerySession): Promise<Finding> {
  const behind = await sequencesBehind(session);
  if (behind.length === 0)
    return { id: "sequences", level: "ok", sentence: "no sequence is behind the ids in use" };
  return {
    id: "sequences",
    level: "blocker",
    sentence: `${behind.length} sequences are behind the ids in use: ids would be assigned twice`,
    evidence: behind.map(describeBehind),
    hint: "remove the database and restore again",
  };
}

async function streams(section: DatabaseSection, session: QuerySession): Promise<Finding> {
  const found = await readStreams(session);
  const differing = Object.entries(section.streams).filter(
    ([stream, position]) => found[stream] !== position,
  );
  if (differing.length === 0)
    return { id: "stream-positions", level: "ok", sentence: "every stream has the position of the old host" };
  return {
    id: "stream-positions",
    level: "blocker",
    sentence: "streams do not have the positions of the old host",
    evidence: differing.map(
      ([stream, position]) => `${stream}: ${position} at the source, ${found[stream] ?? "missing"} here`,
    ),
    hint: "has a server been started on this database? remove it and restore again",
  };
}

/** The Synapse that ported it may be newer, and then has brought the schema up to date. */
async function schema(section: DatabaseSection, session: QuerySession): Promise<Finding> {
  const [ofSchema, ofCompat] = SCHEMA_VERSIONS.main;
  const { version, compat } = await session.one<{ version: number; compat: number }>(
    `SELECT ${ofSchema} AS version, ${ofCompat} AS compat`,
  );
  const before = section.schemaVersion;
  const words = `the schema is version ${version}, compatible down to ${compat}`;
  if (version >= before)
    return {
      id: "schema",
      level: "ok",
      sentence:
        version === before ? `${words}, as at the source` : `${words}; at the source it was ${before}`,
    };
  return {
    id: "schema",
    level: "blocker",
    sentence: `${words}, older than at the source, where it was ${before}`,
    hint: "restore again with a Synapse that is not older than that of the old host",
  };
}

function oneTimeKeys(found: TableRows): Finding {
  const count = found[ONE_TIME_KEYS] ?? 0;
  if (count === 0)
    return {
      id: "one-time-keys",
      level: "ok",
      sentence: `${ONE_TIME_KEYS} is empty: clients will upload new keys`,
    };
  return {
    id: "one-time-keys",
    level: "blocker",
    sentence: `${ONE_TIME_KEYS} holds old one-time keys: encrypted messages would break`,
    evidence: [`${count} rows`],
    hint: `TRUNCATE ${ONE_TIME_KEYS};`,
  };
}
