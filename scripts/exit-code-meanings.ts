import type { ErrorCode } from "../src/errors.ts";

export interface Meaning {
  /** What happened, as one sentence. */
  readonly means: string;
  /** What somebody at the terminal does next, as one sentence. */
  readonly then: string;
}

/** One for each code; a code without an entry does not compile. */
export const MEANINGS: Readonly<Record<ErrorCode, Meaning>> = {
  "bad-usage": {
    means:
      "The call itself is wrong: an option is missing, unknown or contradicts another, or a question could not be asked because there is no terminal.",
    then: "Correct the call; `--help` shows an example.",
  },
  "config-unreadable": {
    means: "The configuration cannot be read the way Synapse reads it; all errors are listed at once.",
    then: "Give every `-c` that Synapse is started with, in the same order, and its working directory.",
  },
  "signing-key-missing": {
    means: "The signing key is not where the configuration says, or cannot be read.",
    then: "Correct `signing_key_path`, or the working directory; never let Synapse generate a new key.",
  },
  "database-unreachable": {
    means: "PostgreSQL cannot be reached, or rejects the login.",
    then: "Check that it is running and that the role may log in; the message has the server's own reason.",
  },
  "database-unsupported": {
    means:
      "The database cannot be moved by this version: not all of several databases are PostgreSQL, or it belongs to another server.",
    then: "Move all databases to PostgreSQL first; otherwise check that configuration and database belong together.",
  },
  "homeserver-running": {
    means: "The homeserver is still running, and no way to stop it is known, or it did not stop.",
    then: "Give what stops it (`--unit`, `--container`, `--stop-command`), or stop it and its workers yourself; or rehearse with `--rehearse`.",
  },
  "media-missing": {
    means:
      "Uploads in the database have no file or a file of another size, or something in the media store cannot be read.",
    then: "Check `media_store_path`; if they were lost long ago, continue with `--accept media-missing`. For unreadable files, run as root, or continue with `--accept media-unreadable`.",
  },
  "source-changed": {
    means: "A file changed while it was read.",
    then: "Run the same command again; completed work is kept.",
  },
  "file-missing": {
    means: "A file or folder that was given does not exist.",
    then: "Correct the path in the message, or the setting that contains it.",
  },
  "fence-failed": {
    means: "The old server could not be stopped or fenced, or one of these changes could not be undone.",
    then: "Fix the cause and run the same command again; `synlift rollback` undoes an export that cannot be completed.",
  },
  "object-storage-failed": {
    means:
      "Object storage that holds media cannot be used: it is unreachable, rejects the credentials, has no such bucket, or limits the request rate.",
    then: "Fix the cause, then run the same command again; completed work is kept.",
  },
  "bundle-damaged": {
    means:
      "The bundle, or a file that synlift keeps with it, is damaged, incomplete, forged or was not made by synlift.",
    then: "Copy it again from the host that made it; if it is damaged there too, export again.",
  },
  "bundle-in-use": {
    means: "Another run is working on the same bundle or target.",
    then: "Wait until it has ended; if its host no longer exists, remove the lock file that the message names.",
  },
  "bundle-mismatch": {
    means: "The folder contains other files, or a different bundle.",
    then: "Choose another folder; a rehearsal and a move need one each.",
  },
  "bundle-incomplete": {
    means: "The folder does not contain a complete bundle, or a complete restore.",
    then: "Run the same export or restore again until it succeeds, or copy the whole folder again.",
  },
  "bundle-too-new": {
    means: "The bundle has a format that only a later version of synlift supports.",
    then: "Use the version that made it, or a newer one.",
  },
  "rehearsal-refused": {
    means: "What was restored is a rehearsal: users have continued to write on the old server.",
    then: "Make a real export; to try this one out where no client can reach it, add `--rehearsal-ok`.",
  },
  "archive-damaged": {
    means:
      "A media archive is damaged, is not one that matrix-media-repo would import, or differs from its manifest.",
    then: "Copy or make the archive again; its intact files are restored already, and the next run continues from there.",
  },
  "program-failed": {
    means: "A program that synlift calls (gpg, psql, pg_dump, …) failed.",
    then: "The message has the program's own error; fix the cause and run the same command again.",
  },
  "program-missing": {
    means: "A required program is not installed.",
    then: "Install the package that the hint names.",
  },
  "program-too-old": {
    means: "A program is too old for this server: pg_dump must not be older than PostgreSQL.",
    then: "Install the version that the hint names.",
  },
  "disk-full": {
    means: "There is not enough disk space.",
    then: "Free some space and run the same command again, or choose a folder on a larger disk.",
  },
  "permission-denied": {
    means: "This account does not have permission to read, write or run something.",
    then: "Run it as root, or as the account that has permission.",
  },
  "file-failed": {
    means:
      "A file could not be read or written for another reason, or differs from what was written when it is read back.",
    then: "Check the kernel log and the disk; then run the same command again, or choose another disk.",
  },
  "connection-failed": {
    means: "The other host cannot be reached or rejects the login, or the connection to it was lost.",
    then: "Fix the cause, and run the same command again: it continues where it stopped.",
  },
  "output-closed": {
    means: "The work is done, but the reader of standard output closed it before the result was written.",
    then: "Ask again with `synlift status` or `synlift verify`.",
  },
  "target-not-empty": {
    means: "The target of the restore is not empty.",
    then: "Choose an empty target; remove what is there only if none of it is needed.",
  },
  "target-unsuitable": {
    means: "The target database is not one that Synapse can use, or this role may not create it.",
    then: "Create it as the hint says.",
  },
  "restore-failed": {
    means:
      "The database could not be restored, or the configuration could not be rewritten; the message says what is left.",
    then: "Fix the cause and run the same command again.",
  },
  "gate-failed": {
    means: "A check before opening failed; the restored server stays closed.",
    then: "Resolve each blocker as its hint says, or accept by id those that may be accepted.",
  },
  "start-failed": {
    means: "The start or stop command failed, or the server did not start in time.",
    then: "Read the server's own log; then run `synlift open` again.",
  },
  "already-opened": {
    means: "The restored server was opened already, or may have been.",
    then: "Start and stop it like any server; restoring over it would lose what was written since.",
  },
  "passphrase-invalid": {
    means: "What was given as the passphrase is empty, has several lines or is too long.",
    then: "Give one line of at most 255 bytes.",
  },
  "passphrase-wrong": {
    means: "The passphrase is not the one that the bundle was encrypted with.",
    then: "Give the one that was shown, or written to a file, when the export started.",
  },
  "recipient-key-invalid": {
    means:
      "A recipient's public key cannot be used: expired, revoked, not made for encryption, several in one file, a secret key, or no key at all.",
    then: "Ask the recipient for their current public key: `gpg --armor --export FINGERPRINT`.",
  },
  "secret-key-unusable": {
    means:
      "The gpg home that was given has no secret key that opens the bundle, or gpg could not use the key.",
    then: "Give the home that has it with `--gpg-home`, and the key's own passphrase with `--passphrase-file`.",
  },
  "found-warnings": {
    means: "The checks are complete, and there are warnings that were not accepted.",
    then: "Follow the hints, or accept each one by its id: `--accept ID`.",
  },
  "found-blockers": {
    means: "The checks are complete, and there are blockers: the move would fail.",
    then: "Resolve each blocker as its hint says, then run the command again.",
  },
  "notices-not-sent": {
    means: "Some of the notices could not be sent.",
    then: "Run the same command again: nobody gets a second copy.",
  },
};

/** Codes of every command: they come from its arguments and from the host. */
export const ANY_COMMAND: readonly ErrorCode[] = [
  "bad-usage",
  "program-failed",
  "program-missing",
  "disk-full",
  "permission-denied",
  "file-failed",
  "output-closed",
];

/** Further codes of each command. `scripts/docs.ts` throws for a command without an entry. */
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
    "connection-failed",
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
  ],
  status: ["bundle-damaged", "bundle-incomplete"],
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
    "signing-key-missing",
    "homeserver-running",
    "media-missing",
    "source-changed",
    "fence-failed",
    "bundle-mismatch",
    "program-too-old",
    "connection-failed",
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
