import { MigrationError } from "../../../errors.ts";
import { describeAddress, type Postgres, type PostgresAddress } from "../../../system/postgres/postgres.ts";
import { describeObjects, objectsInDatabase } from "./contents.ts";

/**
 * The error of a restore in one transaction, as it is to be thrown. The database was empty before and is so again, unless the dump
 * itself ended the transaction: no pg_dump writes such a dump, and then the error says what is in the database. Nothing is removed.
 * Returns `error` unchanged where the database is empty, or cannot be asked.
 */
export async function withWhatIsLeft(
  error: unknown,
  address: PostgresAddress,
  postgres: Postgres,
): Promise<unknown> {
  if (!(error instanceof MigrationError)) return error;
  const left = await readObjects(address, postgres);
  if (left.length === 0) return error;
  return new MigrationError(
    error.code,
    `${error.message}; the dump ended the transaction by itself, and database ${describeAddress(address)} now has ${describeObjects(left)}`,
    {
      hint: "pg_dump writes no such dump: it was changed, so ask the person who made the bundle; drop the database before anything else is restored into it, and look at what else its owner may write to",
      reason: error.reason,
      cause: error,
    },
  );
}

async function readObjects(address: PostgresAddress, postgres: Postgres) {
  try {
    const session = await postgres.connect(address);
    return await objectsInDatabase(session).finally(() => session.close());
  } catch (error) {
    if (error instanceof MigrationError) return [];
    throw error;
  }
}
