import type { FindingArea } from "./meaning.ts";

export const PORT: FindingArea = {
  page: "port",
  title: "From SQLite to PostgreSQL",
  about:
    "What `port`, and `restore --port`, say of a change from SQLite to PostgreSQL. What is mended is mended on a private copy: the file of the server is not changed.",
  findings: {
    "port-damage": {
      means: "SQLite finds damage in the database. What cannot be read could not be copied.",
      known: "`PRAGMA quick_check` on a private copy.",
      clears: "Restore the file from a backup, or repair it with Synapse stopped. Look at the disk first.",
    },
    "port-auto-vacuum": {
      means: "auto_vacuum is on, with which synapse_port_db refuses to work.",
      known: "`PRAGMA auto_vacuum`.",
      clears: "`--fix auto-vacuum`.",
    },
    "port-orphans": {
      means: "Rows refer to rows that do not exist. SQLite allows them, PostgreSQL refuses them.",
      known: "Each reference that PostgreSQL would enforce is looked up.",
      clears: "`--fix orphans`, which deletes them from the copy.",
    },
    "port-nul-bytes": {
      means:
        "Texts contain NUL characters, which PostgreSQL cannot store; synapse_port_db would leave these rows out.",
      known: "Every text column is searched.",
      clears: "`--fix nul-bytes`.",
    },
    "port-pending-updates": {
      means: "Background updates are pending, and synapse_port_db copies nothing until they are finished.",
      known: "From the table `background_updates`.",
      clears: "Let the server finish them, or `--fix pending-updates`.",
    },
    "port-unknown-tables": {
      means: "Tables with rows are not Synapse's. Their rows are not copied.",
      known: "The names are compared with those of every known version of Synapse.",
      clears: "`--fix unknown-tables` goes on without them.",
    },
    "port-fixed": {
      shown: "port-…-fixed",
      means:
        "What one of the findings above names was mended on the private copy, as asked with `--fix`: for example `port-orphans-fixed`.",
      known: "synlift did it in this run; the evidence says what was changed.",
    },
    "port-room": {
      means:
        "The disk of the database server cannot be seen from here. It needs up to twice the size of the SQLite file.",
      known: "The server is on another host, or does not tell where its data is.",
      clears: "Look at the disk yourself.",
    },
    "port-rows": {
      means: "Whether every table of the new database has the rows that it has in SQLite.",
      known: "The rows of all tables are counted on both sides after the copy, and counted again by `open`.",
      clears:
        "Look at the log of the port, then run the same command again. As a gate of `open`: restore again.",
    },
    "port-not-copied": {
      means:
        "Some rows were not copied, on purpose: sessions that last minutes, locks, and the user directory, which Synapse builds again.",
      known: "These tables are counted as well; the evidence has the figures.",
      clears: "Nothing is to be done.",
    },
    "port-references": {
      means:
        "References between rows of one table were put back after the copy, because synapse_port_db fails at them.",
      known: "They were taken out of the private copy before, and each was set again.",
    },
    "port-sequences": {
      means: "No sequence is behind the ids in use, or those that were have been raised.",
      known: "Each sequence is compared with the highest id in its table.",
    },
    "port-started": {
      means: "A Synapse in isolation started on the new database, and changed nothing in it.",
      known:
        "It was started once, in isolation, and stopped again; the rows of all tables were compared once more afterwards.",
    },
    "port-directory": {
      means:
        "The user directory is built again when the server starts. Until then a search for users finds little.",
      known: "synapse_port_db does not copy it.",
      clears: "Nothing is to be done.",
    },
  },
};
