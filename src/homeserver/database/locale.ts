import type { DatabaseFacts } from "./facts.ts";

type Locale = Pick<DatabaseFacts, "encoding" | "collate" | "ctype" | "provider" | "providerLocale">;

/**
 * Whether the database is as Synapse requires: UTF8, collation and character type C. Synapse itself compares `datcollate` and
 * `datctype` alone (synapse/storage/engines/postgres.py, `check_database`), which a database that sorts by ICU has as well.
 * PostgreSQL's own C is the same as that of the C library (PostgreSQL documentation, Locale Providers).
 */
export const isAsSynapseRequires = (locale: Locale) =>
  locale.encoding === "UTF8" && locale.collate === "C" && locale.ctype === "C" && sortsByCollation(locale);

/** Whether text is sorted by the collation that the database is said to have. */
export const sortsByCollation = ({ provider, providerLocale }: Locale) =>
  provider === "libc" || (provider === "builtin" && providerLocale === "C");

/** What text is sorted by where that is not the collation: "ICU, with locale en-US". */
export const describeProvider = ({ provider, providerLocale }: Locale) =>
  `${provider === "icu" ? "ICU" : "PostgreSQL's own provider"}, with locale ${providerLocale ?? "unknown"}`;

/** For people: "encoding UTF8, collation C and character type C, and sorts by ICU, with locale en-US". */
export const describeLocale = (locale: Locale) =>
  `encoding ${locale.encoding}, collation ${locale.collate} and character type ${locale.ctype}${
    sortsByCollation(locale) ? "" : `, and sorts by ${describeProvider(locale)}`
  }`;

/** From PostgreSQL 15 on a new database is sorted by what its template is sorted by, unless it is told otherwise. */
const knowsProviders = (serverVersion: number) => serverVersion >= 150_000;

/** The rest of a CREATE DATABASE for a database as Synapse requires it. */
export const createOptions = (serverVersion: number) =>
  `TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'${knowsProviders(serverVersion) ? " LOCALE_PROVIDER libc" : ""}`;

/** The command for a person that makes such a database. */
export const createdbCommand = (
  serverVersion: number,
  { owner = "OWNER", name = "NAME" }: { owner?: string; name?: string } = {},
) =>
  `createdb --encoding=UTF8 --locale=C${knowsProviders(serverVersion) ? " --locale-provider=libc" : ""} --template=template0 --owner=${owner} ${name}`;
