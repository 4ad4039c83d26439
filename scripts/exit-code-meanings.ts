import type { ErrorCode } from "../src/errors.ts";

export interface Meaning {
  /** What happened, as one sentence. */
  readonly means: string;
  /** What the administrator does next, as one sentence. */
  readonly then: string;
}

/** One for each code: the compiler refuses a code without an entry. */
export const MEANINGS: Readonly<Record<ErrorCode, Meaning>> = {
  "bad-usage": {
    means:
      "The command line is wrong: an option is missing, unknown or contradicts another, or a question could not be asked without a terminal.",
    then: "Correct the command; `--help` shows an example.",
  },
  "config-unreadable": {
    means: "The configuration cannot be read as Synapse reads it; the message lists all errors.",
    then: "Give every `-c` that Synapse gets, in the same order, and its working directory.",
  },
  "signing-key-missing": {
    means: "The signing key is not where the configuration says, or cannot be read.",
    then: "Correct `signing_key_path`, or the working directory; never let Synapse generate a new key.",
  },
  "database-unreachable": {
    means: "PostgreSQL cannot be reached, or refuses the connection.",
    then: "Check that it is running, and its pg_hba.conf; the message contains the server's reason.",
  },
  "database-unsupported": {
    means:
      "This version does not move this database: several databases that are not all on PostgreSQL, or the database of another server.",
    then: "Port all databases to PostgreSQL first; otherwise check that configuration and database belong together.",
  },
  "homeserver-running": {
    means: "The homeserver is still running, and it is not known how to stop it, or it did not stop.",
    then: "Give the unit, container or command that stops it (`--unit`, `--container`, `--stop-command`), or stop it with its workers; or rehearse with `--rehearse`.",
  },
  "media-missing": {
    means:
      "Uploads in the database have no file, or one of another size, or a file in the media store cannot be read.",
    then: "Check `media_store_path`; if they were lost long ago, continue with `--accept media-missing`. For unreadable files: run as root, or continue with `--accept media-unreadable`.",
  },
  "source-changed": {
    means: "A file changed while it was being read.",
    then: "Run the same command again; completed steps are kept.",
  },
  "file-missing": {
    means: "A given file or folder does not exist.",
    then: "Check the path in the message, and in the setting that names it.",
  },
  "fence-failed": {
    means: "The old server could not be stopped or fenced, or one of these changes could not be undone.",
    then: "Fix the problem in the message and run the same command again; to undo an export, run `synlift rollback`.",
  },
  "object-storage-failed": {
    means:
      "A storage provider with media cannot be used: no connection, no credentials, no such bucket, or too many requests.",
    then: "Fix the problem in the message, then run the same command again; completed steps are kept.",
  },
  "bundle-damaged": {
    means:
      "The bundle, or one of synlift's own files beside it, is damaged, incomplete, altered or not a bundle.",
    then: "Copy it again from the old host; if it is damaged there too, export again.",
  },
  "bundle-in-use": {
    means: "Another command is using the same bundle or target.",
    then: "Wait until it has finished; if its host no longer exists, remove the lock file in the message.",
  },
  "bundle-mismatch": {
    means: "The folder contains something else, or another bundle.",
    then: "Choose another folder; a rehearsal and a move need separate folders.",
  },
  "bundle-incomplete": {
    means: "The folder contains no complete bundle, or no complete restore.",
    then: "Run the same export or restore again until it succeeds, or copy the whole folder again.",
  },
  "bundle-too-new": {
    means: "The bundle was made by a newer version, in an unknown format.",
    then: "Use that version, or a newer one.",
  },
  "rehearsal-refused": {
    means: "The restored server is a rehearsal: the old server continued to run.",
    then: "Make a real export; to try this one on an isolated host, add `--rehearsal-ok`.",
  },
  "archive-damaged": {
    means: "A media archive is damaged, is not one of matrix-media-repo, or does not match its manifest.",
    then: "Copy or make the archive again; intact files are restored already, and a repeated command continues from there.",
  },
  "program-failed": {
    means: "A program that synlift calls (gpg, psql, pg_dump, …) failed.",
    then: "Read its error in the message; run the same command again once the cause is fixed.",
  },
  "program-missing": {
    means: "A required program is not installed.",
    then: "Install the package in the hint.",
  },
  "program-too-old": {
    means: "A program is too old for this server: pg_dump must not be older than PostgreSQL.",
    then: "Install the version in the hint.",
  },
  "disk-full": {
    means: "There is not enough disk space.",
    then: "Free disk space and run the same command again, or choose a folder on a larger disk.",
  },
  "permission-denied": {
    means: "This account lacks a permission to read, write or execute.",
    then: "Run it as root, or as an account with that permission.",
  },
  "file-failed": {
    means: "A file could not be read or written for another reason, or differs when it is read back.",
    then: "Check the kernel log and the disk; then run the same command again, or choose another disk.",
  },
  "other-machine": {
    means: "The folder was made on another machine, and what it records holds only there.",
    then: "Run the command on the machine that the message names.",
  },
  "connection-failed": {
    means: "The other host cannot be reached, refuses the connection, or the connection was lost.",
    then: "Fix the problem in the message, and run the same command again: it continues where it stopped.",
  },
  "transfer-failed": {
    means:
      "A file could not be transferred although it was tried several times: the connection was lost, the other side was silent, or what arrived differed.",
    then: "Try again later with the same command: it continues where it stopped.",
  },
  "output-closed": {
    means: "The command succeeded, but standard output was closed before the result was written.",
    then: "Run `synlift status` or `synlift verify` to see the result again.",
  },
  "target-not-empty": {
    means: "The target of the restore is not empty.",
    then: "Choose an empty target; remove what is there only if it is not needed.",
  },
  "target-unsuitable": {
    means: "The target database is not suitable for Synapse, or cannot be created.",
    then: "Create it as the hint says.",
  },
  "restore-failed": {
    means:
      "The database could not be restored, or the configuration not rewritten; nothing incomplete was kept.",
    then: "Fix the cause and run the same command again.",
  },
  "gate-failed": {
    means: "A gate failed: the restored server differs from the old one, and stays fenced.",
    then: "Resolve each blocker as its hint says, or accept it by its id, where that is allowed.",
  },
  "start-failed": {
    means: "The start or stop command failed, or the server did not start in time.",
    then: "Read the server's log; then run open again.",
  },
  "already-opened": {
    means: "The restored server was opened already, or may have been.",
    then: "Use it as any server; restoring over it would lose what was written since.",
  },
  "invitation-refused": {
    means:
      "The provider's server refused the invitation: it is not known there, has expired or was taken back, or its limit is reached.",
    then: "Ask the provider for a new invitation; what has arrived is kept.",
  },
  "port-failed": {
    means:
      "The SQLite database could not be copied to PostgreSQL completely; the new database was emptied again, or the next run does it.",
    then: "Read the log that the message names, correct the cause, and run the same command again.",
  },
  "passphrase-invalid": {
    means: "The given passphrase is empty, has several lines or is too long.",
    then: "Give one line of at most 255 bytes.",
  },
  "passphrase-wrong": {
    means: "The passphrase does not open the bundle.",
    then: "Give the one that was shown or written to a file during the export.",
  },
  "recipient-key-invalid": {
    means:
      "A recipient's public key cannot be used: it is expired, revoked, not for encryption, one of several in a file, a secret key, or not a key.",
    then: "Ask the recipient for their current public key: `gpg --armor --export FINGERPRINT`.",
  },
  "secret-key-unusable": {
    means: "The given gpg home has no secret key that opens the bundle, or gpg could not use it.",
    then: "Give the right home with `--gpg-home`, and the key's passphrase with `--passphrase-file`.",
  },
  "found-warnings": {
    means: "The check is complete, and there are warnings that are not accepted.",
    then: "Follow the hints, or accept each warning by its id: `--accept ID`.",
  },
  "found-blockers": {
    means:
      "The check is complete, and there are blockers: the move would fail, or the address is not as expected.",
    then: "Resolve each blocker as its hint says, then run the check again.",
  },
  "notices-not-sent": {
    means: "Some of the notices could not be sent.",
    then: "Run the same command again: no user gets a second notice.",
  },
  "certificate-unusable": {
    means:
      "The certificate and the key that were given for a server of synlift's are not a pair that can be used: one of them is another file, is damaged, is protected by a passphrase, or belongs to another certificate.",
    then: "Give both files of one certificate, as the message says; nothing listens yet.",
  },
  "comparison-failed": {
    means:
      "The database on the new host that followed the old one is not the same as it: a table has other rows, or something wrote to it.",
    then: "Nothing was opened. Start the old server again (synlift rollback on the old host), and have the copy made again: synlift follow stop, then synlift follow.",
  },
  "sign-out-refused": {
    means:
      "Sessions cannot be ended or restored in this database: an authentication service has them, the server has moved away, an earlier sign-out can still be undone, or there is none to undo.",
    then: "Read the message, which says which of these, and the hint; nothing was changed.",
  },
  "follow-lost": {
    means:
      "A copy that followed the old server cannot follow it any more: the old server has removed parts of its log that the copy still needed, to protect its own disk; or the copy was ended on the old host, by a rollback.",
    then: "The message says which. Make the copy again (the same command with --begin-again), or delete it: synlift follow stop.",
  },
  "follow-impossible": {
    means:
      "A copy cannot follow the old database: the old PostgreSQL, its settings or its pg_hba.conf do not allow it, or the new host lacks something.",
    then: "The message has every reason, and the hint what to do; what was changed on the old host is undone. Without follow, the move works with a longer outage.",
  },
};

/** Failures of the command line and of the host, which every command has. */
export const ANY_COMMAND: readonly ErrorCode[] = [
  "bad-usage",
  "program-failed",
  "program-missing",
  "disk-full",
  "permission-denied",
  "file-failed",
  "output-closed",
];

/** Further failures of each command. `scripts/docs.ts` refuses a command that has no entry here. */
export const BY_COMMAND: Readonly<Record<string, readonly ErrorCode[]>> = {
  users: [
    "config-unreadable",
    "database-unreachable",
    "database-unsupported",
    "file-missing",
    "bundle-damaged",
    "bundle-in-use",
    "found-warnings",
    "notices-not-sent",
  ],
  plan: ["config-unreadable", "file-missing", "found-warnings", "found-blockers"],
  export: [
    "config-unreadable",
    "signing-key-missing",
    "database-unreachable",
    "database-unsupported",
    "homeserver-running",
    "media-missing",
    "source-changed",
    "object-storage-failed",
    "file-missing",
    "fence-failed",
    "bundle-damaged",
    "bundle-in-use",
    "bundle-mismatch",
    "program-too-old",
    "passphrase-invalid",
    "passphrase-wrong",
    "recipient-key-invalid",
    "other-machine",
    "found-blockers",
    "connection-failed",
    "transfer-failed",
    "invitation-refused",
  ],
  "delegation show": ["found-warnings", "found-blockers"],
  "delegation files": ["file-missing", "found-warnings", "found-blockers"],
  "delegation check": ["file-missing", "found-warnings", "found-blockers"],
  port: [
    "config-unreadable",
    "database-unreachable",
    "database-unsupported",
    "homeserver-running",
    "source-changed",
    "file-missing",
    "bundle-damaged",
    "bundle-in-use",
    "target-not-empty",
    "target-unsuitable",
    "port-failed",
    "found-blockers",
  ],
  follow: [
    "database-unreachable",
    "file-missing",
    "bundle-damaged",
    "bundle-in-use",
    "bundle-mismatch",
    "program-too-old",
    "connection-failed",
    "other-machine",
    "target-not-empty",
    "target-unsuitable",
    "start-failed",
    "already-opened",
    "follow-lost",
  ],
  "follow status": ["bundle-damaged", "bundle-in-use", "other-machine", "follow-lost"],
  "follow stop": [
    "bundle-damaged",
    "bundle-in-use",
    "program-too-old",
    "connection-failed",
    "other-machine",
    "target-not-empty",
    "already-opened",
  ],
  forward: ["file-missing"],
  maintenance: ["file-missing"],
  "maintenance serve": ["file-missing", "target-unsuitable", "certificate-unusable"],
  "sign-out config": ["config-unreadable", "database-unreachable", "database-unsupported", "file-missing"],
  "sign-out expire": [
    "config-unreadable",
    "database-unreachable",
    "database-unsupported",
    "file-missing",
    "permission-denied",
    "homeserver-running",
    "sign-out-refused",
  ],
  "sign-out test": ["file-missing", "found-warnings", "found-blockers"],
  "sign-out serve": [
    "config-unreadable",
    "database-unreachable",
    "database-unsupported",
    "file-missing",
    "target-unsuitable",
    "certificate-unusable",
  ],
  "media check": [
    "config-unreadable",
    "database-unreachable",
    "database-unsupported",
    "file-missing",
    "object-storage-failed",
    "found-warnings",
    "found-blockers",
  ],
  "media export": [
    "file-missing",
    "archive-damaged",
    "bundle-in-use",
    "connection-failed",
    "target-not-empty",
    "found-warnings",
  ],
  rollback: [
    "config-unreadable",
    "database-unreachable",
    "fence-failed",
    "bundle-damaged",
    "bundle-in-use",
    "bundle-incomplete",
    "start-failed",
    "already-opened",
    "other-machine",
  ],
  cleanup: ["bundle-damaged", "bundle-in-use", "bundle-incomplete", "found-blockers"],
  status: ["bundle-damaged", "bundle-incomplete"],
  report: ["file-missing", "target-not-empty"],
  send: [
    "file-missing",
    "bundle-damaged",
    "bundle-in-use",
    "bundle-mismatch",
    "bundle-incomplete",
    "bundle-too-new",
    "connection-failed",
    "transfer-failed",
    "invitation-refused",
  ],
  fetch: [
    "file-missing",
    "bundle-damaged",
    "bundle-in-use",
    "bundle-mismatch",
    "bundle-incomplete",
    "bundle-too-new",
    "connection-failed",
    "transfer-failed",
    "target-not-empty",
    "invitation-refused",
  ],
  invite: ["file-missing", "target-not-empty"],
  receive: ["file-missing", "bundle-in-use", "target-unsuitable"],
  verify: [
    "file-missing",
    "bundle-damaged",
    "bundle-incomplete",
    "bundle-too-new",
    "passphrase-invalid",
    "passphrase-wrong",
    "secret-key-unusable",
  ],
  restore: [
    "config-unreadable",
    "program-too-old",
    "database-unreachable",
    "database-unsupported",
    "file-missing",
    "bundle-damaged",
    "archive-damaged",
    "bundle-in-use",
    "bundle-incomplete",
    "bundle-too-new",
    "target-not-empty",
    "target-unsuitable",
    "restore-failed",
    "already-opened",
    "passphrase-invalid",
    "passphrase-wrong",
    "secret-key-unusable",
  ],
  pull: [
    "config-unreadable",
    "signing-key-missing",
    "database-unreachable",
    "database-unsupported",
    "homeserver-running",
    "media-missing",
    "source-changed",
    "object-storage-failed",
    "file-missing",
    "fence-failed",
    "bundle-damaged",
    "bundle-in-use",
    "bundle-mismatch",
    "program-too-old",
    "connection-failed",
    "comparison-failed",
    "follow-lost",
    "target-not-empty",
    "target-unsuitable",
    "restore-failed",
    "already-opened",
    "other-machine",
  ],
  open: [
    "config-unreadable",
    "database-unreachable",
    "database-unsupported",
    "file-missing",
    "bundle-damaged",
    "bundle-incomplete",
    "rehearsal-refused",
    "target-not-empty",
    "gate-failed",
    "start-failed",
    "already-opened",
    "passphrase-invalid",
    "passphrase-wrong",
    "secret-key-unusable",
  ],
};
