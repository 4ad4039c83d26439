import { quoteIdentifier, type QuerySession } from "../../../../system/query.ts";
import { ONE_TIME_KEYS } from "../../../scope.ts";
import { listTables } from "../../count.ts";

/** How a table tells the subscriber which row an UPDATE or a DELETE means (PostgreSQL documentation, ALTER TABLE, REPLICA IDENTITY). */
export interface ReplicaIdentity {
  readonly kind: "default" | "nothing" | "full" | "index";
  /** The name of the index, for "index". */
  readonly index: string | null;
}

/** A table, as the catalogue has its names. */
export interface TableName {
  readonly schema: string;
  readonly name: string;
}

interface PublishedTable extends TableName {
  /** What the catalogue has. */
  readonly now: ReplicaIdentity;
  /** What it needs; the same as `now` where that serves. */
  readonly wanted: ReplicaIdentity;
  /** Columns whose type has no equality, such as json: with FULL, an UPDATE or DELETE of a row could not be applied. */
  readonly incomparable: readonly string[];
}

export interface PublicationPlan {
  readonly tables: readonly PublishedTable[];
  /** Tables that are there, and whose rows are not copied. */
  readonly left: readonly (TableName & { readonly why: WhyLeft })[];
}

/** "one-time-keys": they are never moved; "unlogged": no such table can be published, and Synapse's hold locks of running processes. */
type WhyLeft = "one-time-keys" | "unlogged";

interface CatalogueTable extends TableName {
  readonly persistence: "p" | "u" | "t";
  readonly identity: "d" | "n" | "f" | "i";
  /** The index that is the identity, and whether it is one still: dropping it leaves nothing. */
  readonly identityIndex: string | null;
  readonly hasPrimaryKey: boolean;
  /** The unique index that serves best: the fewest columns, then the smallest. */
  readonly best: string | null;
  readonly incomparable: string[] | null;
}

const IDENTITIES = { d: "default", n: "nothing", f: "full", i: "index" } as const;

/**
 * Which tables are published and which replica identity each needs, out of the catalogue: which unique indexes there are depends on
 * the background updates that an installation has run, so no list of Synapse's tables would be right. Reads only.
 */
export async function planPublication(session: QuerySession): Promise<PublicationPlan> {
  const listed = new Set((await listTables(session)).map(keyOf));
  const found = (await session.all<CatalogueTable>(TABLES)).filter((one) => listed.has(keyOf(one)));
  const left = found.flatMap(({ schema, name, persistence }): PublicationPlan["left"][number][] => {
    if (name === ONE_TIME_KEYS) return [{ schema, name, why: "one-time-keys" }];
    return persistence === "p" ? [] : [{ schema, name, why: "unlogged" }];
  });
  const isLeft = new Set(left.map(keyOf));
  const tables = found.filter((one) => !isLeft.has(keyOf(one))).map(asPublished);
  return { tables, left };
}

/** As the inventory names tables: "public.events". */
export const keyOf = ({ schema, name }: TableName) => `${schema}.${name}`;

export const quoteTable = ({ schema, name }: TableName) =>
  `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;

/** The tables whose identity has to be changed before they are published. */
export const withoutIdentity = ({ tables }: PublicationPlan) =>
  tables.filter(({ now, wanted }) => now.kind !== wanted.kind || now.index !== wanted.index);

function asPublished(table: CatalogueTable): PublishedTable {
  const { schema, name, identity, identityIndex, hasPrimaryKey, best, incomparable } = table;
  const now = { kind: IDENTITIES[identity], index: identityIndex };
  const serves =
    identity === "f" || (identity === "i" && identityIndex !== null) || (identity === "d" && hasPrimaryKey);
  const wanted: ReplicaIdentity = serves
    ? now
    : hasPrimaryKey
      ? { kind: "default", index: null }
      : best === null
        ? { kind: "full", index: null }
        : { kind: "index", index: best };
  return {
    schema,
    name,
    now,
    wanted,
    incomparable: wanted.kind === "full" ? (incomparable ?? []) : [],
  };
}

/** From 11 on an index has columns besides its key. */
const KEY_COLUMNS = "coalesce((to_jsonb(i) ->> 'indnkeyatts')::int, i.indnatts)";

/**
 * A unique index that can be an identity: valid, immediate, without predicate and expressions, over columns that are NOT NULL. Columns
 * that it only includes (from 11 on) do not count. An identity that was an index is none once that is dropped.
 */
const TABLES = `
  SELECT n.nspname AS schema, c.relname AS name, c.relpersistence::text AS persistence, c.relreplident::text AS identity,
    (SELECT ic.relname FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
      WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid) AS "identityIndex",
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate) AS "hasPrimaryKey",
    (SELECT ic.relname FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
      WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate
        AND i.indpred IS NULL AND i.indexprs IS NULL
        AND NOT EXISTS (SELECT FROM generate_series(0, ${KEY_COLUMNS} - 1) k
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k] WHERE NOT a.attnotnull)
      ORDER BY ${KEY_COLUMNS}, pg_relation_size(i.indexrelid), ic.relname LIMIT 1) AS best,
    (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_type b ON b.oid = t.typbasetype
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND coalesce(b.typtype, t.typtype) = 'b'
        AND coalesce(b.typelem, t.typelem) = 0
        AND NOT EXISTS (SELECT FROM pg_operator o WHERE o.oprname = '=' AND o.oprleft = coalesce(b.oid, t.oid) AND o.oprright = o.oprleft)
        AND NOT EXISTS (SELECT FROM pg_cast x JOIN pg_operator o ON o.oprname = '=' AND o.oprleft = x.casttarget AND o.oprright = x.casttarget
          WHERE x.castsource = coalesce(b.oid, t.oid) AND x.castmethod = 'b' AND x.castcontext = 'i')) AS incomparable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' ORDER BY 1, 2`;
