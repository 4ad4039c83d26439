import type { QuerySession } from "../../../system/query.ts";
import { USER_SCHEMAS } from "../user-schemas.ts";

export interface TableSize {
  /** Without the schema where that is "public". */
  readonly name: string;
  /** Bytes on disk, with indexes. */
  readonly bytes: number;
  /** Bytes on disk that a dump has to read: without indexes. */
  readonly dataBytes: number;
  /** As PostgreSQL's planner believes; null where nobody has counted. */
  readonly rows: number | null;
}

/** Every table, the largest first. Costs next to nothing on PostgreSQL; on SQLite it reads the whole file. */
export async function tableSizes(session: QuerySession): Promise<TableSize[]> {
  return session.all<TableSize>(session.engine === "postgres" ? POSTGRES : SQLITE);
}

const POSTGRES = `
  SELECT CASE WHEN n.nspname = 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS name,
    pg_total_relation_size(c.oid) AS bytes, pg_table_size(c.oid) AS "dataBytes",
    CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND ${USER_SCHEMAS}
  ORDER BY 2 DESC, 1`;

/** The tables in which SQLite's text search keeps its index belong to the table that is searched. */
const SQLITE = `
  SELECT replace(replace(replace(m.tbl_name, '_content', ''), '_segments', ''), '_segdir', '') AS name,
    SUM(s.pgsize) AS bytes, SUM(CASE WHEN m.type = 'table' THEN s.pgsize ELSE 0 END) AS "dataBytes", NULL AS rows
  FROM dbstat s JOIN sqlite_master m ON m.name = s.name
  WHERE s.aggregate = TRUE GROUP BY 1 ORDER BY 2 DESC, 1`;
