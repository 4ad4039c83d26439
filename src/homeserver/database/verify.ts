import type { Finding } from "../../report/finding.ts";
import type { QuerySession } from "../../system/query.ts";
import { ONE_TIME_KEYS, removeExcludedRows } from "../scope.ts";
import { countOneTimeKeys, countRows, readSequences, readStreams } from "./count.ts";
import { verifyFollowed } from "./follow/compare/gate.ts";
import { databaseFacts } from "./facts.ts";
import { createdbCommand, describeLocale, isAsSynapseRequires } from "./locale.ts";
import type { DatabaseSection } from "./section.ts";
import { describeStore, SCHEMA_VERSIONS, type Store } from "./store.ts";
import { describeAhead, streamsAhead } from "./streams.ts";

/** The gates of the database: compares it with the counts from the old host. Reads only, and the session keeps its snapshot. */
export async function verifyDatabase(
  section: DatabaseSection,
  session: QuerySession,
  store: Store = "main",
): Promise<Finding[]> {
  await session.beginSnapshot();
  // What followed was compared in the cut-over: to count it once more would take longer the larger it is.
  const rows = section.followed ? await countOneTimeKeys(session) : await countRows(session);
  const findings = [
    section.followed ? await verifyFollowed(section.followed, session) : sameRows(section, rows),
    sequences(section, await readSequences(session)),
    await streams(section, session),
    await schema(section, session, store),
    ...(store === "main" ? [oneTimeKeys(rows, session.engine)] : []),
  ];
  if (store === "main") return findings;
  return findings.map((finding) => ({
    ...finding,
    sentence: `in ${describeStore(store)}, ${finding.sentence}`,
  }));
}

/** The gate of encoding and locale, of a database of Synapse itself. None for SQLite, which has neither. */
export async function verifyLocale(
  session: QuerySession,
  store: Exclude<Store, "mas"> = "main",
): Promise<Finding[]> {
  if (session.engine === "sqlite") return [];
  const facts = await databaseFacts(session);
  const which = store === "main" ? "the database" : describeStore(store);
  if (isAsSynapseRequires(facts))
    return [ok("database-locale", `${which} has encoding UTF8 and locale C, as Synapse requires`)];
  return [
    {
      id: "database-locale",
      level: "blocker",
      sentence: `${which} has ${describeLocale(facts)}; Synapse requires UTF8, C and C`,
      hint: `drop it and restore again: synlift creates it as required, and so does ${createdbCommand(facts.serverVersion)}`,
    },
  ];
}

function sameRows(section: DatabaseSection, found: Readonly<Record<string, number>>): Finding {
  const expected = { ...section.rows, ...section.staying };
  const names = [...new Set([...Object.keys(expected), ...Object.keys(found)])].sort();
  const differing = names.filter((name) => expected[name] !== found[name]);
  if (differing.length === 0) {
    const total = Object.values(found).reduce((sum, count) => sum + count, 0);
    return ok(
      "row-counts",
      `all ${names.length} tables have the row counts of the old host, ${total} rows in total`,
    );
  }
  return {
    id: "row-counts",
    level: "blocker",
    sentence: `the row counts of ${differing.length} of ${names.length} tables differ from the old host`,
    evidence: differing.map(
      (name) => `${name}: ${said(expected[name])} expected, ${said(found[name])} found`,
    ),
    hint: "has a server been started on this database? remove it and restore again",
  };
}

/** Sequences are not part of a snapshot: a dump of a running server may hold a later value than was counted. Never an earlier one. */
function sequences(section: DatabaseSection, found: DatabaseSection["sequences"]): Finding {
  const behind = Object.entries(section.sequences).filter(([name, { last }]) => {
    const here = found[name];
    return here === undefined || BigInt(here.last) < BigInt(last);
  });
  if (behind.length === 0) {
    const raised = Object.entries(section.sequences).filter(([name, { last }]) => found[name]?.last !== last);
    const sentence = `all ${Object.keys(section.sequences).length} sequences have the values of the old host`;
    if (raised.length === 0) return ok("sequences", sentence);
    return {
      ...ok("sequences", `${sentence}, or higher ones`),
      evidence: raised.map(([name, { last }]) => `${name}: ${last} at the source, ${found[name]!.last} here`),
    };
  }
  return {
    id: "sequences",
    level: "blocker",
    sentence: `${behind.length} sequences are behind those of the old host: ids would be assigned twice`,
    evidence: behind.map(
      ([name, { last }]) => `${name}: ${last} at the source, ${found[name]?.last ?? "missing"} here`,
    ),
    hint: "remove the database and restore again",
  };
}

async function streams(section: DatabaseSection, session: QuerySession): Promise<Finding> {
  const found = await readStreams(session);
  const values = await readSequences(session);
  const faults: string[] = [];
  for (const [stream, position] of Object.entries(section.streams)) {
    if (found[stream] !== position)
      faults.push(`${stream}: ${position} at the source, ${found[stream] ?? "missing"} here`);
  }
  faults.push(...streamsAhead(found, values).map(describeAhead));
  if (faults.length === 0)
    return ok(
      "stream-positions",
      "every stream has the position of the old host, and none is ahead of its sequence",
    );
  return {
    id: "stream-positions",
    level: "blocker",
    sentence: "streams and sequences are inconsistent: Synapse would refuse to start",
    evidence: faults,
    hint: "if the old database has the same error, set the sequences there (setval) and export again; otherwise drop the database and restore again",
  };
}

async function schema(section: DatabaseSection, session: QuerySession, store: Store): Promise<Finding> {
  const [ofSchema, ofCompat] = SCHEMA_VERSIONS[store];
  const { version, compat } = await session.one<{ version: number; compat: number }>(
    `SELECT ${ofSchema} AS version, ${ofCompat} AS compat`,
  );
  if (version === section.schemaVersion && compat === section.compatVersion) {
    return ok("schema", `the schema is version ${version}, compatible down to ${compat}, as at the source`);
  }
  return {
    id: "schema",
    level: "blocker",
    sentence: `the schema is version ${version}/${compat}, at the source it was ${section.schemaVersion}/${section.compatVersion}`,
    hint: "has a server been started on this database? remove it and restore again",
  };
}

function oneTimeKeys(rows: Readonly<Record<string, number>>, engine: QuerySession["engine"]): Finding {
  const left = Object.entries(rows).filter(
    ([name, count]) => name.endsWith(`.${ONE_TIME_KEYS}`) && count > 0,
  );
  if (left.length === 0)
    return ok("one-time-keys", `${ONE_TIME_KEYS} is empty: clients will upload new keys`);
  return {
    id: "one-time-keys",
    level: "blocker",
    sentence: `${ONE_TIME_KEYS} holds old one-time keys: encrypted messages would break`,
    evidence: left.map(([name, count]) => `${name}: ${count} rows`),
    hint: removeExcludedRows(engine).at(-1)!,
  };
}

const ok = (id: string, sentence: string): Finding => ({ id, level: "ok", sentence });
const said = (count: number | undefined) => (count === undefined ? "no such table" : String(count));
