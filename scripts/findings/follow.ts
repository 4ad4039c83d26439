import type { FindingArea } from "./meaning.ts";

export const FOLLOW: FindingArea = {
  page: "follow",
  title: "A copy of the database that follows the old server",
  about:
    "What `follow` and `follow status` say of the copy on the new host, and of what the old server keeps for it.",
  findings: {
    "follow-compared": {
      means:
        "All rows of the copy were compared with those of the old database, while that server ran. What was written to meanwhile is compared again in the cut-over.",
      known:
        "Number and digest of the rows of every table were read on both sides; PostgreSQL's own counts say which tables were written to meanwhile.",
      clears: "Nothing has to be done.",
    },
    "database-followed": {
      means:
        "The database came by following the old one: what was compared with it when, at which positions of its log, and which tables not row by row.",
      known:
        "Tables that were written to since the comparison of all rows were compared while the old server was fenced, before the copy was promoted.",
      clears: "Nothing has to be done.",
    },
    "follow-standby": {
      means:
        "Whether a physical standby on the new host can follow the old database, what would be changed on the old host for it, and how long the outage would be. Where it cannot, the evidence has every reason.",
      known:
        "PostgreSQL's administrator was asked for version, settings, replication slots, tablespaces and pg_hba.conf, and the disk for what is free. `plan` does not know the new host, so what it needs there is said.",
      clears: "Nothing has to be cleared: without it, the database is dumped and restored during the outage.",
    },
    "follow-logical": {
      means:
        "The same for logical replication, which also leads to a newer PostgreSQL or another architecture, and takes the homeserver's own database alone.",
      known: "As for `follow-standby`.",
      clears: "Nothing has to be cleared.",
    },
    "follow-unknown": {
      means: "Whether the database could be followed is not known; the sentence has the reason.",
      known: "PostgreSQL's administrator could not be asked.",
      clears: "Run `plan` as root; it matters for large databases only.",
    },
    "follow-collation": {
      means:
        "Databases of the old PostgreSQL sort text by the rules of the C library, and a standby takes their indexes along as they are.",
      known: "The locale of each database, from the catalogue.",
      clears:
        "If the new host has another version of the C library: REINDEX these databases after the cut-over.",
    },
    "follow-recorded": {
      means:
        "The old PostgreSQL was changed so that a copy can follow: the evidence has each change as it is undone, and what PostgreSQL keeps back for the copy now.",
      known: "The record in the folder on the old host; the replication slot was looked at.",
      clears: "`follow stop` on the new host undoes it, or `rollback --only-follow` on the old one.",
    },
    following: {
      means: "Only a copy of the database follows; nothing was stopped or sent.",
      known: "The folder has the record of a follow, and of nothing else.",
      clears: "Nothing has to be done.",
    },
    "follow-slot-lost": {
      means:
        "The copy was further behind than the old PostgreSQL may keep its log, and cannot follow any more. The old server is not affected.",
      known: "PostgreSQL says so of the replication slot.",
      clears: "Begin the copy again on the new host.",
    },
    "follow-not-undone": {
      means:
        "Something that was changed in PostgreSQL so that a copy could follow could not be undone; the evidence says what and why. What would do harm without the rest stays as it is.",
      known: "PostgreSQL refused a statement, or could not be reached.",
      clears: "Do what the evidence says, and run `rollback --only-follow` again.",
    },
    "wal-level-kept": {
      means:
        "What follow changed on the old host is undone; PostgreSQL keeps wal_level = logical until its next restart, which costs a little more log and nothing else.",
      known: "The setting was taken out of postgresql.auto.conf, and takes effect with a restart only.",
      clears: "It goes away with the next restart of PostgreSQL.",
    },
    "follow-other-databases": {
      means:
        "A standby is a copy of a whole PostgreSQL server, and the old one has databases that do not belong to the homeserver. They are copied, too.",
      known: "The old server was asked for its databases.",
      clears: "Drop those that do not belong on the new host, once it is open.",
    },
    "follow-settings-left": {
      means:
        "The old server has settings, made with ALTER SYSTEM, that belong to its host: its port, its archive, its libraries. They are part of a copy, and were taken out of it.",
      known: "The copied `postgresql.auto.conf` has them.",
      clears: "Set those that you want on the new server, too.",
    },
    "follow-settings-differ": {
      means:
        "The old server has other values for settings by which people tune PostgreSQL. Configuration files are not part of a copy, and what fits depends on the host.",
      known: "Both servers were asked.",
      clears: "Choose values for this host in the new server's postgresql.conf.",
    },
    "follow-collation-version": {
      means:
        "Databases of the copy were made with another version of the C library's or ICU's rules for sorting than this host has. Indexes on text may then not find rows that are there. Synapse's own database uses the locale C, which never changes.",
      known:
        "The version that each database was made with is compared with this host's (PostgreSQL 15 and newer).",
      clears: "REINDEX these databases after the cut-over, before they are used.",
    },
    "follow-password-md5": {
      means:
        "The old server keeps the password of Synapse's role in the older form. A new PostgreSQL asks for the newer one by default; synlift has written lines into its pg_hba.conf that take both.",
      known: "The form of the stored password, never the password.",
      clears: "Set the same password again with ALTER ROLE on the new server, once it is open.",
    },
    "follow-no-password": {
      means:
        "Synapse's role has no password: on the old host it logs in as an account of the same name. On the new host it may not be able to log in.",
      known: "The old server has no stored password for the role.",
      clears: "Name how Synapse will log in, with `--database` of `pull --followed`.",
    },
    "follow-cut-over": {
      means: "The copy was promoted: it follows no more, and is the new server's database.",
      known: "The state beside the new configuration.",
    },
    "follow-media-incomplete": {
      means:
        "Some media of the old server cannot be copied: uploads without a file, links and special files, what cannot be read. The rest is copied beside the database; `pull` refuses to leave these behind without consent.",
      known: "The rows of all uploads were compared with the files, by their sizes; no file was read.",
      clears: "`synlift plan` on the old host names them: mend them there, or accept them for `pull`.",
    },
    "follow-media-failed": {
      means:
        "The last pass over the media failed, with this reason. What had come by then is on the new host, and the database follows on.",
      known: "The record of the passes beside the new configuration.",
      clears: "Clear the reason; the next pass goes on by itself, and removes the finding.",
    },
    "follow-media-changed": {
      means:
        "The old server has uploads whose content is not what was uploaded. They are copied as they are; `pull` has them sent once more, and refuses them without consent.",
      known: "While such a file was sent, its hash was not the one in its row.",
      clears:
        "Restore the files on the old host from a backup, under the same names; or accept them for `pull`.",
    },
    "follow-not-running": {
      means:
        "No process keeps the copy up to date. The old server keeps its log for the copy, up to a limit that protects its disk; after that the copy is lost.",
      known: "No process holds the lock beside the new configuration.",
      clears: "Run `synlift follow` again, or let systemd do it with `--service`.",
    },
    "follow-not-seen": {
      means: "How far the copy is cannot be seen at the moment. The sentence has the reason.",
      known: "One of the two servers did not answer.",
      clears: "See the reason; with the way to the old host cut it goes away by itself.",
    },
    "follow-not-connected": {
      means: "The standby has no connection to the old server, so that nothing arrives.",
      known: "The standby's own view of its connection.",
      clears: "Run `synlift follow`, which keeps the way open; else the standby's log says why.",
    },
    "follow-slot-near-limit": {
      means:
        "The old server keeps its log for the copy, and has nearly reached the limit at which it gives the copy up to protect its own disk.",
      known: "The old server's replication slot says how much more it may keep.",
      clears: "See why the copy is behind; or make room on the old host and raise `max_slot_wal_keep_size`.",
    },
    "follow-little-space": {
      means:
        "The disk with the copy is nearly full. A standby on a full disk ends, and goes on once there is room.",
      known: "The free space of the disk with its data folder.",
      clears: "Make room on that disk.",
    },
  },
};
