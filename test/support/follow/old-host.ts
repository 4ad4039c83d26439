import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PostgresCluster } from "../lab/postgres-cluster.ts";

/**
 * All that a copy that follows could leave behind on the old host, as text: what PostgreSQL's catalogues and its files have, and the
 * files in synlift's folder there. Two of them are equal when nothing was left.
 */
export async function tracesOnOldHost(
  cluster: PostgresCluster,
  database: string,
  exportFolder: string,
): Promise<Readonly<Record<string, readonly string[]>>> {
  const rows = async (where: string, text: string) =>
    (await cluster.sql(where, text)).split("\n").filter((row) => row !== "");
  return {
    slots: await rows("postgres", "select slot_name from pg_replication_slots order by 1"),
    roles: await rows(
      "postgres",
      "select rolname, rolsuper, rolreplication, rolcanlogin from pg_roles where rolname !~ '^pg_' order by 1",
    ),
    "settings of roles and databases": await rows(
      "postgres",
      "select setdatabase::regclass, setrole::regrole, setconfig from pg_db_role_setting order by 1, 2",
    ),
    "settings that are in effect": await rows(
      "postgres",
      "select name, setting, source from pg_settings where name ~ 'wal|slot|replication|sender' and context <> 'internal' order by 1",
    ),
    "postgresql.auto.conf": linesOf(join(cluster.dataFolder, "postgresql.auto.conf")),
    "pg_hba.conf": linesOf(join(cluster.dataFolder, "pg_hba.conf")),
    publications: await rows(database, "select pubname from pg_publication order by 1"),
    identities: await rows(
      database,
      "select oid::regclass, relreplident from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relreplident <> 'd' order by 1",
    ),
    "tables and sequences": await rows(
      database,
      "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'S') and relname !~ '^_temp_' order by 1",
    ),
    connections: await rows(
      "postgres",
      "select distinct usename from pg_stat_activity where usename ~ 'synlift' or backend_type = 'walsender' order by 1",
    ),
    files: existsSync(exportFolder)
      ? readdirSync(exportFolder).filter((name) => !isUndone(exportFolder, name))
      : [],
  };
}

/** Whether it is the record of what was changed for a copy, and all of it was undone: that stays, as what was done there. */
function isUndone(folder: string, name: string): boolean {
  if (name !== "follow.json") return false;
  const { changes } = JSON.parse(readFileSync(join(folder, name), "utf8")) as {
    changes: { undone: string | null }[];
  };
  return changes.every(({ undone }) => undone !== null);
}

const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"));
