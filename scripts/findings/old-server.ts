import type { FindingArea } from "./meaning.ts";

const FENCE_ACCEPTS = ["export", "rollback"];

export const OLD_SERVER: FindingArea = {
  page: "old-server",
  title: "Stop, fence and rollback of the old server",
  about:
    "What `export`, `pull`, `status`, `rollback` and `cleanup` say of the old server: whether it is stopped, whether it can start again, and whether it has written since.",
  findings: {
    "source-database": {
      means: "What the database is from which the bundle is made.",
      known: "Asked of the database.",
    },
    "source-media": {
      means: "How much local media is packed.",
      known: "The files of the media store are counted.",
    },
    "source-down": {
      means: "The server is stopped: no process, no answer, no connection to its database.",
      known: "All three are looked for.",
    },
    "source-up": {
      means:
        "The server runs. In a rehearsal and a dry run that is a note; in `status` and `rollback` it is a warning, because it was stopped for the move, and the bundle lacks what it writes now.",
      known: "A process, an answer or a connection to its database was found; the evidence has which.",
      clears: "Stop it and run the same export again; or cancel the move with `rollback`.",
    },
    "source-written-since": {
      means:
        "The database was written to after it was packed or sent. The new host does not have these changes.",
      known: "A marker of the database, recorded after the stop, is compared with the present one.",
      clears: "Run the same export or pull again: it packs the database again.",
    },
    "source-not-checked": {
      means: "Whether the database was written to since could not be checked.",
      known: "The configuration or the database could not be read; the sentence has the reason.",
      clears: "Fix that and run the same command again.",
    },
    outage: {
      means: "How long the outage has lasted, in its pieces, and what was predicted.",
      known: "From the time when the server was stopped, which is recorded.",
    },
    "outage-expected": {
      means: "How long the outage of the real move will be, according to this rehearsal.",
      known: "The stages were measured in this run; what is assumed is marked in the evidence.",
    },
    fence: {
      means:
        "Whether the old server is fenced on this host, so that it cannot start again by accident, and what was changed for that. It is a warning when the fence is not complete.",
      known: "From the record in the export's folder, compared with this host.",
      clears: "Run the same export again to continue, or undo the changes with `rollback`.",
    },
    "fence-lifted": {
      means:
        "The old server was fenced, but part of the fence is no longer there: it may be started, or write.",
      known: "Each recorded change is looked at on this host.",
      clears: "Run the same export again to set the fence again, or cancel the move with `rollback`.",
    },
    "fence-not-checked": {
      means: "Whether the whole fence is still there could not be checked.",
      known: "A program or the database could not be asked; the evidence names the changes.",
      clears: "Run it as root, or look at these changes yourself.",
    },
    "fence-disable": {
      means:
        "A systemd unit could not be disabled, so it would start at the next boot. Shown only when that was accepted; otherwise the command ends with `fence-failed`.",
      known: "systemctl failed; the sentence has its reason.",
      clears: "Fix that, or prevent the server from starting yourself and accept the step.",
      accepts: FENCE_ACCEPTS,
    },
    "fence-mask": {
      means:
        "A systemd unit could not be masked, so it can still be started. Shown only when that was accepted; otherwise the command ends with `fence-failed`.",
      known: "systemctl failed; the sentence has its reason.",
      clears: "Fix that, or prevent the server from starting yourself and accept the step.",
      accepts: FENCE_ACCEPTS,
    },
    maintenance: {
      means:
        "The web server could not be told to answer 503 from the stop on, and was left as it was. Shown only when that was accepted; otherwise the command ends with `fence-failed`, before the server is stopped.",
      known:
        "Its configuration test, its reload, or a look at its answer failed; the sentence has the reason.",
      clears: "Correct that, or leave out `--maintenance`.",
      accepts: FENCE_ACCEPTS,
    },
    "maintenance-answers": {
      means: "The web server answers 503 for the homeserver, so that clients wait and keep their sessions.",
      known: "Asked at `public_baseurl`, or at `--maintenance-url`, as a client does.",
    },
    "maintenance-unseen": {
      means: "The web server took the maintenance answer, but whether clients get it could not be seen.",
      known: "Its address cannot be reached from this host; the sentence has the reason.",
      clears: "Ask it from elsewhere, or give another address of it with `--maintenance-url`.",
    },
    "maintenance-ended": {
      means: "The maintenance answer was taken away: clients get to the server again.",
      known: "The file of the web server was put back as it was, and the web server has read it.",
    },
    "maintenance-left": {
      means: "The server is open, but the web server may still tell clients to wait.",
      known:
        "The server is started by a person, or the web server could not be told; the evidence has which.",
      clears: "Do by hand what the sentence says.",
    },
    "fence-restart-policy": {
      means:
        "The restart policy of a container could not be removed. Shown only when that was accepted; otherwise the command ends with `fence-failed`.",
      known: "docker or podman failed; the sentence has the reason.",
      clears: "Fix that, or prevent the container from starting yourself and accept the step.",
      accepts: FENCE_ACCEPTS,
    },
    "fence-database": {
      means:
        "The database could not be made read-only for the server. Shown only when that was accepted; otherwise the command ends with `fence-failed`.",
      known: "PostgreSQL or the file system refused; the sentence has the reason.",
      clears: "Fix that, or make sure yourself that nothing writes, and accept the step.",
      accepts: FENCE_ACCEPTS,
    },
    "fence-superuser": {
      means:
        "The server's database role is a superuser. Other programs that use it on this database cannot write either until the fence is lifted.",
      known: "PostgreSQL is asked for the role.",
      clears:
        "Make sure that nothing else needs it, and create a role of its own for the homeserver on the new host. `export` goes on.",
    },
    "already-read-only": {
      means:
        "The role or file was read-only before this export, so `rollback` of this folder does not change that.",
      known: "It was looked at before the fence.",
      clears:
        "To cancel the move, roll back the folder of the export that made it read-only, or run the command of the hint.",
    },
    "database-not-merged": {
      means:
        "What the server left beside the SQLite file could not be merged into it, so a copy is made first.",
      known: "This account may not write there.",
      clears: "Run synlift as root or as the owner of the file, to save the time and the disk space.",
    },
    "mas-process": {
      means: "The Matrix Authentication Service still runs with this configuration.",
      known: "A process names the configuration file.",
      clears: "Stop it and its worker with what started them.",
    },
    "other-machine": {
      means: "The folder was made on another machine: the fence is there, and nothing is fenced here.",
      known: "The folder records on which machine it was made.",
      clears: "Run `status`, `export` and `rollback` on that machine.",
    },
    "machine-unknown": {
      means:
        "The record of the fence does not say on which machine the server was fenced, because an earlier version made it.",
      known: "The record has no such field.",
      clears: "Make sure that this is the old host.",
    },
    "journal-unreadable": {
      means: "The progress of the export is unknown.",
      known: "The journal in its folder cannot be read; the sentence has the reason.",
      clears: "`rollback` lifts the fence without it. To try again, export into a new folder.",
    },
    "config-unreadable": {
      means:
        "The old server's configuration cannot be read, so `rollback` leaves the database role read-only and does not check the server.",
      known: "Reading it failed; the sentence has the reason.",
      clears: "Give each of its files with `--config`.",
    },
    "record-not-written": {
      means: "Not everything that `rollback` did could be recorded, for example on a full disk.",
      known: "Writing failed; the sentence has the reason.",
      clears:
        "Once the server runs, remove the files of the bundle that the hint names to free disk space, and run the same command again.",
    },
    "new-server-open": {
      means:
        "The new server was opened. Data written there since is not on this host, and two servers with the same name must never run.",
      known: "From a record, or by asking the new server.",
      clears: "Stop the new server permanently before both can be reached.",
    },
    "new-server-unknown": {
      means: "It is not known whether the new server was opened.",
      known: "It could not be asked, or the bundle is complete and may have been restored.",
      clears: "Check that it never was; `--yes` says so.",
    },
    running: {
      means: "Which process is working on the export, and how far it is.",
      known: "From the lock and the progress file in the folder.",
    },
    interrupted: {
      means: "No process is working on it, and it is not complete.",
      known: "From the lock and the journal in the folder.",
      clears: "Run the same export or pull again: it continues where it stopped.",
    },
    "rolled-back": {
      means: "The move was cancelled by `rollback`: the old server may run.",
      known: "From the record in the folder.",
      clears: "To move after all, run the same export or pull again.",
    },
    sealed: { means: "The bundle is sealed: it is complete.", known: "Its manifest is there." },
    "transfer-complete": {
      means: "The new host has had everything since the time given.",
      known: "The new host said so, which is recorded.",
    },
    "export-step": {
      shown: "export/…",
      levels: ["ok"],
      means:
        "A file of the bundle was finished at the time given. The id is the name of the step, such as `export/database`.",
      known: "From the journal in the folder.",
    },
    "not-opened": {
      means:
        "It is not known that the new server was opened. Until then the bundle and the fence are needed, so `cleanup` removes nothing.",
      known: "From the record of `restore`, or by asking the address given with `--target`.",
      clears: "Give `--config-dir` on the new host, or `--target` on the old one.",
    },
    waiting: {
      means:
        "The new server was opened only lately. A fault of the move may be noticed late, so `cleanup` waits.",
      known: "From the time of opening.",
      clears: "Wait, or give a shorter time with `--after`.",
    },
    "old-server-kept": {
      means: "`cleanup` leaves the old server as it is: its database, media, configuration, and the fence.",
      known: "The record of the fence has changes that hold.",
      clears: "Once nobody needs them, remove them yourself.",
    },
    "trial-kept": {
      means: "A restore that was used in a trial stays, with its database, media and configuration.",
      known: "From the record of `restore`.",
      clears: "Drop its database, then remove the folders of the hint.",
    },
  },
};
