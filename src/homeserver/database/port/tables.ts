/**
 * Tables that synapse_port_db leaves empty (`IGNORED_TABLES` in synapse/_scripts/synapse_port_db.py): Synapse can build the
 * user directory again, and the others hold what lasts for minutes.
 */
const LEFT_EMPTY = new Set([
  "ui_auth_sessions",
  "ui_auth_sessions_credentials",
  "ui_auth_sessions_ips",
  "user_directory",
  "user_directory_search",
  "users_in_public_rooms",
  "users_who_share_private_rooms",
  "worker_read_write_locks",
  "worker_read_write_locks_mode",
]);

/** The new database records its own schema in these. */
const OF_THE_SCHEMA = new Set(["schema_version", "applied_schema_deltas"]);

/** The search index of SQLite consists of tables of its own; on PostgreSQL it is a column (Synapse, search.py, user_directory.py). */
const INDEX_OF_SQLITE =
  /^(event_search|user_directory_search)(_content|_docsize|_segdir|_segments|_stat|_pos)$/;

/** Why the rows of a table of SQLite are not compared with those of PostgreSQL; undefined when they must be the same. */
export function reasonNotCompared(table: string): "left empty" | "schema" | "of SQLite" | undefined {
  if (LEFT_EMPTY.has(table)) return "left empty";
  if (OF_THE_SCHEMA.has(table)) return "schema";
  return INDEX_OF_SQLITE.test(table) || table.startsWith("sqlite_") ? "of SQLite" : undefined;
}

/** Filled from events by the script; on SQLite a virtual table, which `countRows` does not count. */
export const EVENT_SEARCH = "event_search";

/** synapse_port_db keeps its progress in this table of the new database, and leaves it there. */
export const PROGRESS_TABLE = "port_from_sqlite3";
