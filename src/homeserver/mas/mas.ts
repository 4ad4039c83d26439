import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { ConfigFile, Homeserver, Settings } from "../homeserver.ts";

/**
 * A Matrix Authentication Service as its configuration describes it. Made by `read.ts` alone. What it has in common with
 * a homeserver is packed, restored and proven as that is.
 */
export interface Mas extends Pick<Homeserver, "serverName" | "configPaths" | "referenced" | "secrets"> {
  readonly configFiles: readonly ConfigFile[];
  /** Merged as the service merges them: mappings key by key, anything else by the later file. */
  readonly settings: Settings;
  readonly address: PostgresAddress;
}
