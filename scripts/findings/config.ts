import type { FindingArea } from "./meaning.ts";

export const CONFIG: FindingArea = {
  page: "configuration",
  title: "The configuration and the signing key",
  about:
    "What `plan` and `export` say of Synapse's settings, of the files that they name, and of the key with which the server signs.",
  findings: {
    "server-name": {
      means:
        "The server name, which can never change. It is a blocker when it is not a valid name; as a gate of `open`, when the new server has another one than the old.",
      known: "`server_name` of the configuration, for `open` compared with the bundle.",
      clears:
        "Find the configuration that the server runs with; on the new host set `server_name` to its old value.",
    },
    "config-overridden": {
      suffix: "SETTING",
      means:
        "A setting stands in several configuration files, and only the last one takes effect: Synapse replaces whole top-level settings. It is a warning when a part of an earlier one has no effect because of that.",
      known: "All configuration files are read in Synapse's order.",
      clears: "Put the parts into one file, if all of them should take effect.",
    },
    "pepper-overridden": {
      means:
        "`password_config.pepper` stands in a file whose `password_config` another file replaces, so no pepper is in effect. With the wrong pepper no password is accepted.",
      known: "All configuration files are read in Synapse's order.",
      clears:
        "Find out with which pepper the passwords were hashed, and keep `password_config` in one file only.",
      accepts: ["export"],
    },
    "config-changed": {
      suffix: "SETTING",
      means: "The new host has a newer Synapse, in which this setting, or its default, does something else.",
      known: "From Synapse's upgrade notes, where the versions of both hosts are known.",
      clears: "Do what the hint says, or leave it; nothing prevents the start.",
    },
    "config-removed": {
      suffix: "SETTING",
      means:
        "The configuration has a setting that Synapse has removed, and a Synapse of that version or later does not start with it. It is a blocker where the new host's Synapse is known to be that new.",
      known:
        "From Synapse's source for each version, compared with the settings, the log configuration and the files of workers.",
      clears: "Remove or replace the setting as the hint says.",
      accepts: ["open"],
    },
    "file-missing": {
      suffix: "SETTING",
      means:
        "A setting names a file that is not there or cannot be read, so it is not in the bundle. It is a blocker when Synapse does not start without the file.",
      known: "Every path in the settings is looked at; relative ones start at Synapse's working directory.",
      clears:
        "Create the file or remove the setting. In a container, name the mount with `--map INSIDE=OUTSIDE`, or copy the file out. The warning of `export` does not end it.",
    },
    secrets: {
      means:
        "Which secrets must be the same on the new host, and where each is set. Their values are never shown.",
      known: "From the settings and the files that they name.",
      clears: "Nothing is to be done: they are encrypted in the bundle and restored unchanged.",
    },
    "macaroon-fallback": {
      means: "`macaroon_secret_key` is not set, so Synapse uses another secret in its place.",
      known: "From the settings, as Synapse chooses.",
      clears:
        "Do not set it during the move: guests would be signed out, and links in emails would stop working.",
    },
    appservices: {
      means:
        "Which application services are registered. The registrations are moved; databases and settings of bridges and bots are not.",
      known: "From `app_service_config_files`.",
      clears: "Move bridges and bots yourself, or leave them where they are.",
    },
    "appservices-local-address": {
      means:
        "An application service has an address that only this host reaches. The new host cannot reach it there.",
      known: "`url` in its registration is a local address.",
      clears:
        "Move it too, or change `url` in the registration on the new host, and the homeserver's address in its own configuration.",
    },
    "appservice-broken": {
      suffix: "SETTING",
      means:
        "A registration has an error with which Synapse does not start. A running server read the file before the error was made.",
      known: "The file is checked as Synapse checks it when it starts.",
      clears: "Correct the file, or remove it from `app_service_config_files`.",
    },
    "appservice-duplicate": {
      suffix: "ID",
      means:
        "Two registrations have the same `id` or the same `as_token`, and Synapse does not start with them.",
      known: "All registrations are compared.",
      clears: "Remove one of them from `app_service_config_files`, or change its value.",
    },
    modules: {
      means:
        "The configuration names Python modules that are not part of Synapse. Without them it does not start on the new host.",
      known: "From `modules` and the older settings that name a module.",
      clears:
        "Install them for the new Synapse, then accept the warning. What they store outside of Synapse's database is moved separately.",
    },
    extras: {
      means: "Which optional dependencies of Synapse this configuration needs on the new host.",
      known: "From the settings that use them.",
      clears: "Install a Synapse that has them. `open` imports each before it starts anything.",
    },
    listeners: {
      means:
        "Where Synapse listens. It is a warning when no listener is for HTTP, because `open` then cannot ask the started server whether it is the old one.",
      known: "From `listeners`.",
      clears:
        "Give `open` the address of a worker that answers clients with `--url`. For a certificate of its own: set up its renewal on the new host.",
    },
    "host-rewritten": {
      means: "Which settings name paths or addresses of this host that `restore` rewrites.",
      known: "From the settings.",
      clears: "Nothing is to be done: `restore --dry-run` shows each change.",
    },
    "host-addresses": {
      means: "Which settings name other services or paths of this host that `restore` does not change.",
      known: "From the settings; passwords in addresses are left out.",
      clears:
        "Check that the new host reaches each of them, or change them there before the server is opened.",
    },
    daemonize: {
      means:
        "`daemonize` is on. With systemd or in a container it must be off, or the supervisor believes that the server has exited.",
      known: "From the settings.",
      clears: "Remove the setting on the new host, unless synctl starts it there.",
    },
    retention: {
      means: "Message retention is on: the server deletes old messages by itself, by its clock.",
      known: "From `retention`.",
      clears: "Check the clock of the new host: with a wrong one it would delete too much.",
    },
    "media-retention": {
      means:
        "`media_retention` is set: the server deletes media that nobody has accessed for some time. What it deletes during the export is missing from the bundle.",
      known: "From the settings.",
      clears: "Try it with a rehearsal, or remove the setting until after the move.",
    },
    mas: {
      means:
        "People sign in through a Matrix Authentication Service. It is a warning when its configuration was not named, because its database, with accounts, passwords and sessions, would stay behind.",
      known: "From `matrix_authentication_service` and the older setting `experimental_features.msc3861`.",
      clears:
        "Name its configuration with `--mas-config`; or accept the warning, if it stays where it is or you move it yourself.",
      accepts: ["export"],
    },
    "mas-secret": {
      suffix: "SETTING, for the gate of open",
      means:
        "`matrix.secret` of the authentication service is not the secret that Synapse has, so nobody can sign in. As a gate of `open` it says whether a secret of the service is the same as on the old host.",
      known: "Both configurations are compared; for the gate, hashes in the bundle with a salt of its own.",
      clears:
        "Set both to the same value; for the gate, copy the value from the old configuration. `secrets.encryption` must be the same in any case.",
      accepts: ["open, except for `mas-secret:secrets.encryption`"],
      levels: ["ok", "warning", "blocker"],
    },
    "signing-key": {
      means:
        "Where the signing key is, and whether it can be read. As a gate of `open` it says whether the key is the one of the old host: with another key, other servers reject what the server sends.",
      known: "The file or setting is read; for the gate, ids and public keys are compared with the bundle.",
      clears:
        "Correct `signing_key_path` or the line that the sentence names. On the new host, put the key of the old server in place before Synapse is started for the first time.",
    },
    "signing-key-mode": {
      means: "Others than its owner and group may read or change the signing key.",
      known: "The file has permissions beyond 0640.",
      clears: "`chmod 0640` on the file.",
    },
    "signing-key-weak": {
      means:
        "The signing key has the id `ed25519:0`, like keys that a chart of Element Server Suite made from too few random bits and that can be guessed (CVE-2026-24044).",
      known: "Only by the id: such an id alone does not prove that the key is weak.",
      clears:
        "If that chart made the key: make a new one after the move, and list this one in `old_signing_keys`.",
    },
    "signing-key-published": {
      means:
        "Whether the running server publishes the signing key of this configuration. It is a blocker when it publishes another one, and `open` checks the started server in the same way.",
      known: "The server is asked for `/_matrix/key/v2/server`.",
      clears:
        "Find the file with the published key before anything is stopped. Where it could not be compared: look again while the server runs, or say where it is with `--url`. Where the file has a key that is not published yet: restart the server.",
    },
    "signing-key-signature": {
      means:
        "The answer with the signing key is not signed with that key. Other servers reject such an answer.",
      known: "The signature is verified.",
      clears: "See whether a proxy or a cache answers instead of the server.",
    },
    "signing-key-refresh": {
      means: "Other servers may keep the signing key that they saw for longer than a day.",
      known: "From `key_refresh_interval`.",
      clears: "Nothing has to be done: the key stays the same.",
    },
    "old-signing-keys": {
      means:
        "Which old signing keys are published. They must stay in the configuration, as other servers verify old events with them.",
      known: "From `old_signing_keys`.",
      clears: "Nothing has to be done: the setting is moved.",
    },
    "old-signing-key": {
      suffix: "KEY",
      means:
        "An entry of `old_signing_keys` is doubtful; it is a blocker when Synapse does not start with it.",
      known: "Each entry is read as Synapse reads it, and compared with the current key and the time.",
      clears: "Write it as `export_signing_key` prints it, or do what the hint says.",
    },
  },
};
