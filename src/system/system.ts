import type { Dns } from "./dns/dns.ts";
import type { Files } from "./files/files.ts";
import type { Http } from "./http/http.ts";
import type { Prober } from "./http/probe.ts";
import type { WebServers } from "./http/serve.ts";
import type { StreamLines } from "./http/stream-line.ts";
import type { StreamServers } from "./http/stream-server.ts";
import type { Machine } from "./machine.ts";
import type { Postgres } from "./postgres/postgres.ts";
import type { Gpg, Programs } from "./programs/programs.ts";
import type { ObjectStores } from "./s3/object-store.ts";
import type { Sqlite } from "./sqlite/sqlite.ts";
import type { Terminal } from "./terminal.ts";

/** Access to the host, each part an interface with one real implementation, passed down from `main.ts`. */
export interface System {
  readonly files: Files;
  readonly programs: Programs;
  readonly gpg: Gpg;
  readonly postgres: Postgres;
  readonly sqlite: Sqlite;
  readonly http: Http;
  readonly webServers: WebServers;
  readonly streamLines: StreamLines;
  readonly streamServers: StreamServers;
  readonly prober: Prober;
  readonly objects: ObjectStores;
  /** Uses this host's resolvers. */
  readonly dns: Dns;
  readonly machine: Machine;
  readonly terminal: Terminal;
  /** Aborted, with an `Interrupted` as its reason, when the run is to stop. */
  readonly signal: AbortSignal;
}
