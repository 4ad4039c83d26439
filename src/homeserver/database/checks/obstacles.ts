import type { Finding } from "../../../report/finding.ts";
import type { Postgres, PostgresAddress, PostgresSession } from "../../../system/postgres/postgres.ts";
import { quoteLiteral } from "../../../system/query.ts";
import { untrustedExtensions } from "../dump/extensions.ts";
import type { DumpEntry } from "../dump/left-out.ts";
import { type FailingCaller, failingCallers } from "./search-path.ts";

/**
 * Objects in a database that a restore by an ordinary role into a new database fails at, by what is wrong with them. They are
 * dropped at the source, or left out of the dump by choice.
 */
export interface Obstacle {
  readonly id: ObstacleId;
  /** All of them, also those that depend on others in it. */
  readonly objects: readonly ObstacleObject[];
}

interface ObstacleObject {
  /** "view public.slow". */
  readonly name: string;
  /** What it depends on, if that is another object: "extension pg_stat_statements". */
  readonly needs: string | undefined;
  /** What the server says to it, if anything. */
  readonly why: string | undefined;
  /** Undefined where it cannot be left out, such as a table with rows. */
  readonly entry: DumpEntry | undefined;
}

export type ObstacleId = keyof typeof REASONS;

/** An id is also what `--accept` takes. */
const REASONS = {
  "objects-of-extensions": {
    reason: "an extension that is not moved, as only a superuser may create it",
    verb: ["depends on", "depend on"],
  },
  "objects-of-superusers": { reason: "by a superuser only", verb: ["can be created", "can be created"] },
  "policies-of-roles": {
    reason: "roles by their names, which the new database server may not have",
    verb: ["names", "name"],
  },
  "objects-search-path": {
    reason:
      "a function that finds nothing by unqualified names, as the search_path is empty while a dump is restored",
    verb: ["calls", "call"],
  },
} as const;

export const OBSTACLE_IDS = Object.keys(REASONS) as ObstacleId[];
export const isObstacle = (id: string): boolean => (OBSTACLE_IDS as string[]).includes(id);

/**
 * Finds the obstacles: what depends on extensions that stay behind, what only a superuser may create, policies that name roles, and
 * what calls functions that need a search_path. Reads hardly any rows. Throws as a query does.
 */
export async function findObstacles(
  session: PostgresSession,
  address: PostgresAddress,
  postgres: Postgres,
): Promise<Obstacle[]> {
  const staying = await untrustedExtensions(session);
  const callers = await failingCallers(session, address, postgres);
  const found = await session.all<FoundObject>(obstaclesSql(staying, callers), { search_path: "" });
  return OBSTACLE_IDS.flatMap((id) => {
    const objects = found.filter((one) => one.id === id).map(obstacleObject);
    return objects.length === 0 ? [] : [{ id, objects }];
  });
}

/** The entries of all that is left out of a dump. Only for obstacles that can be. */
export const entriesOf = (obstacles: readonly Obstacle[]): DumpEntry[] =>
  obstacles.flatMap(({ objects }) => objects.flatMap(({ entry }) => entry ?? []));

/** A warning for what can be left out, which `--accept` of its id does; a blocker where something cannot be. */
export function obstacleFinding({ id, objects }: Obstacle): Finding {
  const { reason, verb } = REASONS[id];
  const count = objects.length;
  const fixed = objects.filter(({ entry }) => entry === undefined);
  const evidence = objects.map(
    ({ name, needs, why, entry }) =>
      `${name}${needs === undefined ? "" : `, which needs ${needs}`}${why === undefined ? "" : `: ${why}`}${entry === undefined ? "; it cannot be left out" : ""}`,
  );
  const advice = ADVICE[id] === undefined ? "" : `${ADVICE[id]}; or `;
  return {
    id,
    level: fixed.length > 0 ? "blocker" : "warning",
    sentence: `${count} ${count === 1 ? "object" : "objects"} in the database ${verb[count === 1 ? 0 : 1]} ${reason}: a restore would fail`,
    evidence,
    hint:
      fixed.length > 0
        ? `${advice}drop ${fixed.length === 1 ? "the one" : "those"} that cannot be left out; Synapse needs none of them`
        : `${advice}drop ${count === 1 ? "it" : "them"} if not needed; or leave ${count === 1 ? "it" : "them"} out of the bundle, as Synapse needs none: --accept ${id}`,
  };
}

const ADVICE: Partial<Record<ObstacleId, string>> = {
  "objects-search-path":
    "give the function a search_path of its own: ALTER FUNCTION … SET search_path = public, pg_temp",
};

interface FoundObject {
  readonly id: ObstacleId;
  readonly type: string;
  readonly identity: string;
  readonly root: string;
  readonly why: string | null;
  readonly schema: string | null;
  readonly tag: string | null;
  readonly comment: string | null;
}

function obstacleObject({ type, identity, root, why, schema, tag, comment }: FoundObject): ObstacleObject {
  const name = `${type} ${identity}`;
  const entry = ENTRY_TYPES[type];
  return {
    name,
    needs: root === name ? undefined : root,
    why: root === name ? (why ?? undefined) : undefined,
    entry:
      entry === undefined || tag === null || comment === null
        ? undefined
        : { type: entry, schema: schema ?? "-", tag, comment },
  };
}

/** The types of objects that can be left out, as pg_identify_object names them, and as pg_dump does. */
const ENTRY_TYPES: Readonly<Record<string, string>> = {
  view: "VIEW",
  "materialized view": "MATERIALIZED VIEW",
  "foreign table": "FOREIGN TABLE",
  index: "INDEX",
  function: "FUNCTION",
  procedure: "PROCEDURE",
  aggregate: "AGGREGATE",
  trigger: "TRIGGER",
  policy: "POLICY",
  rule: "RULE",
  "event trigger": "EVENT TRIGGER",
  server: "SERVER",
  "foreign-data wrapper": "FOREIGN DATA WRAPPER",
  "user mapping": "USER MAPPING",
  "text search dictionary": "TEXT SEARCH DICTIONARY",
  "text search configuration": "TEXT SEARCH CONFIGURATION",
  "text search parser": "TEXT SEARCH PARSER",
  "text search template": "TEXT SEARCH TEMPLATE",
  "statistics object": "STATISTICS",
  type: "TYPE",
};

/** Not of an extension: those are not in a dump. */
const isMember = (catalogue: string, oid: string) =>
  `EXISTS (SELECT FROM pg_depend e WHERE e.classid = ${catalogue} AND e.objid = ${oid} AND e.deptype = 'e')`;

/** PostgreSQL has `prokind` since version 11. */
const isAggregate = (oid: string) => `EXISTS (SELECT FROM pg_aggregate a WHERE a.aggfnoid = ${oid})`;

/** Objects that initdb made have smaller ones (PostgreSQL, src/include/access/transam.h, `FirstNormalObjectId`). */
const FIRST_OWN = 16_384;

const root = (id: ObstacleId, catalogue: string, from: string, where: string) => `
    SELECT '${id}' AS id, '${catalogue}'::regclass AS classid, o.oid AS objid, NULL AS why FROM ${from} o
    WHERE o.oid >= ${FIRST_OWN} AND (${where}) AND NOT ${isMember(`'${catalogue}'::regclass`, "o.oid")}`;

/** Each of these CREATE statements says in its documentation that only a superuser may run it. */
const SUPERUSER_ONLY: readonly (readonly [catalogue: string, where: string])[] = [
  ["pg_event_trigger", "true"],
  [
    "pg_proc",
    // A language of an extension is followed from there.
    `proleakproof OR NOT ${isAggregate("o.oid")} AND EXISTS (SELECT FROM pg_language l WHERE l.oid = o.prolang AND NOT lanpltrusted AND NOT ${isMember("'pg_language'::regclass", "l.oid")})`,
  ],
  ["pg_language", "true"],
  ["pg_am", "true"],
  ["pg_foreign_data_wrapper", "true"],
  ["pg_ts_parser", "true"],
  ["pg_ts_template", "true"],
  ["pg_opclass", "true"],
  ["pg_opfamily", "true"],
  // An ordinary role must own one of the two types.
  ["pg_cast", `castmethod = 'b' OR (castsource < ${FIRST_OWN} AND casttarget < ${FIRST_OWN})`],
  ["pg_type", "typtype = 'b' AND NOT EXISTS (SELECT FROM pg_type a WHERE a.typarray = o.oid)"],
];

/**
 * Follows pg_depend from the roots to everything that could not exist without them (PostgreSQL documentation, pg_depend). A
 * view depends through its rule. What depends on a table is not followed further: the table itself cannot be left out.
 */
function obstaclesSql(staying: readonly string[], callers: readonly FailingCaller[]): string {
  const extensions = ["''", ...staying.map(quoteLiteral)].join(", ");
  return `
  WITH RECURSIVE roots AS (
    SELECT 'objects-of-extensions' AS id, 'pg_extension'::regclass AS classid, oid AS objid, NULL AS why FROM pg_extension WHERE extname IN (${extensions})
    ${SUPERUSER_ONLY.map(([catalogue, where]) => `UNION ALL ${root("objects-of-superusers", catalogue, catalogue, where)}`).join("")}
    UNION ALL ${root("policies-of-roles", "pg_policy", "pg_policy", "polroles <> '{0}'")}
    ${callers
      .map(
        ({ catalogue, oid, why }) =>
          `UNION ALL SELECT 'objects-search-path', '${catalogue}'::regclass, ${oid}, ${quoteLiteral(why)}`,
      )
      .join(" ")}
  ), found AS (
    SELECT id, classid, objid, classid AS rootclass, objid AS root, why FROM roots
    UNION
    SELECT f.id, m.classid, m.objid, f.rootclass, f.root, f.why
    FROM found f
      JOIN pg_depend d ON d.refclassid = f.classid AND d.refobjid = f.objid AND d.deptype IN ('n', 'a', 'i', 'e', 'P', 'S')
      CROSS JOIN LATERAL (
        SELECT 'pg_class'::regclass AS classid, r.ev_class AS objid FROM pg_rewrite r
        WHERE d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND r.rulename = '_RETURN'
        UNION ALL
        SELECT d.classid, d.objid
        WHERE NOT EXISTS (SELECT FROM pg_rewrite r WHERE d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND r.rulename = '_RETURN')
      ) m
    WHERE NOT (f.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class t WHERE t.oid = f.objid AND t.relkind IN ('r', 'p')))
  )
  SELECT DISTINCT ON (f.id, o.type, o.identity) f.id, o.type, o.identity, needed.type || ' ' || needed.identity AS root, f.why, e.schema, e.tag, e.comment
  FROM found f
    CROSS JOIN LATERAL pg_identify_object(f.classid, f.objid, 0) o
    CROSS JOIN LATERAL pg_identify_object(f.rootclass, f.root, 0) needed
    LEFT JOIN LATERAL (${ENTRY_SQL}) e ON true
  WHERE o.identity IS NOT NULL
    AND NOT (f.classid = 'pg_extension'::regclass AND f.objid IN (SELECT objid FROM roots WHERE classid = f.classid))
    AND NOT ${isMember("f.classid", "f.objid")}
    -- The row type of a relation, and the type of an array, come and go with it.
    AND NOT (f.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
      WHERE t.oid = f.objid AND (c.relkind <> 'c' OR EXISTS (SELECT FROM pg_type a WHERE a.typarray = t.oid))))
    AND NOT (f.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = f.objid AND c.relkind = 'c'))
  ORDER BY f.id, o.type, o.identity, (f.root = f.objid) DESC, (needed.type || ' ' || needed.identity)`;
}

/** How pg_dump names an object: see `DumpEntry`. No row where it cannot be left out. */
const ENTRY_SQL = `
    SELECT n.nspname AS schema, c.relname::text AS tag, quote_ident(c.relname) AS comment
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE f.classid = 'pg_class'::regclass AND c.oid = f.objid
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT n.nspname, p.proname || '(' || CASE WHEN ${isAggregate("p.oid")} AND p.pronargs = 0 THEN '*' ELSE coalesce(
        (SELECT string_agg(format_type(t.oid, NULL), ', ' ORDER BY t.at) FROM unnest(p.proargtypes) WITH ORDINALITY AS t (oid, at)), '') END || ')',
      quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')'
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE f.classid = 'pg_proc'::regclass AND p.oid = f.objid
    UNION ALL
    SELECT n.nspname, c.relname || ' ' || part.name, quote_ident(part.name) || ' ON ' || quote_ident(c.relname)
    FROM (SELECT 'pg_trigger'::regclass AS classid, oid, tgname AS name, tgrelid AS relation FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'pg_policy'::regclass, oid, polname, polrelid FROM pg_policy
        UNION ALL SELECT 'pg_rewrite'::regclass, oid, rulename, ev_class FROM pg_rewrite) part
      JOIN pg_class c ON c.oid = part.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE part.classid = f.classid AND part.oid = f.objid
    UNION ALL
    SELECT n.nspname, part.name::text, quote_ident(part.name)
    FROM (SELECT 'pg_ts_dict'::regclass AS classid, oid, dictname AS name, dictnamespace AS namespace FROM pg_ts_dict
        UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgname, cfgnamespace FROM pg_ts_config
        UNION ALL SELECT 'pg_ts_parser'::regclass, oid, prsname, prsnamespace FROM pg_ts_parser
        UNION ALL SELECT 'pg_ts_template'::regclass, oid, tmplname, tmplnamespace FROM pg_ts_template
        UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxname, stxnamespace FROM pg_statistic_ext
        UNION ALL SELECT 'pg_type'::regclass, oid, typname, typnamespace FROM pg_type) part
      JOIN pg_namespace n ON n.oid = part.namespace
    WHERE part.classid = f.classid AND part.oid = f.objid
    UNION ALL
    SELECT NULL, part.name::text, quote_ident(part.name)
    FROM (SELECT 'pg_event_trigger'::regclass AS classid, oid, evtname AS name FROM pg_event_trigger
        UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvname FROM pg_foreign_server
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, fdwname FROM pg_foreign_data_wrapper) part
    WHERE part.classid = f.classid AND part.oid = f.objid
    UNION ALL
    SELECT NULL, 'USER MAPPING ' || u.usename || ' SERVER ' || u.srvname, ''
    FROM pg_user_mappings u WHERE f.classid = 'pg_user_mapping'::regclass AND u.umid = f.objid`;
