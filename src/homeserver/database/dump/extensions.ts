import { type QuerySession, quoteLiteral } from "../../../system/query.ts";

interface Extension {
  readonly name: string;
  /** Whether an ordinary role may create it (PostgreSQL documentation, CREATE EXTENSION). */
  readonly trusted: boolean;
}

/**
 * Version 12 has no `trusted` (PostgreSQL documentation, pg_available_extension_versions). What its own packages hold and 13 trusts is
 * moved: the new server is newer (PostgreSQL documentation, Additional Supplied Modules).
 */
const TRUSTED_SINCE_13 = [
  ...[
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "lo",
  ],
  ...[
    "ltree",
    "pgcrypto",
    "pg_trgm",
    "seg",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
  ],
  "uuid-ossp",
]
  .map(quoteLiteral)
  .join(", ");

function readExtensions(session: QuerySession): Promise<Extension[]> {
  return session.all<Extension>(`
    SELECT e.extname AS name, e.extname = 'plpgsql' OR EXISTS (
      SELECT FROM pg_available_extension_versions v WHERE v.name = e.extname AND v.version = e.extversion
        AND coalesce((to_jsonb(v) ->> 'trusted')::boolean, e.extname IN (${TRUSTED_SINCE_13}))) AS trusted
    FROM pg_extension e ORDER BY 1`);
}

/** Extensions that only a superuser may create. Synapse needs none of them; people add them to watch their database. */
export async function untrustedExtensions(session: QuerySession): Promise<string[]> {
  return (await readExtensions(session)).filter(({ trusted }) => !trusted).map(({ name }) => name);
}

/**
 * Arguments for pg_dump that exclude untrusted extensions, with which an ordinary role could not restore the dump. Empty where there are
 * none, or where all extensions are untrusted, as then pg_dump cannot exclude them.
 */
export async function extensionArguments(session: QuerySession): Promise<string[]> {
  const found = await readExtensions(session);
  if (found.every(({ trusted }) => trusted)) return [];
  // A pattern, as psql has them: quoted, a name means itself.
  return found.filter(({ trusted }) => trusted).map(({ name }) => `--extension="${name}"`);
}
