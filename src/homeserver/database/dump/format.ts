import { MigrationError } from "../../../errors.ts";
import { knowsArchivesOf } from "../../../system/formats/dump-archive.ts";
import { postgresProgramVersion } from "../../../system/postgres/postgres.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import type { DatabaseSource } from "../source.ts";

/** How a database of PostgreSQL is dumped: as SQL for psql, or as an archive that pg_restore fills in by several connections. */
export const DUMP_FORMATS = ["plain", "custom"] as const;
export type DumpFormat = (typeof DUMP_FORMATS)[number];

/** What the manifest says that a dump is. */
export const CONTENT_FORMATS = { plain: "sql", custom: "pg-custom" } as const;

/** Throws `database-unsupported` when a database cannot be dumped so, or nobody could look whether the dump is whole. */
export async function mustBeDumpedSo(
  database: DatabaseSource,
  format: DumpFormat,
  programs: Programs,
): Promise<void> {
  if (format === "plain") return;
  if (database.engine === "sqlite")
    throw new MigrationError(
      "database-unsupported",
      `--db-format custom is PostgreSQL's own format, and the database at ${database.path} is of SQLite`,
      { hint: "leave the option out: SQLite travels as its file" },
    );
  for (const { pgDump, address } of [database, database.state, database.mas].filter(
    (one) => one !== undefined,
  )) {
    const { major, text } = await postgresProgramVersion(pgDump, programs, address.through);
    if (knowsArchivesOf(major)) continue;
    throw new MigrationError(
      "database-unsupported",
      `pg_dump ${text} is newer than this synlift, which cannot tell whether what it writes with --db-format custom is whole`,
      { hint: "leave the option out: of plain SQL it can be told; or use a newer synlift" },
    );
  }
}
