import { type QuerySession, quoteLiteral } from "../../../system/query.ts";
import type { DumpEntry } from "./left-out.ts";

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

/** How the extensions that only a superuser may create stay out of a dump: an ordinary role could not restore it with them. */
export interface ExcludedExtensions {
  /** For pg_dump. */
  readonly args: readonly string[];
  /** To be left out of what it writes, where it cannot exclude them itself: before 14, and when there are no others. */
  readonly entries: readonly DumpEntry[];
}

/** `major` is pg_dump's. */
export async function excludeExtensions(session: QuerySession, major: number): Promise<ExcludedExtensions> {
  const found = await readExtensions(session);
  const [staying, moved] = [found.filter(({ trusted }) => !trusted), found.filter(({ trusted }) => trusted)];
  if (staying.length === 0) return { args: [], entries: [] };
  // A pattern, as psql has them: quoted, a name means itself.
  if (major >= 14 && moved.length > 0)
    return { args: moved.map(({ name }) => `--extension="${name}"`), entries: [] };
  return {
    args: [],
    entries: staying.map(({ name }) => ({ type: "EXTENSION", schema: "-", tag: name, comment: name })),
  };
}
