import type { Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import { describeAddress, type Postgres } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import type { Schema } from "../synapse-versions.ts";
import { duplicateRows } from "./checks/duplicates.ts";
import { missingKeys } from "./checks/missing-keys.ts";
import { findObstacles, obstacleFinding } from "./checks/obstacles.ts";
import { orphanRows } from "./checks/orphans.ts";
import { poolerFindings } from "./checks/pooler.ts";
import { catalogueFindings, localeFindings } from "./checks/postgres-findings.ts";
import {
  backgroundUpdates,
  partialRooms,
  schemaOf,
  sequenceFindings,
  unknownTables,
} from "./checks/readiness.ts";
import { type TableSize, tableSizes } from "./checks/sizes.ts";
import { FULL_CHECK_LIMIT, sqliteFindings } from "./checks/sqlite-findings.ts";
import { unreadableText } from "./checks/text-check.ts";
import { type DatabaseFacts, databaseFacts } from "./facts.ts";
import { foreignDatabase, foreignUsers, schemaMissing, tableNames } from "./identity.ts";
import { databaseConnections } from "./in-use.ts";
import { type OpenDatabase, reasonOf } from "./open.ts";

export interface DatabaseInspection {
  readonly findings: readonly Finding[];
  readonly facts: DatabaseLookFacts;
}

/** The facts about an inspected database. Contains no secret. */
export interface DatabaseLookFacts {
  readonly engine: "postgres" | "sqlite";
  /** "15.18"; SQLite's own version there. */
  readonly version: string;
  /** server_version_num; null for SQLite. */
  readonly serverVersion: number | null;
  /** Bytes on disk. */
  readonly bytes: number;
  readonly encoding: string;
  readonly collate: string;
  /** The largest first; empty where it was not measured. */
  readonly tables: readonly TableSize[];
  /** Null when it is not a Synapse database. */
  readonly schema: Schema | null;
}

export interface DatabaseInspectOptions {
  readonly serverName: string;
  /** Read everything: duplicates, text, integrity. */
  readonly deep: boolean;
  readonly running: boolean;
}

/**
 * Everything about the database that could keep a move from working. Reads only. A question that fails becomes a
 * finding, and ends the questions on that session; what was found before stays. Throws only when the run is to stop.
 */
export async function inspectDatabase(
  look: OpenDatabase,
  questions: DatabaseInspectOptions,
  system: Pick<System, "files" | "programs" | "postgres" | "signal">,
  progress: Progress,
): Promise<DatabaseInspection> {
  const findings: Finding[] = [];
  const facts = await generalFacts(look, system);
  let schema: Schema | null = null;
  let tables: readonly TableSize[] = [];
  const where = look.engine === "sqlite" ? look.path : describeAddress(look.address);
  findings.push({
    id: "database",
    level: "ok",
    sentence: `the database ${where} is ${look.engine === "sqlite" ? "SQLite" : "PostgreSQL"} ${facts.version}, ${formatBytes(facts.bytes)}`,
  });
  try {
    const names = await tableNames(look.session);
    const foreign = foreignDatabase(names, where);
    findings.push(...foreign);
    if (look.engine === "postgres") {
      findings.push(...(await poolerFindings(look.address, system.postgres)));
      findings.push(
        ...(await postgresFindings(look, { facts: facts.server!, deep: questions.deep }, system.postgres)),
      );
      findings.push(...(await databaseConnections(look.session)).others);
    } else {
      findings.push(...(await sqliteFindings({ ...look, ...questions, bytes: facts.bytes }, system.files)));
    }
    const readable = !findings.some(({ id, level }) => id === "sqlite-integrity" && level === "blocker");
    if (readable && (look.engine === "postgres" || questions.deep || facts.bytes <= FULL_CHECK_LIMIT))
      tables = await tableSizes(look.session);
    if (foreign.length === 0) {
      schema = (await schemaOf(look.session)) ?? null;
      if (schema === null) findings.push(await schemaMissing(look.session, where));
      findings.push(...(await synapseFindings(look.session, questions, names, schema)));
    }
    if (look.engine === "postgres" && questions.deep) {
      const from = { address: look.address, encoding: facts.encoding, programs: system.programs };
      const text = await unreadableText(look.session, from, progress);
      findings.push(
        ...text.findings,
        ...(await duplicateRows(look.session, text.broken, progress)),
        ...(await orphanRows(look.session, { thorough: true, broken: text.broken }, progress)),
      );
    }
  } catch (error) {
    system.signal.throwIfAborted();
    findings.push(incompleteFinding(where, reasonOf(error)));
  }
  const { server: _, ...known } = facts;
  return { findings, facts: { ...known, tables, schema } };
}

type General = Omit<DatabaseLookFacts, "tables" | "schema"> & { readonly server?: DatabaseFacts };

async function generalFacts(look: OpenDatabase, { files }: Pick<System, "files">): Promise<General> {
  if (look.engine === "postgres") {
    const server = await databaseFacts(look.session);
    const { serverVersionText, serverVersion, size: bytes, encoding, collate } = server;
    // Debian adds its package's version in brackets.
    const version = serverVersionText.split(" ")[0]!;
    return { engine: "postgres", version, serverVersion, bytes, encoding, collate, server };
  }
  const { version } = await look.session.one<{ version: string }>("SELECT sqlite_version() AS version");
  const bytes = (await files.stat(look.path))?.size ?? 0;
  const wal = (await files.stat(`${look.path}-wal`))?.size ?? 0;
  return {
    engine: "sqlite",
    version,
    serverVersion: null,
    bytes: bytes + wal,
    encoding: "UTF8",
    collate: "C",
  };
}

async function postgresFindings(
  { session, address }: Extract<OpenDatabase, { engine: "postgres" }>,
  { facts, deep }: { readonly facts: DatabaseFacts; readonly deep: boolean },
  postgres: Postgres,
): Promise<Finding[]> {
  return [
    ...localeFindings(facts, deep),
    ...(await catalogueFindings(session, facts)),
    ...(await findObstacles(session, address, postgres)).map(obstacleFinding),
  ];
}

async function synapseFindings(
  session: QuerySession,
  { serverName, deep }: DatabaseInspectOptions,
  names: ReadonlySet<string>,
  schema: Schema | null,
): Promise<Finding[]> {
  return [
    await foreignUsers(session, serverName),
    await backgroundUpdates(session),
    ...(session.engine === "postgres" ? [await sequenceFindings(session)] : []),
    ...(await partialRooms(session, names)),
    ...(schema === null ? [] : unknownTables(names, schema)),
    ...(schema === null ? [] : await missingKeys(session, schema, { deep })),
  ];
}

const incompleteFinding = (where: string, reason: string): Finding => ({
  id: "database-check-incomplete",
  level: "blocker",
  sentence: `the database ${where} could not be checked completely: ${reason}`,
  hint: "an export would fail in the same way: fix the cause, then run plan again",
});
