import type { BaseSystem } from "./base-system.ts";

const SERVICES = ["postgresql", "redis-server", "curl", "nodejs", "npm"];

/** Debian 13 with Debian's own Synapse, which only a newer Debian has. */
export const OLD_DEBIAN: BaseSystem = {
  suite: "trixie",
  packages: SERVICES,
  newer: { suite: "sid", packages: ["matrix-synapse", "python3-hiredis"] },
};

/** The newest Debian: another systemd, another PostgreSQL. */
export const NEW_DEBIAN: BaseSystem = {
  suite: "sid",
  packages: [...SERVICES, "matrix-synapse", "python3-hiredis"],
};
