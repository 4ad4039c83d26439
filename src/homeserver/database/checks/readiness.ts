import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import type { QuerySession } from "../../../system/query.ts";
import type { Schema } from "../../synapse-versions.ts";
import { describeBehind, raiseStatement, sequencesBehind } from "../sequences.ts";
import { creatorOf, KNOWN_SCHEMA } from "./known-tables.ts";

/** Undefined where one of the two tables is empty. */
export async function schemaOf(session: QuerySession): Promise<Schema | undefined> {
  const { version, compat } = await session.one<{ [Name in keyof Schema]: Schema[Name] | null }>(
    "SELECT (SELECT version FROM schema_version) AS version, (SELECT compat_version FROM schema_compat_version) AS compat",
  );
  return version === null || compat === null ? undefined : { version, compat };
}

/** Work that Synapse still does in the background after an upgrade. */
export async function backgroundUpdates(session: QuerySession): Promise<Finding> {
  const id = "background-updates";
  const pending = await session.all<{ name: string }>(
    "SELECT update_name AS name FROM background_updates ORDER BY ordering, 1",
  );
  if (pending.length === 0) return { id, level: "ok", sentence: "no background updates are pending" };
  const one = pending.length === 1;
  return {
    id,
    level: "warning",
    sentence: `${pending.length} background ${one ? "update is" : "updates are"} still pending`,
    evidence: pending.map(({ name }) => name),
    hint: "let the server run until they are done: they make the move slower, keep synapse_port_db from working, and must be done before the next upgrade",
  };
}

/** On PostgreSQL only: SQLite has no sequences. */
export async function sequenceFindings(session: QuerySession): Promise<Finding> {
  const behind = await sequencesBehind(session);
  if (behind.length === 0)
    return { id: "sequences-behind", level: "ok", sentence: "no sequence is behind the ids in use" };
  return {
    id: "sequences-behind",
    level: "warning",
    sentence: `${behind.length} ${behind.length === 1 ? "sequence is" : "sequences are"} behind the ids in use: Synapse would refuse to start, or could not add rows`,
    evidence: behind.map(describeBehind),
    hint: `restore raises them on the new host, and export --fix sequences on this one, after the stop; by hand, with Synapse stopped: ${behind.map(raiseStatement).join(" ")}`,
  };
}

/** Rooms whose join has not finished: their state is fetched from other servers while the server runs. */
export async function partialRooms(session: QuerySession, names: ReadonlySet<string>): Promise<Finding[]> {
  if (!names.has("partial_state_rooms")) return [];
  const { count } = await session.one<{ count: number }>("SELECT count(*) AS count FROM partial_state_rooms");
  if (count === 0) return [];
  return [
    {
      id: "rooms-joining",
      level: "note",
      sentence: `${formatCount(count)} ${count === 1 ? "room is" : "rooms are"} still being joined`,
      hint: "nothing is lost: the new server continues the join; it is cleaner to wait until it has finished",
    },
  ];
}

/** Tables that neither Synapse nor a known tool created. They are included in the dump. */
export function unknownTables(names: ReadonlySet<string>, { version }: Schema): Finding[] {
  const made = [...names]
    .map((name) => ({ name, maker: creatorOf(name) }))
    .filter(({ maker }) => maker !== "synapse");
  const companions = made.filter(({ maker }) => maker !== undefined);
  const unknown = made
    .filter(({ maker }) => maker === undefined)
    .map(({ name }) => name)
    .sort();
  const findings: Finding[] = [];
  if (companions.length > 0) {
    findings.push({
      id: "tables-of-tools",
      level: "note",
      sentence: "the database holds tables of tools for Synapse",
      evidence: companions.map(({ name, maker }) => `${name}: ${maker!}`),
    });
  }
  if (unknown.length > 0) {
    const newer = version > KNOWN_SCHEMA;
    findings.push({
      id: "tables-unknown",
      level: newer ? "note" : "warning",
      sentence: `${unknown.length} ${unknown.length === 1 ? "table is" : "tables are"} not known to be Synapse's`,
      evidence: unknown,
      hint: newer
        ? "the database is from a newer Synapse than this synlift knows: they may be part of it"
        : "they are included in the dump; find out what created them, and whether the new host needs it too",
    });
  }
  return findings;
}
