import type { FindingArea } from "./meaning.ts";

export const HOST: FindingArea = {
  page: "old-host",
  title: "The old host and the time",
  about: "What `plan` says of the machine on which the homeserver runs, of its programs, and of the outage.",
  findings: {
    clock: {
      means:
        "Whether the system clock of this host is synchronized. Timestamps of events and the expiry of tokens and certificates depend on it.",
      known: "`timedatectl show` reports it; without timedatectl there is no such finding.",
      clears: "`timedatectl set-ntp true`, on both hosts.",
    },
    "disk-case": {
      means:
        "A file system ignores the case of names. Media ids that differ only in case are different files to Synapse, and overwrite each other there.",
      known:
        "The folder of the bundle and the media store are asked for a file under its name in the other case; nothing is written.",
      clears:
        "Use a case-sensitive file system such as ext4 or xfs. Where only the folder of the bundle is concerned, the bundle itself is safe, but must not be unpacked there.",
    },
    "disk-memory": {
      means:
        "The folder for the bundle is on a memory file system: a reboot deletes the bundle, and it uses memory that the running server needs.",
      known: "The kernel names the type of the file system.",
      clears: "Choose a folder on a disk with `--out`.",
    },
    "disk-network": {
      means:
        "The folder for the bundle is on a network file system, whose speed is not part of the estimate.",
      known: "The kernel names the type of the file system.",
      clears: "Nothing has to be done; a rehearsal measures the real time.",
    },
    "disk-space": {
      means: "Whether the folder given with `--out` has room for the bundle.",
      known:
        "The free space is compared with the estimated size of the bundle, plus a tenth and 64 MiB. It is a blocker, too, when neither the folder nor a folder above it can be looked at.",
      clears: "Free disk space, or choose a folder on a larger disk with `--out`.",
    },
    estimate: {
      means:
        "How long the outage will be and how large the bundle, with the stages that take longest. A note says that it cannot be estimated, because something could not be looked at.",
      known:
        "Calculated from the sizes of database and media and the speed of the connection: the one given with `--link`, otherwise 100 megabits per second. A rehearsal replaces the estimate by measured times.",
      clears: "Where it is missing: fix the other findings, then run `plan` again.",
    },
    gpg: {
      means: "Whether GnuPG is installed and runs. It encrypts the bundle.",
      known: "`gpg --version` is run.",
      clears: "Install it: `apt-get install gnupg`, or reinstall it if it does not run.",
    },
    "igzip-missing": {
      means:
        "igzip, which compresses several times faster than zlib, is not installed; with it the outage would be shorter by the time given.",
      known: "Estimated from its speed on another machine; only said where it would save at least a second.",
      clears: "Install the package that the hint names. It is optional.",
    },
    memory: {
      means: "Whether enough memory is available: a run needs up to 512 MiB.",
      known: "The kernel's figure of available memory.",
      clears: "Add swap, or stop programs that are not needed before the export.",
    },
    "move-date": {
      means:
        "Whether the move can begin at the time given with `--when`. It is a warning when that time is over, or when others may still have the old address in a cache then.",
      known: "The time is compared with the one of [`safe-from`](address.md#safe-from).",
      clears: "Choose a later time, or let the old host forward all requests until then.",
    },
    "outage-savings": {
      means: "What would make the outage shorter, with the time that each saves.",
      known: "The estimate is calculated again with each of them.",
      clears: "Do what is listed, or leave it.",
    },
    "pg-dump": {
      means:
        "Whether a pg_dump is here that can dump this database server, and the oldest PostgreSQL that the new host may have.",
      known: "pg_dump is looked for and asked for its version; it must not be older than the server.",
      clears:
        "Install the PostgreSQL client programs of the server's version, or of a newer one, as the hint says.",
    },
    "rehearsal-disk-space": {
      means:
        "A rehearsal with a running server on SQLite first makes a private copy of the database beside the bundle. The copy is not encrypted, only this account can read it, and the same run removes it. It is a warning when there is not enough disk space for it.",
      known: "The size of the database file is compared with the free space.",
      clears: "Rehearse into a folder on a larger disk. A real export stops the server and needs no copy.",
    },
    service: {
      means:
        "Whether the homeserver runs on this host. While it does not run, this plan lacks what only a running server can report.",
      known: "By the processes, the listeners and the connections to the database.",
      clears: "Start the server and run `plan` again.",
    },
    shell: {
      means: "Whether a command that is started here survives a lost SSH connection.",
      known: "The nearest program above this shell that is an SSH connection, or tmux, screen or the like.",
      clears: "Run the export in tmux or screen.",
    },
    "target-disk-space": {
      means: "How much disk space the new host needs for the database, the media and the bundle.",
      known: "From the sizes on this host.",
      clears: "Nothing is to be cleared; compare it with the new host.",
    },
    "transfer-program": {
      means: "Which of ssh and rclone is installed, with which `synlift send` can reach another host.",
      known: "The programs are looked for in PATH.",
      clears: "Install one of them, or send the bundle to a mounted disk or to a `synlift receive`.",
    },
    "check-incomplete": {
      shown: "…-check-incomplete",
      means:
        "A part of the plan could not be looked at: `config-check-incomplete`, `service-check-incomplete`, `people-check-incomplete` and the like. The other parts were.",
      known: "A file, a permission or a program failed; the sentence has the reason.",
      clears: "Fix the cause, then run `plan` again; often it is to run it as root.",
    },
    "exit-code": {
      shown: "the name of an exit code",
      means:
        "An export would end with this error, so `plan` reports it under the name of its [exit code](../exit-codes.md): `signing-key-missing`, `database-unreachable` and the like.",
      known: "`plan` met the error where an export would meet it.",
      clears: "What the list of exit codes says for that name.",
    },
    "accept-unused": {
      means:
        "An id given with `--accept` had no effect: no warning has it, or it is a blocker, which this command does not accept.",
      known: "The ids given are compared with the findings of this run.",
      clears: "Correct or remove the option.",
    },
  },
};
