import type { FindingArea } from "./meaning.ts";

export const NEW_SERVER: FindingArea = {
  page: "new-server",
  title: "The new server: restore and open",
  about:
    "What `restore`, `pull` and `open` say of the new server. `open` starts it only after every gate has passed; the gates of [the database](database.md), of [media](media.md) and of [the configuration](configuration.md) are on those pages.",
  findings: {
    "config-rewritten": {
      means: "A configuration file is the old one with its host-specific settings rewritten.",
      known: "The evidence is the difference.",
    },
    "config-left-alone": {
      means:
        "Settings name Redis or the listeners of workers, also on loopback, and restore leaves them as they are.",
      known: "From the settings `redis` and `instance_map` of the restored configuration.",
      clears: "Have Redis and the workers at these addresses on the new host, or change the settings there.",
    },
    "config-old-host-paths": {
      means: "Some settings still name paths of the old host, which `restore` does not rewrite.",
      known: "From the restored settings.",
      clears: "Check that these are correct on the new host before you open it. `restore` goes on.",
    },
    "config-files-missing": {
      means: "Some files that the settings name did not exist on the old host and are not in the bundle.",
      known: "The bundle lists them.",
      clears: "Create them, or remove the settings. `restore` goes on.",
    },
    "config-no-client-listener": {
      means: "No listener has the client resource, so the new address was not set.",
      known: "From `listeners` in the restored settings.",
      clears: "Set `listeners` by hand.",
    },
    "workers-not-restored": {
      means: "The settings assign work to workers, whose configuration files are not moved.",
      known: "From the restored settings.",
      clears: "Set them up on the new host with the same names, or restore with `--without-workers`.",
    },
    "database-role": {
      means:
        "With `--create-role`: which PostgreSQL roles and databases were created for the new server, and which existed already and are left as they are.",
      known:
        "PostgreSQL's administrator is asked which of them exist. A dry run says what will be created. The evidence says where a new role's password is.",
      clears: "Nothing has to be done. The statements in the evidence remove what was created.",
    },
    "units-blocked": {
      means: "Units that read the configuration folder cannot start until `open`.",
      known: "A drop-in was written for each.",
      clears: "`open` removes the drop-ins.",
    },
    "units-not-blocked": {
      means:
        "Units read the configuration folder, and only root can prevent them from starting before `open`.",
      known: "The units of this host are looked at.",
      clears: "Run `restore` as root, or mask these units until `open`.",
    },
    "old-server": {
      means:
        "Whether the old server is still as the direct transfer left it: stopped, fenced, and not rolled back. Two servers with one name and one signing key damage rooms beyond repair, and what people write on the old one is not on the new one.",
      known:
        "`open` starts synlift on the old host over ssh, as `pull` did, without a question and with a time limit: it looks at the record of the fence, at processes, listeners and the database there, and changes nothing. After a bundle nobody is asked, as it does not say where it came from.",
      clears:
        "A blocker: leave the new server fenced; to move after all, drop the new database and pull again (for a copy that followed: `follow stop`, `follow`, `pull --followed`). A warning that the old host cannot be asked: if it is gone for good, nothing has to be done; otherwise run `synlift status` there.",
    },
    "old-server-written": {
      means:
        "The old server does not run, but its database was written to after it was stopped for the move: these changes are not on the new host.",
      known:
        "The old host compares PostgreSQL's counts of changed rows, sequences and positions, or the state of the SQLite file, with those at the stop. After a crash PostgreSQL begins to count anew, which looks the same.",
      clears:
        "Find out who wrote. If Synapse did, drop the new database and pull again. If nothing of it is needed: `--accept old-server-written`.",
      accepts: ["open"],
    },
    "old-server-answers": {
      means:
        "A server with the name and the signing key of this one answers at `public_baseurl`, although the restored one is fenced: the old server runs, or another copy of it.",
      known:
        "`open` asks that address for the signing key, past any cache, while the new server is stopped. Other answers, and none, are not reported: they prove nothing.",
      clears:
        "Stop that server. If the move was rolled back, it has to be made again. If you are certain that no server of yours answers there: `--accept old-server-answers`.",
      accepts: ["open"],
    },
    "config-files": {
      means:
        "Whether Synapse reads the restored configuration and no other files, which could replace settings that were checked.",
      known: "The places from which Synapse is started are listed.",
      clears: "Remove the files in the evidence.",
      accepts: ["open"],
    },
    "config-settings": {
      means: "No setting prevents the installed Synapse from starting, as far as known.",
      known: "As for [`config-removed`](configuration.md#config-removed), with the version on this host.",
    },
    secret: {
      suffix: "SETTING",
      means:
        "Whether a secret of the configuration is the same as on the old host, and none was added. With another one, sessions, links or passwords stop working.",
      known: "Hashes in the bundle, with a salt of its own, are compared; the secret itself is never shown.",
      clears: "Copy the value from the old configuration, or remove a setting that was added.",
      accepts: ["open"],
    },
    "file-owners": {
      means:
        "Whether the files of the configuration belong to the account that runs Synapse, and no other account can read secrets in them.",
      known: "Owner and mode of each file are looked at.",
      clears: "chown them to that account, then chmod 600.",
      accepts: ["open"],
    },
    "folder-access": {
      means:
        "Whether the account that runs Synapse can enter every folder on the way to its configuration, signing key, media and logs, can read the files that its settings name elsewhere, and can write its log.",
      known:
        "The kernel is asked as that account, so access lists and groups count, too. `restore` and `pull` say so beforehand, as a warning, and give an empty private folder of root's to the account. Not asked for a container, nor without root for another account.",
      clears: "The hint has the commands for the folders that it names. Or restore into other folders.",
      accepts: ["open"],
      levels: ["ok", "warning", "blocker"],
    },
    "listener-ports": {
      means:
        "Whether Synapse can listen on the addresses and ports of its configuration. A port that something else uses ends its start.",
      known:
        "It is tried for a moment, on this host; for a layout with a container, on the port that it publishes. `restore` and `pull` say so beforehand, as a warning.",
      clears:
        "End what uses the port; or change `listeners` in the restored configuration, or restore with `--listen`.",
      accepts: ["open"],
      levels: ["ok", "warning", "blocker"],
    },
    "synapse-parts": {
      means:
        "Whether the Python that runs Synapse imports it, with every module and optional part that the configuration needs. A note or a warning says that it could not be tried.",
      known: "That Python imports them, as the account that runs Synapse; nothing is started.",
      clears: "Install what is missing, or remove the setting. Where no Python is known: `--synapse FOLDER`.",
      accepts: ["open"],
    },
    "synapse-schema": {
      means: "Whether the Synapse on this host starts on this database.",
      known: "Its schema version is compared with the one that the database needs.",
      clears: "Install the version that the hint names or newer, best that of the old host.",
      accepts: ["open"],
    },
    "mas-config": {
      means: "The Matrix Authentication Service was restored, but its configuration no longer exists.",
      known: "Its file is looked for.",
      clears: "Run the restore again.",
      accepts: ["open"],
    },
    "mas-server-name": {
      means: "Whether the configuration of the authentication service has the server name of the old host.",
      known: "It is compared with the bundle.",
      clears: "Set it to its old value.",
      accepts: ["open"],
      levels: ["ok", "blocker"],
    },
    answers: {
      means: "Whether the started server answers clients.",
      known: "It is asked for `/_matrix/client/versions`.",
      clears: "Keep it unreachable; look at its log and its configuration.",
      accepts: ["open"],
    },
    "answers-name": {
      means: "Whether the started server has the server name of the old one.",
      known: "It is asked for `/_matrix/key/v2/server`.",
      clears: "Keep it unreachable; look at its configuration.",
      accepts: ["open"],
    },
    "answers-signed": {
      means: "The keys that the started server publishes are not signed with themselves.",
      known: "The signatures are verified.",
      clears: "Keep it unreachable; see whether something else answers at that address.",
      accepts: ["open"],
    },
    "old-session": {
      means: "Whether a session from before the move is still accepted.",
      known: "The access token given with `--token-file` is used for `/_matrix/client/v3/account/whoami`.",
      clears: "Keep the server unreachable; compare its secrets and its database with the old ones.",
      accepts: ["open"],
    },
    "already-running": {
      means:
        "Every gate had passed and the server is running: the run that started it was interrupted before it recorded this.",
      known: "From the record of `restore`, and from the server itself.",
    },
    "starts-at-boot": {
      means: "Whether the unit that starts the new server is enabled, so that it starts when the host boots.",
      known: "From systemd, for the units that the start command names. `open --enable` enables them.",
      clears: "`systemctl enable UNIT`.",
    },
    "report-not-written": {
      means: "The server is open, but the report of its gates was not written.",
      known: "Writing failed; the sentence has the reason.",
      clears: "Keep the output of this run: `--json` has all of it.",
    },
    "isolated-sentry": {
      means: "A trial reports errors to Sentry, which a further configuration file cannot disable.",
      known: "From `sentry` in the settings.",
      clears: "Remove `sentry` from the fenced configuration, if this is not wanted.",
    },
    "isolated-authentication": {
      means: "A trial authenticates users with the service named.",
      known: "From the settings.",
      clears: "Make sure that the real server does not use the same service.",
    },
  },
};
