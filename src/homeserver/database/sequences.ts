import type { PostgresSession } from "../../system/postgres/postgres.ts";
import { quoteIdentifier, quoteLiteral, type QuerySession } from "../../system/query.ts";
import { listTables, readSequences, readStreams } from "./count.ts";
import { numberedBy } from "./streams.ts";
import { USER_SCHEMAS } from "./user-schemas.ts";

/** A sequence that would hand out a value that was used already, or that Synapse refuses to start with. */
export interface SequenceBehind {
  /** With its schema: "public.device_inbox_sequence". */
  readonly sequence: string;
  /** The last value that it handed out, as text; "0" when it handed out none. */
  readonly last: string;
  /** The highest value that is in use, as text. */
  readonly used: string;
  /** Where that value is: "the position of to_device in stream_positions", "device_inbox.stream_id". */
  readonly where: string;
}

interface Sequence {
  readonly schema: string;
  readonly name: string;
  /** The table and the column to which it belongs: of identity columns and of `serial`. */
  readonly owner: { readonly schema: string; readonly table: string; readonly column: string } | null;
}

/** Which columns are looked at. */
interface Look {
  /** Only those whose highest value an index has: the others cost a look at every row. */
  readonly indexed?: boolean;
}

/**
 * Every sequence of the database that is behind the highest value in its tables, in its column or in stream_positions.
 * All of them are found in PostgreSQL's catalogue. Reads only.
 *
 * Synapse raises a sequence that is behind a table when it starts, but not one behind stream_positions: then it does not
 * start (synapse/storage/util/sequence.py, `check_consistency`). PostgreSQL raises none: an identity column whose
 * sequence is behind refuses new rows as duplicates.
 */
export async function sequencesBehind(session: QuerySession, look: Look = {}): Promise<SequenceBehind[]> {
  const found = await findBehind(session, look);
  if (found.length === 0) return found;
  // What people write meanwhile is in a table after it was taken from a sequence that was read before: no snapshot has sequences.
  const now = await readSequences(session);
  return found.filter(({ sequence, used }) => {
    const value = now[sequence];
    return value === undefined || BigInt(used) > lastOf(value);
  });
}

const lastOf = ({ last, called }: { readonly last: string; readonly called: boolean }) =>
  BigInt(last) - (called ? 0n : 1n);

async function findBehind(session: QuerySession, look: Look): Promise<SequenceBehind[]> {
  const tables = new Map((await listTables(session)).map((table) => [table.name, table]));
  const values = await readSequences(session);
  const streams = await readStreams(session);
  const numbered = (await listSequences(session)).flatMap((one) => {
    const { stream, columns, negative } = one.owner
      ? { stream: undefined, columns: [], negative: undefined }
      : numberedBy(one.name);
    const places = one.owner
      ? [one.owner]
      : columns.flatMap(([table, column]) => {
          const found = tables.get(table);
          return found ? [{ schema: found.schema, table, column }] : [];
        });
    const sequence = `${one.schema}.${one.name}`;
    const value = values[sequence];
    return value ? [{ sequence, value, stream, places, negative: negative === true }] : [];
  });
  const highestIn = await highestValues(session, numbered, look);
  const behind: SequenceBehind[] = [];
  for (const [index, { sequence, value, stream }] of numbered.entries()) {
    const used = highestIn[index]!;
    const position = stream === undefined ? undefined : streams[stream];
    if (position !== undefined) used.push({ value: BigInt(position), where: positionOf(stream!) });
    const highest = used.reduce((one, other) => (other.value > one.value ? other : one), NOTHING);
    const last = lastOf(value);
    if (highest.value > last)
      behind.push({
        sequence,
        last: String(last < 0n ? 0n : last),
        used: String(highest.value),
        where: highest.where,
      });
  }
  return behind;
}

const NOTHING: Used = { value: 0n, where: "" };
const positionOf = (stream: string) => `the position of ${stream} in stream_positions`;

interface Used {
  readonly value: bigint;
  readonly where: string;
}

interface Place {
  readonly schema: string;
  readonly table: string;
  readonly column: string;
}

/**
 * The highest value in each column that a sequence numbers, for each sequence. A column that a newer or older Synapse does not have is
 * left out. Two questions for all of them: the server is down meanwhile.
 */
async function highestValues(
  session: QuerySession,
  numbered: readonly { readonly places: readonly Place[]; readonly negative: boolean }[],
  { indexed = false }: Look,
): Promise<Used[][]> {
  const asked = numbered.flatMap(({ places, negative }, index) =>
    places.map((place) => ({ ...place, negative, index })),
  );
  if (asked.length === 0) return numbered.map(() => []);
  const there = new Set(
    (
      await session.all<Place>(`
      SELECT n.nspname AS schema, c.relname AS "table", a.attname AS "column"
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE (n.nspname, c.relname, a.attname) IN (${asked.map(quotedPlace).join(", ")})
        AND NOT a.attisdropped AND a.atttypid IN ('int8'::regtype, 'int4'::regtype, 'int2'::regtype)
        ${indexed ? OF_AN_INDEX : ""}`)
    ).map(quotedPlace),
  );
  const known = asked.filter((place) => there.has(quotedPlace(place)));
  const used: Used[][] = numbered.map(() => []);
  if (known.length === 0) return used;
  const highest = await session.all<{ at: number; value: string | null }>(
    known
      .map(({ schema, table, column, negative }, at) => {
        const name = quoteIdentifier(column);
        const value = negative ? `(-min(${name}))` : `max(${name})`;
        return `SELECT ${at} AS at, ${value}::text AS value FROM ${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
      })
      .join(" UNION ALL "),
  );
  for (const { at, value } of highest.toSorted((one, other) => one.at - other.at)) {
    const { table, column, index } = known[at]!;
    if (value !== null) used[index]!.push({ value: BigInt(value), where: `${table}.${column}` });
  }
  return used;
}

/** A B-tree of all rows that begins with the column: its ends have the lowest and the highest value. */
const OF_AN_INDEX = `AND EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
          WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree')`;

const quotedPlace = ({ schema, table, column }: Place) =>
  `(${[schema, table, column].map(quoteLiteral).join(", ")})`;

/** `a` and `i`: the sequence of a `serial` column, and of an identity column (PostgreSQL documentation, pg_depend). */
const listSequences = (session: QuerySession) =>
  session.all<Sequence>(`
    SELECT n.nspname AS schema, c.relname AS name,
      (SELECT json_build_object('schema', tn.nspname, 'table', t.relname, 'column', a.attname)
       FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
       JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
       WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
       LIMIT 1) AS owner
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND ${USER_SCHEMAS} ORDER BY 1, 2`);

/**
 * Raises every sequence that is behind to the highest value in use, and returns what it raised. Never lowers one, so it
 * may be repeated. Needs a session that writes. Synapse must be stopped.
 */
export async function raiseSequences(session: PostgresSession, look: Look = {}): Promise<SequenceBehind[]> {
  const behind = await sequencesBehind(session, look);
  if (behind.length > 0) await session.run(behind.map(raiseStatement).join("\n"));
  return behind;
}

/** The statement that raises it, also for people to type. */
export const raiseStatement = ({ sequence, used }: SequenceBehind) => {
  const [schema = "", ...name] = sequence.split(".");
  const quoted = `${quoteIdentifier(schema)}.${quoteIdentifier(name.join("."))}`;
  return `SELECT setval(${quoteLiteral(quoted)}, greatest(${used}, (SELECT last_value FROM ${quoted})));`;
};

export const describeBehind = ({ sequence, last, used, where }: SequenceBehind) =>
  `${sequence.split(".").at(-1)!}: at ${last}, but ${where} is ${used}`;
