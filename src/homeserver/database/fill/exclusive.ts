import { MigrationError } from "../../../errors.ts";
import type { Postgres, PostgresAddress } from "../../../system/postgres/postgres.ts";

/**
 * Holds an advisory lock while this database is restored: two restores at once would each find it empty, and the second to commit
 * would fail on names that the first has created. The lock belongs to a transaction of this connection, so it is released however the run ends
 * (PostgreSQL documentation, Advisory Locks). Throws `target-not-empty` when another run has it.
 */
export async function fillExclusively<T>(
  address: PostgresAddress,
  postgres: Postgres,
  fill: () => Promise<T>,
): Promise<T> {
  const session = await postgres.connect(address);
  try {
    await session.begin();
    const { mine } = await session.one<{ mine: boolean }>(`SELECT pg_try_advisory_xact_lock(${KEY}) AS mine`);
    if (!mine) throw busy(address);
    return await fill();
  } finally {
    await session.close();
  }
}

/** "synlift" in ASCII. Advisory locks are a database's own. */
const KEY = String(0x73796e6c696674n);

const busy = ({ parameters }: PostgresAddress) =>
  new MigrationError(
    "target-not-empty",
    `another restore into database ${parameters["dbname"] ?? "of this user"} is running`,
    {
      hint: "wait until it has finished, or stop it and run the same command again; to restore something else at the same time, name another database with --database",
    },
  );
