import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import { describeAddress, type Postgres, type PostgresAddress } from "../../../system/postgres/postgres.ts";
import { inspectTarget } from "../fill/inspect-target.ts";
import { createdbCommand } from "../locale.ts";
import type { DatabaseSection } from "../section.ts";

/** Milliseconds. */
const QUERY_TIMEOUT = 30_000;

/** Whether the database on the new host could be filled from this one: its engine, version, encoding and locale, and that it is empty. Reads only. */
export async function targetDatabaseFindings(
  address: PostgresAddress,
  /** The source; its `serverVersion` is server_version_num. */
  source: Pick<DatabaseSection, "engine" | "serverVersion">,
  postgres: Postgres,
): Promise<Finding[]> {
  const id = "target-database";
  const where = describeAddress(address);
  const looking: Postgres = {
    connect: (to) => postgres.connect(to, { responseTimeout: QUERY_TIMEOUT }),
  };
  try {
    const ports = source.engine === "sqlite";
    const there = await inspectTarget({ address, section: ports ? { serverVersion: 0 } : source }, looking);
    const sentence = there
      ? `the new database ${where} is empty and suitable for Synapse`
      : `the new database ${where} does not exist yet, and restore may create it`;
    return [
      {
        id,
        level: "ok",
        sentence: ports ? `${sentence}; SQLite arrives there with restore --port` : sentence,
      },
    ];
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const { code, message, hint } = error;
    const unreachable = code === "database-unreachable";
    return [
      {
        id: unreachable ? "target-database-unreachable" : id,
        level: unreachable ? "warning" : "blocker",
        sentence: message,
        hint: hint ?? `create it as Synapse requires: ${createdbCommand(source.serverVersion)}`,
      },
    ];
  }
}
