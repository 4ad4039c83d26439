import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { Launch } from "../../homeserver/service/find/launch.ts";
import { formatShellCommand, quoteShellWord } from "../../system/shell-quoting.ts";

/** The names and options that the commands contain. */
export interface CommandFacts {
  readonly homeserver: Homeserver;
  /** How the old server is started, where known. */
  readonly launch: Launch | undefined;
  readonly workers: readonly Launch[];
  /** Folder of the bundle, absolute. */
  readonly out: string;
  /** As ssh takes it: "root@new.example.org". */
  readonly newHost: string;
  readonly split: string | undefined;
  /** Accepted finding ids that the export needs again. */
  readonly accepted: readonly string[];
  /** Whether rsync is installed on this host; the new host needs it too. */
  readonly rsync: boolean;
  /** Whether the database is a file. */
  readonly sqlite: boolean;
}

const folder = (path: string) => (path === "/" ? path : path.replace(/\/+$/, ""));

/** What every command needs to find the configuration. */
function configOptions({ homeserver, launch }: CommandFacts): string[] {
  const paths = homeserver.configPaths.flatMap((path) => ["--config", quoteShellWord(path)]);
  const map = homeserver.map.flatMap(({ inside, outside }) => [
    "--map",
    quoteShellWord(`${inside}=${outside}`),
  ]);
  const inUse = launch !== undefined || homeserver.workingFolder !== "/";
  const { databaseCommand, databaseServer } = homeserver;
  return [
    ...paths,
    ...(inUse ? ["--working-directory", quoteShellWord(homeserver.workingFolder)] : []),
    ...map,
    ...(databaseCommand
      ? ["--database-command", quoteShellWord(databaseCommand.map(quoteShellWord).join(" "))]
      : []),
    ...(databaseServer
      ? [
          "--database-server",
          quoteShellWord(
            Object.entries(databaseServer)
              .map(([name, value]) => `${name}=${value}`)
              .join(" "),
          ),
        ]
      : []),
  ];
}

export const exportCommand = (names: CommandFacts, rehearsal: boolean) =>
  formatShellCommand([
    "synlift",
    "export",
    ...configOptions(names),
    "--out",
    quoteShellWord(rehearsal ? `${folder(names.out)}-rehearsal` : names.out),
    ...names.accepted.flatMap((id) => ["--accept", quoteShellWord(id)]),
    ...(names.split === undefined ? [] : ["--split", names.split]),
    ...(rehearsal ? ["--rehearse"] : []),
  ]);

export function copyCommand({ out, newHost, rsync }: CommandFacts): string {
  const from = folder(out);
  const to = (path: string) => `${quoteShellWord(newHost)}:${quoteShellWord(path)}`;
  return rsync
    ? formatShellCommand([
        "rsync",
        "-a",
        "--partial",
        "--info=progress2",
        quoteShellWord(`${from}/`),
        to(`${from}/`),
      ])
    : formatShellCommand(["scp", "-rp", quoteShellWord(from), to(parentOf(from).replace(/\/?$/, "/"))]);
}

const parentOf = (path: string) => path.slice(0, Math.max(1, path.lastIndexOf("/")));

/** Shown on the old host and typed on the new one, so that it does not travel with the bundle. */
export const showPassphrase = ({ out }: CommandFacts) =>
  formatShellCommand(["cat", quoteShellWord(`${folder(out)}.passphrase`)]);
export const TAKE_PASSPHRASE = "(umask 077; cat > /root/move.passphrase)";

/** A folder for the configuration that Synapse's account can enter, and a database user whose password is never shown. */
export const prepareCommands = ({ sqlite }: CommandFacts): string[] => [
  [
    "systemctl disable --now matrix-synapse",
    "mv /etc/matrix-synapse /etc/matrix-synapse.from-package",
    "install -d -m 0700 -o matrix-synapse /etc/matrix-synapse",
    // The package's Synapse may have created one already. Nothing is lost: it is only renamed.
    ...(sqlite ? [`[ ! -e ${SQLITE_PATH} ] || mv ${SQLITE_PATH} ${SQLITE_PATH}.from-package`] : []),
  ].join("\n"),
  ...(sqlite ? [] : [POSTGRES_USER]),
];

const POSTGRES_USER = [
  "(umask 077; openssl rand -hex 24 > /root/db.password)",
  // From a folder that postgres may enter: elsewhere it complains.
  'cd / && su postgres -c "createuser --createdb synapse"',
  "cd / && su postgres -c psql <<< \"ALTER ROLE synapse PASSWORD '$(cat /root/db.password)'\"",
].join("\n");

/** Where Debian's packages have it. */
const SQLITE_PATH = "/var/lib/matrix-synapse/homeserver.db";

/** Whether its files have the names that the unit of Debian's packages reads. */
const isDebianPackage = ({ homeserver: { configPaths, map } }: CommandFacts) =>
  map.length === 0 && configPaths[0] === "/etc/matrix-synapse/homeserver.yaml";

/** Into Debian's package; the configuration of another installation gets the names that its unit reads. */
export function restoreCommand(names: CommandFacts, mediaFolder: string): string {
  const { out, sqlite } = names;
  return formatShellCommand([
    "synlift",
    "restore",
    quoteShellWord(folder(out)),
    "--passphrase-file",
    "/root/move.passphrase",
    ...(sqlite
      ? ["--database", `sqlite:${SQLITE_PATH}`]
      : [
          ...["--database", quoteShellWord("host=127.0.0.1 user=synapse dbname=synapse")],
          ...["--database-password-file", "/root/db.password"],
        ]),
    ...(isDebianPackage(names) ? [] : ["--layout", "debian"]),
    "--config-dir",
    "/etc/matrix-synapse",
    "--media-dir",
    quoteShellWord(mediaFolder),
    "--owner",
    "matrix-synapse",
  ]);
}

export const OPEN_COMMAND = formatShellCommand([
  "synlift",
  "open",
  "--config-dir",
  "/etc/matrix-synapse",
  "--passphrase-file",
  "/root/move.passphrase",
  "--start-command",
  quoteShellWord("systemctl start matrix-synapse"),
  "--stop-command",
  quoteShellWord("systemctl stop matrix-synapse"),
]);

export const usersCommand = (names: CommandFacts, when: string, outage: string) =>
  formatShellCommand([
    "synlift",
    "users",
    ...configOptions(names),
    "--announce",
    quoteShellWord(`${folder(names.out)}-announcement`),
    "--when",
    quoteShellWord(when),
    "--outage",
    quoteShellWord(outage),
  ]);
