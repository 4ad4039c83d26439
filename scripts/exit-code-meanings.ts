import type { ErrorCode } from "../src/errors.ts";

export interface Meaning {
  /** What happened, as one sentence. */
  readonly means: string;
  /** What somebody at the terminal does next, as one sentence. */
  readonly then: string;
}

/** One for each code: the compiler refuses a new code that nobody has explained. */
export const MEANINGS: Readonly<Record<ErrorCode, Meaning>> = {
  "bad-usage": {
    means:
      "The call itself is wrong: an option is missing, unknown or contradicts another, or a question had nobody to answer it.",
    then: "Correct the call; `--help` shows an example.",
  },
  "config-unreadable": {
    means: "The configuration cannot be read as Synapse reads it; all faults come in one list.",
    then: "Give every `-c` that Synapse gets, in the same order, and the folder it runs in.",
  },
  "signing-key-missing": {
    means: "The signing key is not where the configuration says, or cannot be read.",
    then: "Correct `signing_key_path`, or the working directory; never let Synapse make a new key.",
  },
  "database-unreachable": {
    means: "PostgreSQL cannot be reached, or does not let this account in.",
    then: "See that it runs, and who may log in; the message has the server's own reason.",
  },
  "database-unsupported": {
    means:
      "The database is one that this version does not move: several databases that are not all on PostgreSQL, or not this server's.",
    then: "Give both databases to PostgreSQL first; else check that configuration and database belong together.",
  },
  "homeserver-running": {
    means:
      "The homeserver that is to be packed still runs, and nothing says how to stop it, or it would not stop.",
    then: "Say what stops it (`--unit`, `--container`, `--stop-command`), or stop it with its workers; or practise with `--rehearse`.",
  },
  "media-missing": {
    means:
      "Uploads that the database knows have no file, or one of another size, or something in the media store cannot be read.",
    then: "Check `media_store_path`; if they were lost long ago, go on with `--accept media-missing`. What cannot be read: run as root, or go on with `--accept media-unreadable`.",
  },
  "source-changed": {
    means: "A file changed while it was read.",
    then: "Run the same command again; what is finished is kept.",
  },
  "file-missing": {
    means: "A file or folder that was named is not there.",
    then: "Check the path in the message, and in the setting that names it.",
  },
  "fence-failed": {
    means:
      "The old server could not be stopped, could not be kept from coming back, or one of these changes could not be undone.",
    then: "Clear what the message names and run the same command again; an export that cannot go on is taken back with `synlift rollback`.",
  },
  "object-storage-failed": {
    means:
      "A storage provider that holds media cannot be used: no way there, no credentials, no such bucket, or it asks to slow down.",
    then: "Clear what the message names, then run the same command again; what is finished is kept.",
  },
  "bundle-damaged": {
    means:
      "The bundle, or a file that synlift keeps beside it, is damaged, incomplete, forged or none of ours.",
    then: "Copy it again from where it was made; if it is damaged there too, export again.",
  },
  "bundle-in-use": {
    means: "Another run works on the same bundle or target.",
    then: "Wait for it; if its host is gone for good, remove the lock file that the message names.",
  },
  "bundle-mismatch": {
    means: "The folder holds something else, or another bundle than the one asked for.",
    then: "Choose another folder; a rehearsal and a move need one each.",
  },
  "bundle-incomplete": {
    means: "The folder holds no finished bundle, or no finished restore.",
    then: "Run the same export or restore again until it ends well, or copy the whole folder again.",
  },
  "bundle-too-new": {
    means: "The bundle was made by a later version, in a format this one does not know.",
    then: "Use the version that made it, or a newer one.",
  },
  "rehearsal-refused": {
    means: "What was restored is a rehearsal: its people went on writing on the old server.",
    then: "Make a real export; to try this one out where nobody can reach it, add `--rehearsal-ok`.",
  },
  "archive-damaged": {
    means:
      "A media archive is damaged, is none that matrix-media-repo would take, or holds other bytes than its manifest says.",
    then: "Copy or make the archive again; what it held whole is restored, and running again goes on from there.",
  },
  "program-failed": {
    means: "A program that synlift calls (gpg, psql, pg_dump, …) failed.",
    then: "Read its words in the message; run the same command again once the cause is gone.",
  },
  "program-missing": {
    means: "A program that is needed is not installed.",
    then: "Install the package that the hint names.",
  },
  "program-too-old": {
    means: "A program is too old for this server: pg_dump must not be older than PostgreSQL.",
    then: "Install the version that the hint names.",
  },
  "disk-full": {
    means: "There is not enough room on the disk.",
    then: "Make room and run the same command again, or choose a folder on a larger disk.",
  },
  "permission-denied": {
    means: "This account may not read, write or run something.",
    then: "Run it as root, or as the account that may.",
  },
  "file-failed": {
    means: "A file could not be read or written for another reason, or does not read back as it was written.",
    then: "Look at the kernel log and the disk; then run the same command again, or choose another disk.",
  },
  "connection-failed": {
    means:
      "The other host cannot be reached or does not let us in, or the connection to it ended in the middle.",
    then: "Clear what the message names, and run the same command again: it goes on where it stopped.",
  },
  "output-closed": {
    means: "The work is done, but whoever read the result went away before it was written.",
    then: "Ask again with `synlift status` or `synlift verify`.",
  },
  "target-not-empty": {
    means: "Something is there already, where the restored server is to go.",
    then: "Choose an empty place; take away what is there only if nothing in it is needed.",
  },
  "target-unsuitable": {
    means: "The target database is not one that Synapse can use, or may not be made.",
    then: "Make it as the hint says.",
  },
  "restore-failed": {
    means: "The database could not be filled, or the configuration not rewritten; nothing half was kept.",
    then: "Remove the cause and run the same command again.",
  },
  "gate-failed": {
    means: "The restored server is not proven to be the old one; it stays closed.",
    then: "Clear each blocker as its hint says, or accept those that may be accepted, by id.",
  },
  "start-failed": {
    means: "The start or stop command failed, or the server did not come up in time.",
    then: "Read the server's own log; then open again.",
  },
  "already-opened": {
    means: "The restored server was opened already, or may have been.",
    then: "Start and stop it as any server; restoring over it would lose what was written since.",
  },
  "passphrase-invalid": {
    means: "What was given as the passphrase is empty, has several lines or is too long.",
    then: "Give one line of at most 255 bytes.",
  },
  "passphrase-wrong": {
    means: "The passphrase is not the one the bundle was made with.",
    then: "Give the one that was shown, or written to a file, when the export began.",
  },
  "recipient-key-invalid": {
    means:
      "A recipient's public key cannot be used: expired, revoked, not made for encryption, several in one file, a secret key, or no key at all.",
    then: "Ask the recipient for their current public key: `gpg --armor --export FINGERPRINT`.",
  },
  "secret-key-unusable": {
    means:
      "No secret key that opens the bundle is in the gpg home that was named, or gpg could not use it there.",
    then: "Name the home that holds it with `--gpg-home`, and give the key's own passphrase with `--passphrase-file`.",
  },
  "found-warnings": {
    means: "The look was made, and there are warnings that nobody has accepted.",
    then: "Follow the hints, or take each on by its id: `--accept ID`.",
  },
  "found-blockers": {
    means: "The look was made, and something would keep the move from working.",
    then: "Clear each blocker as its hint says, then look again.",
  },
  "notices-not-sent": {
    means: "Some of the notices could not be sent.",
    then: "Run the same command again: nobody gets a second copy.",
  },
};

/** What any command may end with: the call, and the machine it runs on. */
export const ANY_COMMAND: readonly ErrorCode[] = [
  "bad-usage",
  "program-failed",
  "program-missing",
  "disk-full",
  "permission-denied",
  "file-failed",
  "output-closed",
];

/** What a command may end with besides. `scripts/docs.ts` refuses a command that has no entry here. */
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
    "target-not-empty",
    "target-unsuitable",
    "restore-failed",
    "already-opened",
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
