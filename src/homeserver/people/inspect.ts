import { noProgress, type Progress } from "../../system/progress.ts";
import { type QuerySession, quoteLiteral } from "../../system/query.ts";
import { type Coverages, measureCoverage } from "./coverage.ts";
import { ACTIVE_TIME, type Kind, type Person, readinessOf } from "./person.ts";
import { type AccountRow, type AccountsQuery, accountsSql, deactivatedSql } from "./query.ts";
import { type AccountData, hasOptedOut, secretStorageOf } from "./secret-storage.ts";
import { PeopleTally } from "./tally.ts";

export interface PeopleInspectOptions {
  readonly serverName: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** How far back to measure what backups can unlock: reads every encrypted event since then. Not at all when left out. */
  readonly coverageDays?: number | undefined;
  /** Count the keys in each backup, which reads an index of all of them; else 1 stands for "some". */
  readonly countKeys?: boolean;
  readonly progress?: Progress;
}

export interface People {
  /** Each account that was not deactivated, in the order of user ids. To be read once; memory stays flat. */
  readonly people: AsyncIterable<Person>;
  /** What was seen up to now: ask when `people` has ended. */
  readonly tally: PeopleTally;
}

/**
 * Lists the accounts, and who would lose encrypted messages if they had to sign in again. Reads only. Whether somebody still
 * has their recovery key cannot be seen from here. Throws what the session throws.
 *
 * The session is busy until `people` was read to its end.
 */
export async function inspectPeople(question: PeopleInspectOptions, session: QuerySession): Promise<People> {
  const { serverName, now, coverageDays = 0, countKeys = true, progress = noProgress } = question;
  const has = await readColumns(session, ["users", "dehydrated_devices"]);
  const { count: deactivated } = await session.one<{ count: number }>(deactivatedSql(serverName));
  const coverages = coverageDays > 0 ? await coveragesOf(session, question) : undefined;
  const tally = new PeopleTally(deactivated, coverageDays > 0 ? coverageDays : null);
  const rows = session.rows<AccountRow>(accountsSql({ engine: session.engine, serverName, countKeys, has }));
  return { people: counted(rows, { now, coverages, tally }, progress), tally };
}

async function coveragesOf(
  session: QuerySession,
  { now, coverageDays = 0, progress = noProgress }: PeopleInspectOptions,
): Promise<Coverages> {
  // How many there are is not known before they were read.
  progress.begin({ id: "users/coverage", label: "encrypted messages", unit: "rows" });
  const coverages = await measureCoverage(session, now - coverageDays * 24 * 3600_000);
  progress.end("users/coverage");
  return coverages;
}

interface PersonContext {
  readonly now: number;
  readonly coverages: Coverages | undefined;
  readonly tally: PeopleTally;
}

async function* counted(
  rows: AsyncIterable<AccountRow>,
  reading: PersonContext,
  progress: Progress,
): AsyncIterable<Person> {
  progress.begin({ id: "users/accounts", label: "accounts", unit: "rows" });
  for await (const row of rows) {
    const person = personOf(row, reading);
    reading.tally.add(person);
    progress.advance("users/accounts", 1);
    yield person;
  }
  progress.end("users/accounts");
}

/** Whether a number is a plausible time; implausible values in rows are ignored. */
const isTime = (time: number | null): time is number => time !== null && time >= 0 && time < LATEST;

/** 2100-01-01. */
const LATEST = 4_102_444_800_000;

function personOf(row: AccountRow, { now, coverages }: PersonContext): Person {
  const { userId, version, algorithm, keys } = row;
  const accountData = (
    typeof row.accountData === "string" ? JSON.parse(row.accountData) : (row.accountData ?? {})
  ) as AccountData;
  const seen = [row.deviceSeen, row.addressSeen, row.visited].filter(isTime);
  const lastSeen = seen.length === 0 ? null : Math.max(...seen);
  const backup = version === null ? null : { version, algorithm: algorithm ?? "", keys };
  const facts = {
    encryptingDevices: row.encryptingDevices,
    encryptedRooms: row.encryptedRooms,
    backup,
    coverage: backup && coverages ? (coverages.get(userId) ?? { sessions: 0, saved: 0 }) : null,
    optedOut: hasOptedOut(accountData),
    ...secretStorageOf(accountData),
  };
  const kind = kindOf(row);
  const readiness = readinessOf(facts);
  return {
    userId,
    kind,
    admin: row.admin !== 0,
    locked: Boolean(row.locked),
    devices: row.devices,
    lastSeen,
    active: lastSeen !== null && lastSeen >= now - ACTIVE_TIME,
    ...facts,
    crossSigning: row.crossSigningKeys === 3,
    dehydratedDevice: Boolean(row.dehydrated),
    readiness,
    atRisk: kind === "person" && !["ready", "not-needed"].includes(readiness),
  };
}

/** synapse/api/constants.py (UserTypes): other user types are the server's own names for people. */
function kindOf({ guest, appservice, userType }: AccountRow): Kind {
  if (guest !== 0) return "guest";
  if (appservice !== null && appservice !== "") return "appservice";
  return userType === "bot" || userType === "support" ? userType : "person";
}

/** What the schema has of these tables: a column or a table may have come with a later Synapse. */
export async function readColumns(
  session: QuerySession,
  tables: readonly string[],
): Promise<AccountsQuery["has"]> {
  const names = tables.map(quoteLiteral).join(", ");
  const columns = await session.all<{ table: string; column: string }>(
    session.engine === "postgres"
      ? `SELECT c.relname AS "table", a.attname AS "column" FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relname IN (${names}) AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped`
      : `SELECT m.name AS "table", c.name AS "column" FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name IN (${names})`,
  );
  return (table, column) =>
    columns.some((one) => one.table === table && (column === undefined || one.column === column));
}
