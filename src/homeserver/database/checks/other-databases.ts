import type { Finding } from "../../../report/finding.ts";
import { formatBytes } from "../../../report/units.ts";
import { describeAddress } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import type { Homeserver } from "../../homeserver.ts";
import { connect } from "../address.ts";
import { databaseFacts } from "../facts.ts";
import { assertMasDatabase, assertStateDatabase } from "../identity.ts";
import { type OpenDatabase, openStateReadOnly, QUERY_TIMEOUT, reasonOf } from "../open.ts";
import { describeStore, inDatabase, type Store } from "../store.ts";
import { duplicateRows } from "./duplicates.ts";
import { findObstacles, obstacleFinding } from "./obstacles.ts";
import { orphanRows } from "./orphans.ts";
import { poolerFindings } from "./pooler.ts";
import { catalogueFindings, localeFindings } from "./postgres-findings.ts";
import { backgroundUpdates } from "./readiness.ts";
import { unreadableText } from "./text-check.ts";

type PostgresLook = Extract<OpenDatabase, { engine: "postgres" }>;

export interface OtherDatabasesInspection {
  readonly findings: readonly Finding[];
  /** On disk, of all of them. */
  readonly bytes: number;
}

/**
 * Everything about the databases besides the first, that of the state groups and that of the authentication service, that
 * could keep a move from working. Reads only. A question that fails becomes a finding. Throws `database-unreachable`.
 */
export async function inspectOtherDatabases(
  homeserver: Homeserver,
  deep: boolean,
  system: System,
  progress: Progress,
): Promise<OtherDatabasesInspection> {
  const findings: Finding[] = [];
  let bytes = 0;
  for (const [store, open] of [
    ["state", () => openStateReadOnly(homeserver, deep, system)],
    ["mas", () => openMas(homeserver, deep, system)],
  ] as const) {
    const opened = await open();
    if (!opened) continue;
    const one = await inspectOne(opened, store, deep, system, progress).finally(() => opened.session.close());
    findings.push(...one.findings);
    bytes += one.bytes;
  }
  return { findings, bytes };
}

async function openMas(
  { mas, mediaStore }: Homeserver,
  deep: boolean,
  system: System,
): Promise<PostgresLook | undefined> {
  if (!mas) return undefined;
  const options = { responseTimeout: deep ? QUERY_TIMEOUT.deep : QUERY_TIMEOUT.quick };
  const { session, address } = await connect(mas.address, system, mediaStore, options);
  return { engine: "postgres", session, address };
}

async function inspectOne(
  { session, address }: PostgresLook,
  store: Exclude<Store, "main">,
  deep: boolean,
  { programs, postgres, signal }: Pick<System, "programs" | "postgres" | "signal">,
  progress: Progress,
): Promise<OtherDatabasesInspection> {
  const findings: Finding[] = [];
  const which = describeStore(store);
  const where = `${which} ${describeAddress(address)}`;
  let bytes = 0;
  try {
    const facts = await databaseFacts(session);
    bytes = facts.size;
    const version = facts.serverVersionText.split(" ")[0]!;
    const sentence = `${where} is PostgreSQL ${version}, ${formatBytes(bytes)}`;
    findings.push({ id: "database", level: "ok", sentence });
    // The service wants no locale of its own.
    if (store === "mas") await assertMasDatabase(session);
    else {
      await assertStateDatabase(session);
      findings.push(...localeFindings(facts, deep), await backgroundUpdates(session));
    }
    findings.push(
      ...(await poolerFindings(address, postgres)),
      ...(await catalogueFindings(session, facts, store)),
      ...(await findObstacles(session, address, postgres)).map(obstacleFinding),
    );
    if (deep) {
      const text = await unreadableText(session, { address, encoding: facts.encoding, programs }, progress);
      findings.push(
        ...text.findings,
        ...(await duplicateRows(session, text.broken, progress)),
        ...(await orphanRows(session, { thorough: true, broken: text.broken }, progress)),
      );
    }
  } catch (error) {
    signal.throwIfAborted();
    findings.push({
      id: "database-check-incomplete",
      level: "blocker",
      sentence: `${where} could not be checked completely: ${reasonOf(error)}`,
      hint: "an export would fail in the same way: fix the cause, then run plan again",
    });
  }
  return { findings: findings.map((finding) => inDatabase(store, finding)), bytes };
}
