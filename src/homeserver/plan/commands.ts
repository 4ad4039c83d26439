import { shellCommand, shellWord } from "../../report/shell-word.ts";
import type { Homeserver } from "../homeserver.ts";
import type { Launch } from "../service/launch.ts";

/** This person's own names, as the commands need them. */
export interface Names {
  readonly homeserver: Homeserver;
  /** How the old server is started, where this host says so. */
  readonly launch: Launch | undefined;
  readonly workers: readonly Launch[];
  /** Folder of the bundle, absolute. */
  readonly out: string;
  /** As ssh takes it: "root@new.example.org". */
  readonly newHost: string;
  readonly split: string | undefined;
  /** Whether this host has it: the other must have it too. */
  readonly rsync: boolean;
}

const folder = (path: string) => (path === "/" ? path : path.replace(/\/+$/, ""));

/** What every command needs to find the configuration. */
export function configOptions({ homeserver, launch }: Names): string[] {
  const paths = homeserver.configPaths.flatMap((path) => ["--config", shellWord(path)]);
  const map = homeserver.map.flatMap(({ inside, outside }) => ["--map", shellWord(`${inside}=${outside}`)]);
  const inUse = launch !== undefined || homeserver.workingFolder !== "/";
  return [...paths, ...(inUse ? ["--working-directory", shellWord(homeserver.workingFolder)] : []), ...map];
}

/** Stops the old server and keeps it from coming back; words where nobody knows what runs it. */
export function stopCommands({ launch, workers }: Names): string[] {
  if (launch?.kind === "container") {
    const names = [launch, ...workers.filter(({ kind }) => kind === "container")]
      .map(({ name }) => shellWord(name))
      .join(" ");
    return [`docker update --restart=no ${names}`, `docker stop ${names}`];
  }
  const units = [launch, ...workers].flatMap((one) =>
    one?.kind === "unit" ? [one.name] : one?.startedBy === undefined ? [] : [one.startedBy],
  );
  if (units.length > 0)
    return [shellCommand(["systemctl", "disable", "--now", ...new Set(units.map(shellWord))])];
  return [];
}

export const exportCommand = (names: Names, rehearsal: boolean) =>
  shellCommand([
    "synlift",
    "export",
    ...configOptions(names),
    "--out",
    shellWord(rehearsal ? `${folder(names.out)}-rehearsal` : names.out),
    ...(names.split === undefined ? [] : ["--split", names.split]),
    ...(rehearsal ? ["--rehearse"] : []),
  ]);

/** The bundle, and its passphrase. */
export function carryCommands({ out, newHost, rsync }: Names): string[] {
  const from = folder(out);
  const to = `${shellWord(newHost)}:${shellWord(parentOf(from).replace(/\/?$/, "/"))}`;
  const carrier = rsync ? ["rsync", "-a", "--partial", "--info=progress2"] : ["scp", "-rp"];
  return [
    shellCommand([...carrier, shellWord(from), to]),
    shellCommand(["scp", shellWord(`${from}.passphrase`), `${shellWord(newHost)}:/root/move.passphrase`]),
  ];
}

const parentOf = (path: string) => path.slice(0, Math.max(1, path.lastIndexOf("/")));

/** An empty database as Synapse demands it (docs/postgres.md), for a role of the same name. */
export const PREPARE_COMMANDS = [
  "sudo -u postgres createuser --pwprompt synapse",
  "sudo -u postgres createdb --encoding=UTF8 --locale=C --template=template0 --owner=synapse synapse",
  "umask 077; read -rs password; printf '%s\\n' \"$password\" > /root/db.password",
] as const;

export const restoreCommand = ({ out }: Names, mediaFolder: string) =>
  shellCommand([
    "synlift",
    "restore",
    shellWord(folder(out)),
    "--passphrase-file",
    "/root/move.passphrase",
    "--database",
    shellWord("host=127.0.0.1 user=synapse dbname=synapse"),
    "--database-password-file",
    "/root/db.password",
    "--config-dir",
    "/etc/matrix-synapse",
    "--media-dir",
    shellWord(mediaFolder),
    "--owner",
    "matrix-synapse",
  ]);

export const OPEN_COMMAND = shellCommand([
  "synlift",
  "open",
  "--config-dir",
  "/etc/matrix-synapse",
  "--passphrase-file",
  "/root/move.passphrase",
  "--start-command",
  shellWord("systemctl start matrix-synapse"),
  "--stop-command",
  shellWord("systemctl stop matrix-synapse"),
]);

export const usersCommand = (names: Names, when: string, outage: string) =>
  shellCommand([
    "synlift",
    "users",
    ...configOptions(names),
    "--announce",
    shellWord(`${folder(names.out)}-announcement`),
    "--when",
    shellWord(when),
    "--outage",
    shellWord(outage),
  ]);
