/**
 * For a query with `pg_namespace n`: schemas that are somebody's, not PostgreSQL's. It keeps all names that begin with
 * "pg_" to itself (PostgreSQL documentation, "The System Catalog Schema"); beside its catalogue those are of temporary tables and of TOAST.
 */
export const OWN_SCHEMAS =
  "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'";
