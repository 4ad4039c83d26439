import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import {
  describeAddress,
  type PostgresAddress,
  postgresCall,
  postgresProgramVersion,
  withoutRowValues,
} from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { connect } from "../address.ts";
import { assertNoPoolerBeforeTarget } from "../checks/pooler.ts";
import { excludeExtensions } from "../dump/extensions.ts";
import { leaveOutEntries } from "../dump/left-out.ts";
import { SCHEMA_ARGUMENTS } from "../export.ts";
import { majorOf } from "../facts.ts";
import { isMissingDatabase } from "../fill/inspect-target.ts";
import { knowsRestrict, restrictDump } from "../fill/restrict.ts";
import { leaveOutUnknownSettings, readSettings } from "../fill/settings.ts";
import { findProgram } from "../program.ts";
import type { TrialSource } from "../source.ts";
import { inDatabase } from "../store.ts";
import { EntryLines, type RejectedStatement, rejectedStatements } from "./entries.ts";
import { readTrialServer, type TrialServer, withThrowAwayDatabase } from "./throw-away.ts";

/** The id of its findings, and of what `--accept` takes. */
export const SCHEMA_TRIAL = "schema-trial";

/**
 * Restores the schemas of these databases, without rows, each into a throw-away database of the server at `on`, as its dump would be.
 * The databases are dropped again. What the server rejects is a warning that names the objects. Throws
 * `database-unreachable`, and what pg_dump throws.
 */
export async function trySchemas(
  sources: readonly TrialSource[],
  on: PostgresAddress,
  system: System,
  progress: Progress,
): Promise<Finding[]> {
  const { session, address } = await connectToServer(on, system);
  await session.close();
  await assertNoPoolerBeforeTarget(address, system.postgres);
  const server = await readTrialServer(address, system.postgres);
  const findings: Finding[] = [];
  for (const source of sources) {
    const finding = await tryOne(source, server, system, progress);
    findings.push(source.store === "main" ? finding : inDatabase(source.store, finding));
  }
  return findings;
}

/** The database that is to be filled need not exist yet. */
async function connectToServer(on: PostgresAddress, system: System) {
  try {
    return await connect(on, system);
  } catch (error) {
    if (!isMissingDatabase(error)) throw error;
    return connect({ ...on, parameters: { ...on.parameters, dbname: "postgres" } }, system);
  }
}

async function tryOne(
  source: TrialSource,
  server: TrialServer,
  system: System,
  progress: Progress,
): Promise<Finding> {
  const where = `${describeAddress({ ...server.address, parameters: { ...server.address.parameters, dbname: "a throw-away database" } })}, PostgreSQL ${server.versionText}, as ${server.user}`;
  const impossible = reasonAgainst(source, server);
  if (impossible !== undefined)
    return {
      id: SCHEMA_TRIAL,
      level: "warning",
      sentence: `the schema could not be tried in ${where}: ${impossible.reason}`,
      hint: impossible.hint,
    };
  const id = `trial/${source.store}`;
  progress.begin({ id, label: "trial of the schema", unit: "bytes" });
  const rejected = await withThrowAwayDatabase(server, system, progress, (address) =>
    restoreSchema(source, address, system),
  );
  progress.end(id);
  if (rejected.length === 0)
    return {
      id: SCHEMA_TRIAL,
      level: "ok",
      sentence: `the schema was restored into ${where}, without an error, and that database was dropped again`,
    };
  return {
    id: SCHEMA_TRIAL,
    level: "warning",
    sentence: `the schema could not be restored completely into ${where}: a restore there would fail`,
    evidence: rejected,
    hint: `correct or drop these objects, or install what they need on that server; only if the new server differs from it: --accept ${SCHEMA_TRIAL}`,
  };
}

function reasonAgainst(
  source: TrialSource,
  server: TrialServer,
): { readonly reason: string; readonly hint: string } | undefined {
  if (!server.mayCreate)
    return {
      reason: "this user may not create databases",
      hint: `as a superuser: ALTER ROLE ${server.user} CREATEDB; or name another user in --try-on`,
    };
  const [there, here] = [majorOf(server.serverVersion), majorOf(source.serverVersion)];
  if (there >= here) return undefined;
  return {
    reason: `it is older than the source, PostgreSQL ${here}`,
    hint: `name a server of PostgreSQL ${here} or newer: a dump cannot be restored into an older version`,
  };
}

/** What was rejected, a line each: "view public.slow: relation … does not exist". */
async function restoreSchema(
  { address, pgDump, leftOut }: TrialSource,
  into: PostgresAddress,
  system: System,
): Promise<string[]> {
  const { programs, postgres } = system;
  const session = await postgres.connect(address);
  const { major } = await postgresProgramVersion(pgDump, programs, address.commandPrefix);
  const extensions = await excludeExtensions(session, major).finally(() => session.close());
  const call = postgresCall(pgDump, address, [...SCHEMA_ARGUMENTS, ...extensions.args]);
  const dump = programs.pipe({ ...call, mapError: withoutRowValues });
  const psql = await findProgram({ program: "psql", major: 0, versionText: "" }, system);
  const { text } = await postgresProgramVersion(psql, programs);
  const key = knowsRestrict(text) ? system.machine.uuid().replaceAll("-", "") : undefined;
  const known = await readSettings(into, postgres);
  const lines = new EntryLines();
  const left = leaveOutEntries([...leftOut, ...extensions.entries])(dump);
  const script = lines.watch(restrictDump(key)(leaveOutUnknownSettings(known, () => undefined)(left)));
  const running = await programs.start(
    postgresCall(psql, into, [
      ...["--no-psqlrc", "--quiet", "--tuples-only", "--output=/dev/null", "--file=-"],
      ...["--set=VERBOSITY=verbose", "--set=SHOW_CONTEXT=never"],
    ]),
  );
  const silence = (async () => {
    for await (const _ of running.output);
  })();
  silence.catch(() => undefined);
  try {
    for await (const chunk of script) await running.write(chunk);
  } catch (error) {
    running.kill();
    await running.close();
    throw error;
  }
  const ended = await running.close();
  await silence;
  // psql(1), EXIT STATUS: 2 the connection went bad.
  if (ended.code !== 0)
    throw new MigrationError(
      "program-failed",
      `psql ended with exit code ${ended.code ?? "unknown"} during the trial`,
      {
        hint: "look at the log of that database server, and run the same command again",
      },
    );
  return describe(rejectedStatements(ended.stderrStart), lines);
}

/** The first message for each object: what follows is often a consequence. */
function describe(rejected: readonly RejectedStatement[], lines: EntryLines): string[] {
  const byName = new Map<string, string>();
  for (const { line, message } of rejected) {
    const name = lines.at(line) ?? "the beginning of the dump";
    if (!byName.has(name)) byName.set(name, message);
  }
  return [...byName].map(([name, message]) => `${name}: ${message}`);
}
