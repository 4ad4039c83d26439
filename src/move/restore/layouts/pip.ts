import { join } from "node:path";
import { quoteShellWord } from "../../../system/shell-quoting.ts";
import type { Layout, LayoutFile, LayoutOwner, StartFacts } from "./layout.ts";
import { startScript } from "./start-script.ts";

export interface PipPlaces {
  /** Absolute: contains everything. */
  readonly folder: string;
  readonly configDir: string | undefined;
  readonly mediaDir: string | undefined;
  readonly owner: LayoutOwner | undefined;
}

const SCRIPT = "start-synapse";
const PID_FILE = "homeserver.pid";

/** Synapse from PyPI in a virtual environment, all in one folder, started by a script that synlift writes. */
export function pipLayout({ folder, configDir, mediaDir, owner }: PipPlaces): Layout {
  const pidFile = join(folder, PID_FILE);
  return {
    name: "pip",
    configDir: configDir ?? join(folder, "config"),
    mediaDir: mediaDir ?? join(folder, "media_store"),
    owner,
    map: [],
    units: [],
    pidFile,
    supervised: true,
    withoutWorkers: false,
    listen: undefined,
    url: undefined,
    start: `${quoteShellWord(join(folder, SCRIPT))} --daemonize`,
    stop: `kill "$(cat ${quoteShellWord(pidFile)})"`,
  };
}

/** The script, and a unit that runs it, for those who want systemd to supervise the server. */
export function pipFiles(
  { folder }: PipPlaces,
  { owner }: Layout,
  python: string,
  { serverName, configPaths, opened }: StartFacts,
): LayoutFile[] {
  const script = join(folder, SCRIPT);
  const command = [python, "-m", "synapse.app.homeserver", ...configPaths.flatMap((path) => ["-c", path])];
  return [
    {
      path: script,
      content: startScript({ serverName, opened, folder, command, account: owner?.name }),
      mode: 0o755,
    },
    {
      path: join(folder, "synapse.service"),
      content: unit(serverName, script, opened, owner?.name),
      mode: 0o644,
    },
  ];
}

/** systemd.unit(5): the condition prevents any start while the fence is set. */
const unit = (
  serverName: string,
  script: string,
  opened: string,
  account: string | undefined,
) => `# Made by synlift.
# To have systemd keep the server running: systemctl link THIS_FILE, then systemctl enable --now synapse
[Unit]
Description=Synapse, the Matrix homeserver ${serverName}
After=network-online.target postgresql.service
Wants=network-online.target
ConditionPathExists=${opened.replaceAll("%", "%%")}

[Service]
${account === undefined ? "" : `User=${account}\n`}ExecStart="${script.replaceAll("%", "%%")}"
Restart=on-failure
RestartSec=3
RestartPreventExitStatus=78
SyslogIdentifier=synapse

[Install]
WantedBy=multi-user.target
`;
