import { realDns } from "./dns/dns.ts";
import { realFiles } from "./files/files.ts";
import { ownGpg } from "./gpg/gpg.ts";
import { realHttp } from "./http/http.ts";
import { realProber } from "./http/probe.ts";
import { realWebServers } from "./http/serve.ts";
import { realStreamLines } from "./http/stream-line.ts";
import { realStreamServers } from "./http/stream-server.ts";
import type { Machine } from "./machine.ts";
import { realPostgres } from "./postgres/postgres.ts";
import { realPrograms } from "./programs/programs.ts";
import { realObjectStores } from "./s3/s3.ts";
import { realSqlite } from "./sqlite/sqlite.ts";
import type { System } from "./system.ts";
import type { Terminal } from "./terminal.ts";

/** This host. `close` removes what was needed for the run only, and may be called at any time. */
export function realSystem(given: {
  readonly machine: Machine;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly environment: NodeJS.ProcessEnv;
}): { readonly system: System; readonly close: () => void } {
  const { machine, terminal, signal, environment } = given;
  const programs = realPrograms(environment, signal);
  const ownedGpg = ownGpg(programs, machine.temporary, machine);
  const system = {
    files: realFiles,
    programs,
    gpg: ownedGpg.gpg,
    postgres: realPostgres(programs),
    sqlite: realSqlite(realFiles, signal),
    http: realHttp,
    webServers: realWebServers,
    streamLines: realStreamLines,
    streamServers: realStreamServers,
    prober: realProber,
    objects: realObjectStores(signal),
    dns: realDns(),
    machine,
    terminal,
    signal,
  };
  return {
    system,
    close: () => {
      ownedGpg.close();
    },
  };
}
