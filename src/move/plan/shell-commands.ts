import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { Launch } from "../../homeserver/service/find/launch.ts";
import { urlHost } from "../../system/ip-address.ts";
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

/** Over SSH, where each file is compared when it has arrived. */
export function sendCommand({ out, newHost }: CommandFacts): string {
  const [, account = "", host = ""] = /^(.*@)?\[?(.*?)\]?$/s.exec(newHost)!;
  const from = folder(out);
  return formatShellCommand([
    "synlift",
    "send",
    quoteShellWord(from),
    quoteShellWord(`sftp://${account}${urlHost(host)}${from}`),
  ]);
}

/** Shown on the old host and typed on the new one, so that it does not travel with the bundle. */
export const showPassphrase = ({ out }: CommandFacts) =>
  formatShellCommand(["cat", quoteShellWord(`${folder(out)}.passphrase`)]);
export const TAKE_PASSPHRASE = "(umask 077; cat > /root/move.passphrase)";

/** A folder for the configuration that Synapse's account can enter. */
export const prepareCommands = ({ sqlite }: CommandFacts): string =>
  [
    "systemctl disable --now matrix-synapse",
    "mv /etc/matrix-synapse /etc/matrix-synapse.from-package",
    "install -d -m 0700 -o matrix-synapse /etc/matrix-synapse",
    // The package's Synapse may have created one already. Nothing is lost: it is only renamed.
    ...(sqlite ? [`[ ! -e ${SQLITE_PATH} ] || mv ${SQLITE_PATH} ${SQLITE_PATH}.from-package`] : []),
  ].join("\n");

/** Where Debian's packages have it. */
const SQLITE_PATH = "/var/lib/matrix-synapse/homeserver.db";

/** Into Debian's package: the configuration of any installation gets the names that its unit reads. */
export const restoreCommand = ({ out, sqlite }: CommandFacts): string =>
  formatShellCommand([
    ...["synlift", "restore", quoteShellWord(folder(out))],
    ...["--passphrase-file", "/root/move.passphrase", "--layout", "debian"],
    ...(sqlite
      ? ["--database", `sqlite:${SQLITE_PATH}`]
      : [
          ...["--database", quoteShellWord("host=127.0.0.1 user=synapse dbname=synapse")],
          ...["--database-password-file", "/root/db.password", "--create-role"],
        ]),
  ]);

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
