import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import { formatCount } from "../../report/units.ts";
import { type QuerySession, quoteLiteral } from "../../system/query.ts";

/** Throws `database-unsupported` when it is not the database of a Matrix Authentication Service. */
export async function assertMasDatabase(session: QuerySession): Promise<void> {
  const { tables, name } = await session.one<{ tables: number; name: string }>(`
    SELECT count(*) AS tables, current_database() AS name FROM pg_tables
    WHERE tablename IN ('_sqlx_migrations', 'users', 'compat_sessions')`);
  if (tables >= 3) return;
  throw new MigrationError(
    "database-unsupported",
    `database ${name} is not the database of a Matrix Authentication Service: its tables are missing`,
    { hint: "check database in the service's configuration" },
  );
}

/** Throws `database-unsupported` when it has no state groups. Its tables do not name the homeserver. */
export async function assertStateDatabase(session: QuerySession): Promise<void> {
  const { tables, name } = await session.one<{ tables: number; name: string }>(`
    SELECT count(*) AS tables, current_database() AS name FROM pg_tables
    WHERE tablename IN ('schema_version', 'schema_compat_version', 'state_groups', 'state_groups_state')`);
  if (tables >= 4) return assertSchemaRecorded(session, name);
  throw new MigrationError(
    "database-unsupported",
    `database ${name} is not a state database of Synapse: Synapse's tables are missing`,
    { hint: "check databases in the configuration: the label whose data_stores has state" },
  );
}

/** The two tables in which Synapse records its schema's version; undefined when both have their row. */
async function emptySchemaTable(
  session: QuerySession,
): Promise<"schema_version" | "schema_compat_version" | undefined> {
  const { version, compat } = await session.one<{ version: number; compat: number }>(
    "SELECT (SELECT count(*) FROM schema_version) AS version, (SELECT count(*) FROM schema_compat_version) AS compat",
  );
  if (version === 0) return "schema_version";
  return compat === 0 ? "schema_compat_version" : undefined;
}

/**
 * Without a row in schema_version Synapse takes the database for a new one and creates its tables, which fails as they exist; a
 * missing row in schema_compat_version it writes at its next start (synapse/storage/prepare_database.py, `prepare_database`).
 */
const SCHEMA_HINTS = {
  schema_version:
    "Synapse takes it for a new database and does not start: check that it is the right one, or write the row back: INSERT INTO schema_version (version, upgraded) VALUES (…, false), with the version from a backup",
  schema_compat_version: "start Synapse once: it writes the row",
};

const describeEmptyTable = (table: string, where: string) =>
  `the database ${where} does not record its schema's version: the table ${table} is empty`;

async function assertSchemaRecorded(session: QuerySession, name: string): Promise<void> {
  const table = await emptySchemaTable(session);
  if (table === undefined) return;
  const hint = SCHEMA_HINTS[table];
  throw new MigrationError("database-unsupported", describeEmptyTable(table, name), { hint });
}

/** For a database of which `schemaOf` finds no schema. */
export async function schemaMissing(session: QuerySession, where: string): Promise<Finding> {
  const table = (await emptySchemaTable(session)) ?? "schema_version";
  return {
    id: "schema-missing",
    level: "blocker",
    sentence: describeEmptyTable(table, where),
    hint: SCHEMA_HINTS[table],
  };
}

/** Throws `database-unsupported` when this is not the database of that homeserver. */
export async function assertSynapseDatabase(session: QuerySession, serverName: string): Promise<void> {
  const isPostgres = session.engine === "postgres";
  const required = REQUIRED_TABLES.map(quoteLiteral).join(", ");
  // As the server finds them: by their names alone.
  const { tables } = await session.one<{ tables: number }>(
    isPostgres
      ? `SELECT count(to_regclass(name)) AS tables FROM unnest(ARRAY[${required}]) AS name`
      : `SELECT count(*) AS tables FROM sqlite_master WHERE name IN (${required})`,
  );
  const { name } = await session.one<{ name: string }>(
    isPostgres
      ? "SELECT current_database() AS name"
      : "SELECT file AS name FROM pragma_database_list WHERE name = 'main'",
  );
  if (tables < REQUIRED_TABLES.length) {
    throw new MigrationError(
      "database-unsupported",
      `database ${name} is not a Synapse database: Synapse's tables are missing`,
      {
        hint: "check the database settings; very old Synapses (before 1.37) must be upgraded first",
      },
    );
  }
  await assertSchemaRecorded(session, name);
  const end = `:${serverName}`;
  // synapse/storage/databases/main/__init__.py, check_database_before_upgrade, asks one row of users in the same way.
  const [stranger] = await session.all<{ name: string }>(
    `SELECT name FROM users WHERE substr(name, length(name) - ${end.length - 1}) <> ${quoteLiteral(end)} LIMIT 1`,
  );
  if (stranger) {
    throw new MigrationError(
      "database-unsupported",
      `database ${name} holds users of a server other than ${serverName}`,
      {
        hint: "check that configuration and database belong together; a server_name can never be changed",
      },
    );
  }
}
/** A database without these tables cannot be moved. */
const REQUIRED_TABLES = [
  ...["schema_version", "schema_compat_version", "users", "events", "local_media_repository"],
  "e2e_one_time_keys_json",
];
/** Names of all tables that can be found without a schema. */
export async function tableNames(session: QuerySession): Promise<ReadonlySet<string>> {
  const rows = await session.all<{ name: string }>(
    session.engine === "postgres"
      ? "SELECT c.relname AS name FROM pg_class c WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace"
      : "SELECT name FROM sqlite_master WHERE type = 'table'",
  );
  return new Set(rows.map(({ name }) => name));
}
/** Whether it is a Synapse's database at all. No finding when it is. */
export function foreignDatabase(names: ReadonlySet<string>, where: string): Finding[] {
  const missing = REQUIRED_TABLES.filter((name) => !names.has(name));
  if (missing.length === 0) return [];
  const empty = names.size === 0;
  return [
    {
      id: empty ? "database-empty" : "database-foreign",
      level: "blocker",
      sentence: empty
        ? `the database ${where} is empty`
        : `the database ${where} is not a Synapse database that can be moved`,
      ...(empty ? {} : { evidence: missing.map((name) => `there is no table ${name}`) }),
      hint: empty
        ? "check the database settings: Synapse would silently create a new, empty homeserver in it"
        : "check the database settings; a Synapse older than 1.37 must be upgraded first",
    },
  ];
}
/**
 * Users of another server name. Synapse looks at one row only and refuses to start if it is foreign
 * (synapse/storage/databases/main/__init__.py, check_database_before_upgrade), so which row comes first decides.
 */
export async function foreignUsers(session: QuerySession, serverName: string): Promise<Finding> {
  const end = `:${serverName}`;
  const { users, foreign } = await session.one<{ users: number; foreign: number | null }>(`
    SELECT count(*) AS users, SUM(CASE WHEN substr(name, length(name) - ${end.length - 1}) <> ${quoteLiteral(end)} THEN 1 ELSE 0 END) AS "foreign"
    FROM users`);
  if (users === 0)
    return {
      id: "database-users",
      level: "warning",
      sentence: "the database has no users",
      hint: "check that it is the right one: moving an empty homeserver moves nothing",
    };
  if (!foreign)
    return {
      id: "database-users",
      level: "ok",
      sentence:
        users === 1
          ? `the only account belongs to ${serverName}`
          : `all ${formatCount(users)} accounts belong to ${serverName}`,
    };
  const examples = await session.all<{ domain: string; count: number }>(`
    SELECT substr(name, ${session.engine === "postgres" ? "strpos(name, ':')" : "instr(name, ':')"} + 1) AS domain, count(*) AS count FROM users
    WHERE substr(name, length(name) - ${end.length - 1}) <> ${quoteLiteral(end)} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5`);
  return {
    id: "users-foreign",
    level: "blocker",
    sentence: `${formatCount(foreign)} of ${formatCount(users)} accounts belong to a server other than ${serverName}`,
    evidence: examples.map(({ domain, count }) => `${domain}: ${formatCount(count)}`),
    hint: "check that configuration and database belong together: a server_name can never be changed, and Synapse refuses to start with one that differs",
  };
}
