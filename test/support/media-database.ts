import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { realFiles } from "../../src/system/files/files.ts";
import { type QuerySession, quoteLiteral } from "../../src/system/query.ts";
import { realSqlite } from "../../src/system/sqlite/sqlite.ts";
import type { PostgresCluster } from "./lab/postgres-cluster.ts";
import { synapsePython } from "./lab/synapse-server.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { addressIn } from "./mini-synapse.ts";
import { postgres } from "./moved-database.ts";

/** A database with Synapse's own tables, in either engine, that media can be put into. */
export interface MediaDatabase {
  readonly engine: QuerySession["engine"];
  /** A read-only session, as the checks have it. */
  connect(): Promise<QuerySession>;
  run(sql: string): Promise<void>;
}

/** "old" is schema 72, before media was authenticated and hashed. */
export type Age = "old" | "new";

export async function mediaInPostgres(
  cluster: PostgresCluster,
  name: string,
  age: Age,
): Promise<MediaDatabase> {
  await cluster.createDatabase(name, { owner: "postgres" });
  const run = (sql: string) => cluster.sql(name, `set role postgres; ${sql}`).then(() => undefined);
  await run(schemaOf("postgres", age));
  return {
    engine: "postgres",
    run,
    connect: () => postgres.connect(addressIn(cluster, name, "postgres")),
  };
}

/** Open all the while, in the mode that Synapse sets: as beside a server that runs. */
export function mediaInSqlite(age: Age): MediaDatabase & { readonly path: string } {
  const path = join(temporaryFolder("sqlite"), "homeserver.db");
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL");
  const run = (sql: string) => {
    database.exec(`BEGIN; ${sql}; COMMIT`);
    return Promise.resolve();
  };
  void run(schemaOf("sqlite", age));
  const sqlite = realSqlite(realFiles, new AbortController().signal);
  return { engine: "sqlite", path, run, connect: () => sqlite.connect(path) };
}

/** Out of the Synapse in the lab: what it makes a new database of, and the changes to media since. */
export function schemaOf(engine: QuerySession["engine"], age: Age): string {
  const [schema] = globSync(
    join(dirname(synapsePython()), "../lib/python3*/site-packages/synapse/storage/schema"),
  );
  const read = (path: string) => readFileSync(join(schema!, path), "utf8");
  return [
    read(`common/full_schemas/72/full.sql.${engine}`),
    read(`main/full_schemas/72/full.sql.${engine}`),
    ...(age === "old"
      ? []
      : ["main/delta/86/01_authenticate_media.sql", "main/delta/91/01_media_hash.sql"].map(read)),
  ].join("\n");
}

type Values = Readonly<Record<string, string | number | null>>;

/** INSERT statements; what is left out of a row has its default. */
export function insert(table: string, rows: readonly Values[]): string {
  const literal = (value: string | number | null) =>
    value === null ? "NULL" : typeof value === "number" ? String(value) : quoteLiteral(value);
  return rows
    .map(
      (row) =>
        `INSERT INTO ${table} (${Object.keys(row).join(", ")}) VALUES (${Object.values(row).map(literal).join(", ")});`,
    )
    .join("\n");
}

const TABLES = [
  ...["local_media_repository", "local_media_repository_thumbnails", "local_media_repository_url_cache"],
  ...["remote_media_cache", "remote_media_cache_thumbnails", "destinations"],
  ...["room_stats_state", "profiles"],
];

export const emptied = TABLES.map((table) => `DELETE FROM ${table};`).join(" ");
