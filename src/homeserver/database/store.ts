import type { Finding } from "../../report/finding.ts";

/**
 * The role of a database: `main` holds everything, or everything but the state groups; `state`, where `databases` gives them
 * one of their own, holds only these (synapse/config/database.py, `data_stores`); `mas` is that of the authentication
 * service, which is moved in the same way.
 */
export type Store = (typeof STORES)[number];

export const STORES = ["main", "state", "mas"] as const;

const DESCRIPTIONS: Readonly<Record<Store, string>> = {
  main: "the database",
  state: "the state database",
  mas: "the authentication service's database",
};

/** For sentences about one of several databases. */
export const describeStore = (store: Store) => DESCRIPTIONS[store];

/** A finding about one of several databases, with its name unless it has it. */
export function inDatabase(store: Store, finding: Finding): Finding {
  const which = describeStore(store);
  return finding.sentence.startsWith(which)
    ? finding
    : { ...finding, sentence: `in ${which}: ${finding.sentence}` };
}

/** The table that holds the schema version; an empty database does not have it. */
export const schemaTable = (store: Store) => (store === "mas" ? "_sqlx_migrations" : "schema_version");

/**
 * Tables that, in one schema, tell that it holds the server's own: other programs have a schema_version too. The last is no
 * other program's.
 */
export const TELLING_TABLES: Readonly<Record<Store, readonly [string, string]>> = {
  main: ["schema_version", "schema_compat_version"],
  state: ["schema_version", "state_groups"],
  mas: ["_sqlx_migrations", "compat_sessions"],
};

/** Expressions for the schema's version, and the oldest that it is compatible with: the service keeps no such thing. */
export const SCHEMA_VERSIONS: Readonly<Record<Store, readonly [version: string, compat: string]>> = {
  main: ["(SELECT version FROM schema_version)", "(SELECT compat_version FROM schema_compat_version)"],
  state: ["(SELECT version FROM schema_version)", "(SELECT compat_version FROM schema_compat_version)"],
  mas: ["(SELECT max(version) FROM _sqlx_migrations)", "0"],
};
