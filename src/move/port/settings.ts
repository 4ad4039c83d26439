import { stringify } from "yaml";
import { synapseArgs } from "../../homeserver/database/address.ts";
import { PORT_APPLICATION_NAME } from "../../homeserver/database/fill/interrupted.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";

/**
 * What Synapse's programs need to know of the homeserver: one file, whatever the configuration is split into, with what
 * decides about the database and nothing else. No secret: the key is made for this, and libpq has the password from its
 * environment. Nothing in it lets Synapse speak to anybody.
 */
export function portSettings(
  database:
    | { readonly engine: "postgres"; readonly address: PostgresAddress }
    | { readonly engine: "sqlite"; readonly path: string },
  {
    serverName,
    folder,
    key,
    port,
  }: {
    readonly serverName: string;
    /** A private folder. */
    readonly folder: string;
    /** 32 random bytes. */
    readonly key: Uint8Array;
    /** On loopback, where it listens. */
    readonly port: number;
  },
): string {
  return stringify({
    server_name: serverName,
    report_stats: false,
    database:
      database.engine === "sqlite"
        ? { name: "sqlite3", args: { database: database.path } }
        : { name: "psycopg2", args: postgresArgs(database.address) },
    signing_key: `ed25519 a_port ${Buffer.from(key).toString("base64").replaceAll("=", "")}`,
    macaroon_secret_key: Buffer.from(key).toString("hex"),
    media_store_path: `${folder}/media`,
    pid_file: `${folder}/synapse.pid`,
    // Else the script waits a second after each of some fifty updates of an empty database.
    background_updates: { sleep_enabled: false, sleep_duration_ms: 0 },
    listeners: [
      {
        port,
        type: "http",
        bind_addresses: ["127.0.0.1"],
        resources: [{ names: ["client"], compress: false }],
      },
    ],
    // No instance has this name: nothing is removed, sent or counted in the background.
    run_background_tasks_on: "nobody",
    federation_domain_whitelist: [],
    trusted_key_servers: [],
    suppress_key_server_warning: true,
    ip_range_blacklist: ["0.0.0.0/0", "::/0"],
    url_preview_enabled: false,
    presence: { enabled: false },
    enable_registration: false,
  });
}

function postgresArgs(address: PostgresAddress): Record<string, string | number> {
  const { password: _, ...args } = synapseArgs(address);
  return { ...args, application_name: PORT_APPLICATION_NAME, cp_min: 1, cp_max: 5 };
}
