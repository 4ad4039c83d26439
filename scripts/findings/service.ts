import type { FindingArea } from "./meaning.ts";

export const SERVICE: FindingArea = {
  page: "service",
  title: "The service: how Synapse runs here, and its version",
  about: "How Synapse is started, what stops it, its workers, and the versions of Synapse on both hosts.",
  findings: {
    launch: {
      means:
        "With which configuration files Synapse is started here, in which folder and as which account. A note says that no Synapse on this host is known to be started with the files given.",
      known: "From running processes, systemd units, containers and synctl.",
      clears:
        "Where it is a note: make sure that `--config` has all of Synapse's files in the order of its `-c`, and that `--working-directory` is its folder.",
    },
    "launch-docker": {
      means: "The containers of Docker could not be looked at, so a Synapse in one of them was not found.",
      known: "The program docker is there, and its answer was an error, which the sentence quotes.",
      clears:
        "If Synapse runs in a container: start Docker and run synlift as root, or give `--config` and `--map INSIDE=OUTSIDE`.",
    },
    "launch-podman": {
      means: "The containers of Podman could not be looked at, so a Synapse in one of them was not found.",
      known: "The program podman is there, and its answer was an error, which the sentence quotes.",
      clears:
        "If Synapse runs in a container: start Podman and run synlift as root, or give `--config` and `--map INSIDE=OUTSIDE`.",
    },
    "launch-container": {
      means:
        "A Synapse runs in a container that neither docker nor podman lists, so its mounts are not known.",
      known: "Its process is in a container by its control group, and no container that is listed has it.",
      clears:
        "If it is the one to move: `--config` for each of its files and `--map INSIDE=OUTSIDE` for each of its folders.",
    },
    "launch-override": {
      means:
        "Synapse is started with options that override its configuration. Options of a command line are not moved.",
      known: "From the command line of the process or unit.",
      clears: "Set it in the configuration, and start Synapse without the option.",
    },
    "launch-working-directory": {
      means:
        "A Synapse was started with relative paths, and its working directory cannot be read, so they cannot be followed.",
      known: "The process hides its working directory from this account.",
      clears: "Run synlift as root, or give `--config` and `--working-directory`.",
    },
    "config-order": {
      means:
        "The configuration files given are not those that Synapse is started with, or not in that order; or the unit would start it with others than it runs with. Later files override earlier ones, so another order is another configuration.",
      known: "`--config`, the running process and the unit are compared.",
      clears:
        "Give the same files in the same order or leave out `--config`. Where unit and process differ: restart the server and check that it works before it is moved.",
    },
    supervisor: {
      means:
        "What an export will stop the server with. A note says that nothing was found that could: no unit, container or synctl started it.",
      known: "From the unit, container or process that runs Synapse.",
      clears:
        "Give `export` the `--unit`, `--container` or `--stop-command`, and `--start-command` so that `rollback` can start it again; or stop it yourself when `export` asks for it.",
    },
    workers: {
      means:
        "Which workers run beside the main process. Their files are not moved, and all of them must be stopped for the move.",
      known:
        "From units, processes and containers of this host, and from the settings that assign work to workers.",
      clears:
        "Set the workers up on the new host yourself, or start there without them: `--without-workers` of `restore`. Then accept the warning.",
    },
    "worker-file": {
      suffix: "NAME",
      means: "The configuration file of a worker cannot be read, so its settings were not checked.",
      known: "The file is opened and parsed as YAML.",
      clears: "Run synlift as root, or correct the path or the file.",
    },
    "worker-missing": {
      means:
        "The settings assign work to workers that were not found on this host. The new server needs them before that work is done.",
      known:
        "The names in settings such as `instance_map` and `stream_writers` are compared with the workers found.",
      clears:
        "Find out where they run: on another host they must be stopped too. Remove settings for workers that are gone.",
    },
    "worker-instance-map": {
      means:
        "`instance_map` has no entry for `main`, without which workers of Synapse 1.88 and later do not start.",
      known:
        "From the shared configuration; only where the new host's Synapse is 1.88 or later, or not known.",
      clears: "Add `main` with its host and port to `instance_map`.",
    },
    "worker-redis": {
      means:
        "There are workers, but Redis, through which they communicate with the main process, is not enabled.",
      known: "`redis.enabled` in the shared configuration.",
      clears: "Check whether these workers really run: since Synapse 1.67 they need Redis.",
    },
    "worker-secret": {
      means:
        "`worker_replication_secret` is not set: whoever can connect to the replication port can act as the server.",
      known: "From the settings and secrets of the configuration.",
      clears:
        "Set the same secret for all processes, or make sure that only workers can connect to that port on the new host.",
    },
    "homeserver-process": {
      means: "Synapse runs with this configuration, although it has to be stopped at this point.",
      known: "A process of Synapse names one of the configuration files in its command line.",
      clears: "Stop it with what started it, workers too.",
    },
    "homeserver-answers": {
      means: "The homeserver still answers on this host, although it has to be stopped at this point.",
      known: "Its local listeners are asked for the signing key, and for `/health`.",
      clears: "Stop Synapse and its workers.",
    },
    "source-parts": {
      means:
        "The Python that runs Synapse here lacks a module or optional dependency that its configuration needs. The server would not start again here, and the new host needs it too.",
      known: "That Python imports Synapse and each module that a setting names.",
      clears: "Install it for the Python that runs Synapse, or remove the setting.",
      levels: ["warning"],
    },
    "source-version": {
      means:
        "Which version of Synapse runs here; a note when that is not known, or is newer than any that this synlift knows.",
      known: "Asked of the running server, or read from the installed package.",
      clears: "Start the server, or run synlift where Synapse is installed.",
    },
    "schema-source": {
      means:
        "Whether the schema of the database belongs to the Synapse that runs here. It is a warning when this Synapse would not start on it again.",
      known:
        "The versions in the tables `schema_version` and `schema_compat_version` are compared with those of that Synapse.",
      clears:
        "Find out which Synapse the server really runs with, and install that one or a newer one on the new host.",
    },
    "target-version": {
      means:
        "Which Synapse the new host has, compared with this one. An older one is a warning, because Synapse's developers do not test downgrades; a newer one upgrades the database when it first starts, during the outage.",
      known:
        "The server given with `--target` is asked for its version. Without `--target` a note says which version this database needs.",
      clears: "Install the same version on both hosts.",
    },
    "target-too-old": {
      means: "The Synapse on the new host does not start on this database.",
      known: "Its schema version is lower than the one with which the database says it is compatible.",
      clears: "Install the version of this host there, or at least the one that the hint names.",
    },
    "target-unreachable": {
      means: "The new server does not report its version, so it could not be compared.",
      known: "The address given with `--target` was asked; the sentence has the reason.",
      clears:
        "Start the new Synapse with an empty database before the move, or compare the versions yourself.",
    },
    "target-not-synapse": {
      means:
        "The server at `--target` calls itself something else than Synapse. A bundle can be restored for Synapse only.",
      known: "It was asked for its name and version.",
      clears: "Check that the address leads to the new server.",
    },
    "target-clock": {
      means: "Whether the clocks of both hosts agree. Other servers check the time of events and keys.",
      known:
        "The date in the answer of `--target` is compared with this host's clock; up to 60 seconds are taken as equal.",
      clears: "Synchronize both clocks: `timedatectl set-ntp true`.",
    },
  },
};
