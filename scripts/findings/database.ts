import type { FindingArea } from "./meaning.ts";

const OBSTACLE =
  "Drop the objects if they are not needed. What can be left out of the dump is a warning, and accepting it leaves it out: Synapse needs none of these objects. What cannot, such as a table with rows, is a blocker.";

export const DATABASE: FindingArea = {
  page: "database",
  title: "The database",
  about:
    "What `plan` and `export` say of PostgreSQL and SQLite, and the gates with which `open` compares the restored database with the old one.",
  findings: {
    database: {
      means: "Where the database is, of which version, and how large.",
      known: "Asked of the database.",
    },
    "database-check-incomplete": {
      means: "The checks of the database ended with an error, and an export would fail in the same way.",
      known: "A query failed, or the connection; the sentence has the server's reason.",
      clears: "Fix the cause, then run `plan` again.",
    },
    "database-empty": {
      means: "The database has no tables. Synapse would silently create a new, empty homeserver in it.",
      known: "The tables are listed.",
      clears: "Correct the database settings.",
    },
    "database-foreign": {
      means: "The database lacks tables that every Synapse database has that can be moved.",
      known: "The tables are listed.",
      clears: "Correct the database settings; a Synapse older than 1.37 must be upgraded first.",
    },
    "schema-missing": {
      means:
        "A table with the version of the schema has no row, so it is not known to which Synapse the database belongs.",
      known: "The tables are read.",
      clears: "Follow the hint, which depends on the table.",
    },
    "database-users": {
      means:
        "How many accounts the database has. None is a warning, because moving an empty homeserver moves nothing.",
      known: "The rows of `users` are counted.",
      clears: "Check that it is the right database.",
    },
    "users-foreign": {
      means:
        "Accounts in the database belong to another server name. Synapse refuses to start when it sees one of them first.",
      known: "The end of each user id is compared with `server_name`.",
      clears: "Check that configuration and database belong together.",
    },
    "database-locale": {
      means:
        "Whether the locale is C, as Synapse requires. With another locale indexes may have been corrupted when the system's sort order changed. As a gate of `open`, encoding and locale of the new database must be UTF8 and C.",
      known: "From PostgreSQL's catalog.",
      clears:
        "Look for hidden duplicates with `--deep`, then accept the warning: the new database has locale C. On the new host, drop the database and restore again.",
      accepts: ["open"],
    },
    "database-encoding": {
      means:
        "The encoding of the database is not UTF8. The dump is converted, and rows that cannot be converted make it fail.",
      known: "From PostgreSQL's catalog.",
      clears: "`plan --deep` names the tables with such rows; then accept the warning.",
    },
    "unsafe-locale": {
      means: "`allow_unsafe_locale` is set: the database has a locale that can corrupt its indexes.",
      known: "From the settings.",
      clears: "Remove the setting once the new database, with locale C, is open.",
    },
    "collation-changed": {
      means:
        "The library that PostgreSQL sorts by has changed since the database was made, so indexes on text may be corrupt.",
      known: "PostgreSQL 15 and later records the version; it is compared with the present one.",
      clears:
        "Look for duplicates with `--deep`. `REINDEX DATABASE` repairs indexes; the locale C of the new database avoids the problem.",
    },
    "duplicate-rows": {
      means:
        "Whether a corrupt unique index hides duplicate rows. A restore would fail when it creates such an index.",
      known: "`plan --deep` reads each table once for each of its unique indexes, without using them.",
      clears:
        "With Synapse stopped and index scans switched off, find each pair, delete the wrong row, then REINDEX. Ask in Synapse's support room if unsure which one is wrong.",
    },
    "indexes-invalid": {
      means:
        "Building an index failed once. PostgreSQL does not use it, and a dump leaves it out, so the new database would lack it.",
      known: "From PostgreSQL's catalog.",
      clears: "REINDEX it, or drop it unless Synapse is just building it.",
    },
    "unique-indexes-missing": {
      means:
        "A table of Synapse's lacks a primary key or a unique index that Synapse made. Rows can be written twice, and statements of Synapse that rely on it fail, on the old host and on the new one.",
      known:
        "The indexes in the catalog are compared with those of Synapse's own schema, from schema 72 on; those that pending background updates create are left out. With `--deep` values that occur more than once are counted.",
      clears:
        "Run the statements that the finding names, on the old host before the move. One that fails has found rows that exist more than once: delete all but the right one, with Synapse stopped.",
    },
    "foreign-key-orphans": {
      means:
        "Rows refer to others that do not exist, against a foreign key. A restore would fail when it creates that key.",
      known: "Each foreign key is checked by a query; with `--deep` without indexes.",
      clears:
        "Delete or correct these rows with Synapse stopped. Where the key is not one of Synapse's, drop the constraint.",
    },
    "database-text": {
      means: "Whether every row can be read and is valid UTF-8. A restore would fail on others.",
      known: "`plan --deep` reads every row.",
      clears: "Look at the rows by the ctid given, and correct or remove them before the export.",
    },
    "tables-broken": {
      means: "Tables cannot be read completely, and a dump would fail on them.",
      known: "`plan --deep` reads every row; the evidence has PostgreSQL's errors.",
      clears: "Look at PostgreSQL's log and the disk; restore the damaged table from a backup.",
    },
    "database-checksums": {
      means: "PostgreSQL has found damaged pages in this database. A dump that reads one fails.",
      known: "The counter `checksum_failures` of pg_stat_database.",
      clears: "Look at the disk and PostgreSQL's log, and repair or restore the database first.",
    },
    "tables-unreadable": {
      means:
        "Synapse's database user may not read some tables or sequences, so the database cannot be dumped.",
      known: "PostgreSQL is asked for the privileges of each.",
      clears: "As a superuser, `GRANT SELECT` on them, or drop those that are not part of Synapse.",
    },
    "row-security": {
      means: "Row-level security hides rows from Synapse's database user, and pg_dump refuses such tables.",
      known: "PostgreSQL is asked for which tables it is active.",
      clears:
        "As a superuser, `ALTER ROLE … BYPASSRLS` until the move is done, or switch row-level security off where it is not needed.",
    },
    "large-objects-unreadable": {
      means:
        "Synapse's database user may not read large objects, which pg_dump reads as well. Synapse itself has none.",
      known: "From their owners and privileges in the catalog.",
      clears: "As a superuser, remove those that are not needed, or grant SELECT on them.",
    },
    extensions: {
      means:
        "The database has extensions that only a superuser may create. They are not moved, and Synapse needs none.",
      known: "From PostgreSQL's catalog.",
      clears: "Where you want them on the new host too, create them there once the server is open.",
    },
    "objects-of-extensions": {
      means:
        "Objects in the database depend on an extension that is not moved. A restore would fail on them.",
      known: "From the dependencies in PostgreSQL's catalog.",
      clears: OBSTACLE,
      accepts: ["export"],
    },
    "objects-of-superusers": {
      means:
        "Objects in the database can be created by a superuser only. A restore by an ordinary role would fail on them.",
      known: "From PostgreSQL's catalog.",
      clears: OBSTACLE,
      accepts: ["export"],
    },
    "policies-of-roles": {
      means: "Policies name roles that the new database server may not have. A restore would fail on them.",
      known: "From PostgreSQL's catalog.",
      clears: OBSTACLE,
      accepts: ["export"],
    },
    "objects-search-path": {
      means:
        "Objects call a function that finds nothing by unqualified names, because the search_path is empty while a dump is restored. A restore would fail on them.",
      known: "The functions are looked at in PostgreSQL with an empty search_path.",
      clears: `Give the function a search_path of its own: \`ALTER FUNCTION … SET search_path = public, pg_temp\`. ${OBSTACLE}`,
      accepts: ["export"],
    },
    "schema-trial": {
      means:
        "Whether the schema can be restored on the server given with `--try-on`. A warning names what failed, or why it could not be tried.",
      known:
        "The schema, without rows, is restored there into a database of its own, which is dropped again.",
      clears: "Correct or drop these objects, or install what they need on that server.",
      accepts: ["export"],
    },
    "schema-not-public": {
      means: "The server's tables are outside the schema `public`.",
      known: "From PostgreSQL's catalog.",
      clears: "Nothing is to be done: `restore` sets the search_path of the new database's user.",
    },
    "schemas-other": {
      means: "The database has tables of others in further schemas. They are included in the dump.",
      known: "From PostgreSQL's catalog.",
      clears: "Drop them if they are not needed, or accept the warning.",
    },
    "tables-of-tools": {
      means: "The database holds tables of known tools for Synapse. They are included in the dump.",
      known: "By their names.",
    },
    "tables-unknown": {
      means:
        "Tables are not known to be Synapse's. They are included in the dump. It is a note where the database is of a newer Synapse than this synlift knows.",
      known: "The names are compared with those of every known version.",
      clears: "Find out what created them, and whether the new host needs that too; then accept the warning.",
    },
    "database-pooler": {
      means:
        "The database is reached through a connection pooler. What pg_dump sets would stay on connections that others use, and the fence would not hold for connections that the pooler keeps open.",
      known:
        "A few connections are made one after another. The server makes a new process for each, a pooler hands on older ones.",
      clears:
        "Name the server's own address with `--database-server`. Once the homeserver is stopped, stop the pooler too.",
    },
    "database-standby": {
      means: "The database server is a standby, from which no snapshot can be exported.",
      known: "`pg_is_in_recovery()`.",
      clears: "Give the primary's address in the database settings.",
    },
    "database-in-use": {
      means:
        "The homeserver's database is still in use, although the server has to be stopped at this point.",
      known:
        "PostgreSQL lists connections with the homeserver's role; for SQLite, the processes that have the file open.",
      clears: "Stop Synapse, its workers and whatever else uses the database, also a connection pooler.",
    },
    "database-connections": {
      suffix: "ROLE",
      means:
        "Other programs are connected to the homeserver's database. The bundle does not contain what they write after the dump.",
      known: "PostgreSQL lists connections with other roles.",
      clears: "Stop them; or accept it, if they only read.",
      accepts: ["export", "pull"],
    },
    "background-updates": {
      means:
        "Whether Synapse still has background updates to finish. They make the move slower, keep synapse_port_db from working, and must be done before the next upgrade.",
      known: "From the table `background_updates`.",
      clears: "Let the server run until they are done.",
    },
    "sequences-behind": {
      means:
        "Whether sequences are behind the ids in use, as a hard kill of PostgreSQL can leave them. Synapse would refuse to start, or could not add rows.",
      known: "Each sequence is compared with the highest id in its table.",
      clears:
        "`restore` raises them on the new host. On the old one, `export --fix sequences` does, after the stop.",
    },
    "sequences-raised": {
      means:
        "Sequences of the old database that were behind the ids in use were raised, also on the old host.",
      known: "`export --fix sequences` did it after the fence.",
    },
    "rooms-joining": {
      means: "The server is still joining rooms: their state is being fetched from other servers.",
      known: "From the table `partial_state_rooms`.",
      clears: "Nothing is lost: the new server continues. It is cleaner to wait until it has finished.",
    },
    "database-split": {
      means: "The state groups are in a database of their own.",
      known: "From `databases` in the settings.",
      clears: "Prepare two empty databases, and pass both to `restore`: `--database` and `--state-database`.",
    },
    "database-mixed": {
      means: "There are several databases, and not all of them are on PostgreSQL.",
      known: "From the settings.",
      clears: "Port both the main and the state database to PostgreSQL first.",
    },
    "database-sqlite": {
      means: "The database is SQLite: the file is packed and restored as SQLite.",
      known: "From the settings.",
      clears: "To change to PostgreSQL, run `port` days before the move, or add `--port` to `restore`.",
    },
    "sqlite-integrity": {
      means:
        "Whether SQLite finds damage in the database. A note says that it was not checked, as reading it takes a while.",
      known: "`PRAGMA quick_check`, with `--deep` `PRAGMA integrity_check`.",
      clears:
        "Stop Synapse and keep a copy. REINDEX repairs indexes; `.recover` of sqlite3 recovers data from damaged tables.",
    },
    "sqlite-wal": {
      means:
        "A killed Synapse left changes beside the database file. They are packed with it; a copy of the .db file alone would lose them.",
      known: "The file with `-wal` at the end is not empty, and the server is not running.",
      clears: "Nothing is to be done.",
    },
    "sqlite-auto-vacuum": {
      means: "auto_vacuum is on, with which synapse_port_db refuses to work.",
      known: "`PRAGMA auto_vacuum`.",
      clears: "Nothing for a move to SQLite. A port mends it on a copy: `--fix auto-vacuum`.",
    },
    "sqlite-foreign-keys": {
      means: "Rows refer to others that do not exist, which SQLite allows and PostgreSQL rejects.",
      known: "`PRAGMA foreign_key_check`.",
      clears: "Nothing for a move to SQLite. A port deletes them from a copy: `--fix orphans`.",
    },
    "target-database": {
      means:
        "Whether the database given for the new host is empty and suitable for this one, or may be created by `restore`.",
      known: "Engine, version, encoding and locale are read there, and its tables listed.",
      clears: "Create it as the hint says, or empty it.",
      levels: ["ok", "blocker"],
    },
    "target-database-unreachable": {
      means: "The database given for the new host could not be reached from here, so it was not checked.",
      known: "The connection failed; the sentence has the reason.",
      clears: "Make it reachable from here, or accept the warning if only the new host reaches it.",
      levels: ["warning"],
    },
    "row-counts": {
      means: "Whether every table of the restored database has as many rows as the old one.",
      known:
        "All rows are counted on both hosts. For a database that was ported from SQLite, the rows of the port are compared. For one that followed the old one, its rows were compared in the cut-over, and PostgreSQL's own counts say whether anything was written since.",
      clears: "If a server was started on this database: remove it and restore again.",
    },
    sequences: {
      means:
        "Whether a sequence of the restored database is behind the old one; ids would be assigned twice.",
      known: "Every sequence is compared with its value at the source, or with the ids in use after a port.",
      clears: "Remove the database and restore again.",
      accepts: ["open"],
    },
    "stream-positions": {
      means:
        "Whether every stream has the position of the old host. Synapse refuses to start when streams and sequences do not fit.",
      known: "The stream tables are compared with the source, and with the sequences.",
      clears:
        "Remove the database and restore again. If the old database has the same error, set the sequences there and export again.",
      accepts: ["open"],
    },
    schema: {
      means: "Whether the schema of the restored database has the versions of the old one.",
      known: "From `schema_version` and `schema_compat_version`.",
      clears: "If a server was started on this database: remove it and restore again.",
      accepts: ["open"],
    },
    "one-time-keys": {
      means:
        "Whether the table of one-time keys is empty. Old keys would be given out a second time, and encrypted messages would break; clients upload new ones.",
      known: "The rows of `e2e_one_time_keys_json` are counted.",
      clears: "Empty the table as the hint says.",
      accepts: ["open"],
    },
    "state-database": {
      means:
        "The bundle has a separate database for state groups, and the configuration here has none. Without it the server cannot use any room.",
      known: "The restored configuration is read.",
      clears: "Restore again with `--state-database`.",
    },
    "database-file": {
      means:
        "Whether the SQLite file and its folder belong to the account that runs Synapse, and no other account can read them.",
      known: "Owner and mode of both are looked at.",
      clears: "chown both to that account, and chmod 600 the file.",
      accepts: ["open"],
    },
  },
};
