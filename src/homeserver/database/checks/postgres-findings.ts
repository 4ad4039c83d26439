import type { Finding } from "../../../report/finding.ts";
import { formatCount } from "../../../report/units.ts";
import type { QuerySession } from "../../../system/query.ts";
import { untrustedExtensions } from "../dump/extensions.ts";
import type { DatabaseFacts } from "../facts.ts";
import { describeProvider, isAsSynapseRequires, sortsByCollation } from "../locale.ts";
import type { Store } from "../store.ts";
import { otherSchemas, USER_SCHEMAS } from "../user-schemas.ts";

/** Synapse's requirements on encoding and locale (synapse/storage/engines/postgres.py, `check_database` and `check_new_database`). */
export function localeFindings(facts: DatabaseFacts, deep: boolean): Finding[] {
  const { encoding, collate, ctype } = facts;
  const findings: Finding[] = [];
  if (isAsSynapseRequires(facts))
    findings.push({
      id: "database-locale",
      level: "ok",
      sentence: "the database's encoding is UTF8 and its locale C, as Synapse requires",
    });
  if (encoding !== "UTF8") {
    findings.push({
      id: "database-encoding",
      level: "warning",
      sentence: `the database's encoding is ${encoding}; the new one must be UTF8`,
      hint: deep
        ? "the dump is converted; rows that cannot be converted are reported as database-text"
        : "it may contain rows that a UTF8 database rejects: --deep reads every row and names their tables",
    });
  }
  if (collate !== "C" || ctype !== "C" || !sortsByCollation(facts)) {
    const named = collate === ctype ? collate : `${collate} and ${ctype}`;
    const locale = sortsByCollation(facts) ? named : `that of ${describeProvider(facts)}`;
    findings.push({
      id: "database-locale",
      level: "warning",
      sentence: `the database's locale is ${locale}, not C: its indexes may have been corrupted when the system's sort order changed`,
      hint: deep
        ? "duplicates that such an index hides are reported as duplicate-rows; the new database has locale C, which avoids the problem"
        : "check with --deep for duplicates that such an index hides; the new database has locale C, which avoids the problem",
    });
  }
  return findings;
}

interface NamedObject {
  readonly name: string;
}

/** Errors that the server itself reports, and what would interrupt a dump or a restore. */
export async function catalogueFindings(
  session: QuerySession,
  { serverVersion }: DatabaseFacts,
  store: Store = "main",
): Promise<Finding[]> {
  return [
    ...(await changedCollation(session, serverVersion)),
    ...(await invalidIndexes(session)),
    ...(await checksumFailures(session)),
    ...(await unreadableTables(session)),
    ...(await rowSecurity(session)),
    ...(await unreadableLargeObjects(session)),
    ...(await otherSchemas(session, store)),
    ...(await extensionFindings(session)),
    ...(await standby(session)),
  ];
}

/** Since PostgreSQL 15 a database remembers the version of the library that it sorts by. */
async function changedCollation(session: QuerySession, serverVersion: number): Promise<Finding[]> {
  if (serverVersion < 150_000) return [];
  const { was, is } = await session.one<{ was: string | null; is: string | null }>(
    `SELECT datcollversion AS was, pg_database_collation_actual_version(oid) AS is FROM pg_database WHERE datname = current_database()`,
  );
  if (was === null || is === null || was === is) return [];
  return [
    {
      id: "collation-changed",
      level: "warning",
      sentence: `the system's collation version has changed from ${was} to ${is}: indexes on text may be corrupt`,
      hint: "check for duplicates with --deep; REINDEX DATABASE repairs indexes, and locale C on the new host avoids the problem",
    },
  ];
}

/** pg_dump leaves them out (pg_dump.c, `getIndexes`). */
async function invalidIndexes(session: QuerySession): Promise<Finding[]> {
  const found = await session.all<NamedObject>(
    `SELECT indexrelid::regclass::text || CASE WHEN indisunique THEN ', a unique index: rows can be written twice' ELSE '' END AS name
     FROM pg_index JOIN pg_class c ON c.oid = indrelid
     WHERE NOT (indisvalid AND indisready) AND c.relkind <> 'p' AND c.relnamespace <> 'pg_toast'::regnamespace ORDER BY 1`,
  );
  if (found.length === 0) return [];
  return [
    {
      id: "indexes-invalid",
      level: "warning",
      sentence: `${found.length} ${found.length === 1 ? "index is" : "indexes are"} not valid: building it failed once`,
      evidence: found.map(({ name }) => name),
      hint: "a dump leaves it out, so the new database would not have it: REINDEX INDEX CONCURRENTLY now, or drop it if its name ends with _ccnew or _ccold; wait if Synapse is just building it",
    },
  ];
}

/** PostgreSQL counts them since version 12. */
async function checksumFailures(session: QuerySession): Promise<Finding[]> {
  const { failures } = await session.one<{ failures: number | null }>(
    "SELECT (to_jsonb(d) ->> 'checksum_failures')::bigint AS failures FROM pg_stat_database d WHERE datname = current_database()",
  );
  if (!failures) return [];
  return [
    {
      id: "database-checksums",
      level: "blocker",
      sentence: `PostgreSQL has counted ${formatCount(failures)} checksum failures in this database`,
      hint: "check the disk and PostgreSQL's log; a dump that reads a damaged page fails: repair or restore the database first",
    },
  ];
}

/** pg_dump needs to read each table, whoever owns it. */
async function unreadableTables(session: QuerySession): Promise<Finding[]> {
  const found = await session.all<NamedObject>(`
    SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND ${USER_SCHEMAS}
      AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
        ELSE has_table_privilege(c.oid, 'SELECT') END) ORDER BY 1`);
  if (found.length === 0) return [];
  return [
    {
      id: "tables-unreadable",
      level: "blocker",
      sentence: `${found.length} ${found.length === 1 ? "table or sequence" : "tables or sequences"} may not be read by Synapse's database user, so the database cannot be dumped`,
      evidence: found.map(({ name }) => name),
      hint: "as a superuser: GRANT SELECT ON … TO that user, or drop those that are not part of Synapse",
    },
  ];
}

/** pg_dump switches row security off, and a table whose policies hold for its role then refuses to be read (pg_dump(1), --enable-row-security). */
async function rowSecurity(session: QuerySession): Promise<Finding[]> {
  const found = await session.all<NamedObject>(`
    SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND ${USER_SCHEMAS} AND row_security_active(c.oid) ORDER BY 1`);
  if (found.length === 0) return [];
  const one = found.length === 1;
  return [
    {
      id: "row-security",
      level: "blocker",
      sentence: `row-level security hides rows of ${found.length} ${one ? "table" : "tables"} from Synapse's database user, so the database cannot be dumped`,
      evidence: found.map(({ name }) => name),
      hint: "as a superuser: ALTER ROLE … BYPASSRLS for that user until the move is done; or, where the policies are not needed, ALTER TABLE … DISABLE ROW LEVEL SECURITY",
    },
  ];
}

/**
 * pg_dump reads all large objects. A role may read its own, those that are granted to it or to everybody, and all where
 * lo_compat_privileges is on (PostgreSQL documentation, Large Objects).
 */
async function unreadableLargeObjects(session: QuerySession): Promise<Finding[]> {
  const { count, owners } = await session.one<{ count: number; owners: string | null }>(`
    SELECT count(*) AS count, string_agg(DISTINCT pg_get_userbyid(lomowner)::text, ', ') AS owners FROM pg_largeobject_metadata l
    WHERE NOT current_setting('lo_compat_privileges')::boolean
      AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AND NOT pg_has_role(lomowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM aclexplode(lomacl) a WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))`);
  if (count === 0) return [];
  return [
    {
      id: "large-objects-unreadable",
      level: "blocker",
      sentence: `${formatCount(count)} ${count === 1 ? "large object" : "large objects"} may not be read by Synapse's database user, so the database cannot be dumped`,
      evidence: [`owned by ${owners!}`],
      hint: "Synapse has no large objects: as a superuser, lo_unlink those that are not needed, or GRANT SELECT ON LARGE OBJECT … TO that user",
    },
  ];
}

/** They are excluded from the dump: Synapse does not depend on them, and the new host may have its own. */
async function extensionFindings(session: QuerySession): Promise<Finding[]> {
  const found = await untrustedExtensions(session);
  if (found.length === 0) return [];
  return [
    {
      id: "extensions",
      level: "note",
      sentence: `the database has extensions that only a superuser may create, and that are not moved: ${found.join(", ")}`,
      hint: "Synapse needs none; where you want them on the new host too, create them there once the server is open",
    },
  ];
}

async function standby(session: QuerySession): Promise<Finding[]> {
  const { recovering } = await session.one<{ recovering: boolean }>(
    "SELECT pg_is_in_recovery() AS recovering",
  );
  if (!recovering) return [];
  return [
    {
      id: "database-standby",
      level: "blocker",
      sentence: "the database server is a standby: no snapshot can be exported from it",
      hint: "give the primary's address in the database settings",
    },
  ];
}
