import type { Layout, LayoutOwner } from "./layout.ts";

/** Both packages, matrix.org's and Debian's own, run it as this account. */
export const DEBIAN_ACCOUNT = "matrix-synapse";
const UNIT = "matrix-synapse.service";
const CONFIG = "/etc/matrix-synapse";

export interface DebianPlaces {
  readonly configDir: string | undefined;
  readonly mediaDir: string | undefined;
  readonly owner: LayoutOwner | undefined;
}

/** The paths of Debian's package. The unit reads files with fixed names, and systemd starts it. */
export function debianLayout({ configDir = CONFIG, mediaDir, owner }: DebianPlaces): Layout {
  // A server beside that of the package must not write into its files.
  const isPackages = configDir === CONFIG;
  return {
    name: "debian",
    configDir,
    mediaDir: mediaDir ?? "/var/lib/matrix-synapse/media",
    owner,
    map: [],
    units: [UNIT],
    // As in the configuration of both packages.
    pidFile: isPackages ? "/run/matrix-synapse.pid" : undefined,
    logFolder: isPackages ? "/var/log/matrix-synapse" : undefined,
    supervised: true,
    withoutWorkers: false,
    listen: undefined,
    url: undefined,
    start: `systemctl start ${UNIT}`,
    stop: `systemctl stop ${UNIT}`,
  };
}
