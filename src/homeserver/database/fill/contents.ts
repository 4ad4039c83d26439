import type { QuerySession } from "../../../system/query.ts";
import { USER_SCHEMAS } from "../user-schemas.ts";

/** An object that somebody made in a database, as PostgreSQL's pg_identify_object names it. */
export interface DatabaseObject {
  /** "table", "function", "text search configuration", … */
  readonly kind: string;
  /** With its schema, quoted: "public.f(integer)". */
  readonly name: string;
}

/** All kinds of objects that belong to a schema, and the column that says to which. */
const CATALOGUES = {
  pg_class: "relnamespace",
  pg_proc: "pronamespace",
  pg_type: "typnamespace",
  pg_operator: "oprnamespace",
  pg_opclass: "opcnamespace",
  pg_opfamily: "opfnamespace",
  pg_collation: "collnamespace",
  pg_conversion: "connamespace",
  pg_statistic_ext: "stxnamespace",
  pg_ts_config: "cfgnamespace",
  pg_ts_dict: "dictnamespace",
  pg_ts_parser: "prsnamespace",
  pg_ts_template: "tmplnamespace",
};

/**
 * A query for `DatabaseObject`s: everything in a database that a dump may want to create too, schemas first. No object of an
 * extension (e), no schema that holds one, as a dump creates those only where they are missing; and nothing that goes with another
 * object by itself, such as the row type, the index or the sequence of a table (i, a). A column of a partitioned table depends on
 * its own table (objsubid > 0), which says nothing about the table.
 */
export const OBJECTS_IN_DATABASE = `
  SELECT 'schema' AS kind, quote_ident(n.nspname) AS name FROM pg_namespace n
  WHERE ${USER_SCHEMAS} AND n.nspname <> 'public'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
    AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
  UNION ALL
  SELECT o.type, o.identity
  FROM (${Object.entries(CATALOGUES)
    .map(
      ([catalogue, schema]) =>
        `SELECT '${catalogue}'::regclass AS catalogue, oid, ${schema} AS schema FROM ${catalogue}`,
    )
    .join(" UNION ALL ")}) made
    JOIN pg_namespace n ON n.oid = made.schema
    CROSS JOIN LATERAL pg_identify_object(made.catalogue, made.oid, 0) o
  WHERE ${USER_SCHEMAS} AND o.identity IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = made.catalogue AND d.objid = made.oid AND d.objsubid = 0
      AND (d.deptype IN ('e', 'i') OR (d.deptype = 'a' AND d.refclassid = 'pg_class'::regclass)))`;

/** Everything that somebody made in this database, extensions aside. Empty for a new one. */
export const objectsInDatabase = (session: QuerySession) => session.all<DatabaseObject>(OBJECTS_IN_DATABASE);

/** For people: "3 objects: table public.t, function public.f() and 1 more". */
export function describeObjects(objects: readonly DatabaseObject[]): string {
  const [named, more] = [objects.slice(0, 3), objects.length - 3];
  const names = named.map(({ kind, name }) => `${kind} ${name}`).join(", ");
  return `${objects.length} ${objects.length === 1 ? "object" : "objects"}: ${names}${more > 0 ? ` and ${more} more` : ""}`;
}
