// The two ends of the demo's move, on PostgreSQL where there is one, else on SQLite.
import { execFileSync } from "node:child_process";
import type { Population } from "../test/support/lab/populate.ts";
import { postgresPrograms } from "../test/support/lab/postgres-cluster.ts";
import { freePort } from "../test/support/lab/server-process.ts";
import { makeNewPlace, makeOldServer, type OldServer } from "../test/support/old-server.ts";
import { makeOldSqlite, makeSqlitePlace, type OldSqlite, rowsIn } from "../test/support/old-sqlite.ts";
import { rowCounts } from "../test/support/row-counts.ts";

export interface Hosts {
  /** For people. */
  readonly database: "PostgreSQL" | "SQLite";
  readonly old: Pick<OldServer, "server" | "home" | "configPaths"> & { readonly people: Population };
  readonly target: {
    readonly url: string;
    readonly configDir: string;
    readonly restoreArgs: readonly string[];
    readonly startCommand: string;
    readonly stopCommand: string;
  };
  /** Of every table of the new database. */
  rows(): Promise<ReadonlyMap<string, number>>;
  /** Stops all of it. */
  stop(): Promise<void>;
}

/** Whether the demo is to run on SQLite: where nothing else is there, or somebody asks for it. */
export const onSqlite = (args: readonly string[]) =>
  args.includes("sqlite") || postgresPrograms() === undefined;

export async function makeHosts(sqlite: boolean): Promise<Hosts> {
  return sqlite ? hostsOf(await makeOldSqlite()) : hostsOnPostgres(await makeOldServer());
}

async function hostsOnPostgres(old: OldServer): Promise<Hosts> {
  const target = await makeNewPlace(old.cluster, "new", await freePort());
  return {
    ...{ database: "PostgreSQL", old, target },
    rows: () => rowCounts(old.cluster, target.database),
    async stop() {
      await stopBoth(old, target);
      await old.cluster.stop();
    },
  };
}

async function hostsOf(old: OldSqlite): Promise<Hosts> {
  const target = makeSqlitePlace(await freePort());
  return {
    ...{ database: "SQLite", old, target },
    rows: () => Promise.resolve(rowsIn(target.path)),
    stop: () => stopBoth(old, target),
  };
}

async function stopBoth({ server }: Hosts["old"], { stopCommand }: Hosts["target"]): Promise<void> {
  execFileSync("sh", ["-c", `${stopCommand} 2>/dev/null || true`]);
  await server.stop();
}
