import type { Layout, LayoutOwner } from "./layout.ts";

/** Both packages, matrix.org's and Debian's own, run it as this account. */
export const DEBIAN_ACCOUNT = "matrix-synapse";
const UNIT = "matrix-synapse.service";

export interface DebianPlaces {
  readonly configDir: string | undefined;
  readonly mediaDir: string | undefined;
  readonly owner: LayoutOwner | undefined;
}

/** The paths of Debian's package. The unit reads files with fixed names, and systemd starts it. */
export function debianLayout({ configDir, mediaDir, owner }: DebianPlaces): Layout {
  return {
    name: "debian",
    configDir: configDir ?? "/etc/matrix-synapse",
    mediaDir: mediaDir ?? "/var/lib/matrix-synapse/media",
    owner,
    map: [],
    units: [UNIT],
    pidFile: undefined,
    supervised: true,
    withoutWorkers: false,
    listen: undefined,
    url: undefined,
    start: `systemctl start ${UNIT}`,
    stop: `systemctl stop ${UNIT}`,
  };
}
