import { MigrationError } from "../../../errors.ts";
import { canReadArchivesOf } from "../../../system/formats/dump-archive.ts";
import { postgresProgramVersion } from "../../../system/postgres/postgres.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import type { DatabaseSource } from "../source.ts";

/** The format of a PostgreSQL dump: SQL for psql, or an archive that pg_restore restores over several connections. */
export const DUMP_FORMATS = ["plain", "custom"] as const;
export type DumpFormat = (typeof DUMP_FORMATS)[number];

/** The names of these formats in the manifest. */
export const CONTENT_FORMATS = { plain: "sql", custom: "pg-custom" } as const;

/** Throws `database-unsupported` when a database cannot be dumped in this format, or when synlift could not verify the dump. */
export async function assertDumpFormat(
  database: DatabaseSource,
  format: DumpFormat,
  programs: Programs,
): Promise<void> {
  if (format === "plain") return;
  if (database.engine === "sqlite")
    throw new MigrationError(
      "database-unsupported",
      `--db-format custom is a PostgreSQL format, and the database at ${database.path} is SQLite`,
      { hint: "omit the option: a SQLite database is packed as its file" },
    );
  for (const { pgDump, address, leftOut } of [database, database.state, database.mas].filter(
    (one) => one !== undefined,
  )) {
    if (leftOut.length > 0)
      throw new MigrationError(
        "database-unsupported",
        `objects of the database are left out, which --db-format custom cannot do: ${leftOut
          .slice(0, 3)
          .map(({ type, tag }) => `${type.toLowerCase()} ${tag}`)
          .join(", ")}`,
        { hint: "omit the option, or drop those objects before the export" },
      );
    const { major, text } = await postgresProgramVersion(pgDump, programs, address.commandPrefix);
    if (canReadArchivesOf(major)) continue;
    throw new MigrationError(
      "database-unsupported",
      `pg_dump ${text} is newer than this synlift, which cannot verify its custom-format dumps`,
      { hint: "omit the option: plain SQL can be verified; or use a newer synlift" },
    );
  }
}
