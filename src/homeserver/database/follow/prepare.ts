import { MigrationError, tryRead } from "../../../errors.ts";
import {
  type PostgresAddress,
  postgresCall,
  type PostgresSession,
} from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { type Administrator, connectRecorded } from "./administrator.ts";
import type { Place, SourceFacts, TargetFacts } from "./facts.ts";
import { type FollowedDatabases, readSourceFacts } from "./read-facts.ts";
import { setIdentities } from "./logical/identities.ts";
import { createPublication } from "./logical/publication.ts";
import { planPublication } from "./logical/tables.ts";
import { FOLLOW_ROLE, FollowRecord, markOf, type Road, slotNameOf } from "./record.ts";
import { restartPostgres, unitOfPostgres } from "./restart.ts";
import { createFollowRole, grantReading, needsGrants } from "./role.ts";
import { bytesOfSetting, judgeRoads, type RoadJudgement } from "./roads.ts";
import { reloadUntilUsed, writeAutoConf } from "./settings.ts";
import { undoFollow } from "./undo.ts";

export interface PrepareOrder {
  /** The UUID of the follow. */
  readonly id: string;
  readonly road: Road;
  readonly subject: string;
  /** Where the record is kept. */
  readonly folder: string;
  readonly databases: FollowedDatabases;
  readonly administrator: Administrator;
  readonly target: TargetFacts;
  /** Consent to restart PostgreSQL once. */
  readonly restart: boolean;
}

/** What the new host needs to follow. */
export interface Prepared {
  readonly place: Place;
  readonly role: string;
  readonly password: string;
  readonly slot: string | null;
  readonly publication: string | null;
  readonly facts: SourceFacts;
  /** Bytes. */
  readonly keeps: number;
}

/**
 * Changes the old PostgreSQL so that a copy can follow: the limit on what a copy may keep back first of all, then the role, and for
 * logical replication the identities and the publication. Every change is recorded before it is made, and so is the slot that the
 * new host makes. Proves that the role can log in. May be repeated with the same id, which gives the role a new password. What the
 * first run changed is undone when it fails. Throws `follow-impossible`, with nothing changed where the road does not fit.
 */
export async function prepareFollow(
  order: PrepareOrder,
  system: System,
  progress: Pick<Progress, "note">,
): Promise<Prepared> {
  const { id, road, subject, folder, administrator } = order;
  const slot = slotNameOf(id);
  const known = await FollowRecord.read(folder, system.files, system.machine);
  const isAgain = known?.id === id && known.activeChanges.length > 0;
  const facts = await readFactsWithout(isAgain ? slot : undefined, order, system);
  const judged = judgeRoads(facts, order.target)[road];
  assertFits(judged, facts, order, isAgain);
  const made = { id, road, subject, administrator: administrator.recorded };
  const record = await FollowRecord.open(folder, made, system.files, system.machine);
  try {
    return await prepare(record, { ...order, facts, judged, slot }, system, progress);
  } catch (error) {
    if (!isAgain && !(error instanceof RestartNeeded)) await undoQuietly(record, system, progress);
    throw error;
  }
}

/** PostgreSQL has to be restarted by a person, or does not run; what is changed so far stays. */
class RestartNeeded extends MigrationError {}

interface Preparing extends PrepareOrder {
  readonly facts: SourceFacts;
  readonly judged: RoadJudgement;
  readonly slot: string;
}

async function prepare(
  record: FollowRecord,
  { id, road, facts, judged, slot, administrator }: Preparing,
  system: System,
  progress: Pick<Progress, "note">,
): Promise<Prepared> {
  const connect = (dbname?: string) => connectRecorded(administrator.recorded, dbname, system);
  const within = async <T>(act: (session: PostgresSession) => Promise<T>, dbname?: string): Promise<T> => {
    const session = await connect(dbname);
    return act(session).finally(() => session.close());
  };
  for (const setting of judged.settings) {
    await record.apply(setting, async (change) => {
      if (change.kind !== "setting") return;
      await within(async (session) => {
        await writeAutoConf(session, change.name, change.after);
        if (!change.needsRestart) await reloadUntilUsed(session, change, system.machine);
      });
    });
    progress.note(`changed in PostgreSQL: ${setting.name} = ${setting.after}`);
  }
  if (judged.needsRestart) await restartForLogical(facts, connect, system, progress);

  const password = Buffer.from(system.machine.random(24)).toString("hex");
  const wanted = { role: FOLLOW_ROLE, id, password, serverVersion: facts.version };
  await record.apply({ kind: "role", name: FOLLOW_ROLE }, () =>
    within((session) => createFollowRole(session, wanted, system.machine)),
  );
  const names = [facts.database, facts.stateDatabase, facts.masDatabase].flatMap((name) => name ?? []);
  if (needsGrants(facts.version))
    for (const database of names)
      await record.apply({ kind: "grant", role: FOLLOW_ROLE, database }, () =>
        within((session) => grantReading(session, FOLLOW_ROLE), database),
      );
  const { place } = judged.access!;
  await assertLogsIn({ place, password, names, road }, system);
  if (road === "logical")
    await publish(record, { database: facts.database, slot, within, connect }, system, progress);
  // The new host makes it.
  if (judged.hasSlot) await record.intend({ kind: "slot", name: slot });
  return {
    place,
    role: FOLLOW_ROLE,
    password,
    slot: judged.hasSlot ? slot : null,
    publication: road === "logical" ? slot : null,
    facts,
    keeps: recordedLimit(record, facts) ?? judged.keeps,
  };
}

interface Publishing {
  readonly database: string;
  /** The name of slot and publication. */
  readonly slot: string;
  readonly connect: (dbname: string) => Promise<PostgresSession>;
  readonly within: <T>(act: (session: PostgresSession) => Promise<T>, dbname: string) => Promise<T>;
}

/** The identities first: a published table without one refuses UPDATE and DELETE, and with them people's messages. */
async function publish(
  record: FollowRecord,
  { database, slot, connect, within }: Publishing,
  { machine, signal }: System,
  progress: Pick<Progress, "note">,
): Promise<void> {
  const plan = await within(planPublication, database);
  const count = await setIdentities(plan, {
    record: async (change) => {
      await record.intend({ kind: "replica-identity", database, ...change });
    },
    connect: () => connect(database),
    machine,
    progress,
    signal,
  });
  if (count > 0) progress.note(`changed in PostgreSQL: the replica identity of ${count} tables`);
  await record.apply({ kind: "publication", name: slot, database }, () =>
    within((session) => createPublication(session, { name: slot, slot }), database),
  );
}

/** A run that is repeated may find less free, as a part is kept for it already. */
function recordedLimit({ activeChanges }: FollowRecord, facts: SourceFacts): number | undefined {
  const limit = activeChanges.find((change) => change.kind === "setting" && change.name !== "wal_level");
  return limit?.kind === "setting" ? bytesOfSetting(facts, limit.name, limit.after) : undefined;
}

/** Throws `follow-impossible`; when this run continues one that has changed something, only for what it still needs. */
function assertFits(judged: RoadJudgement, facts: SourceFacts, order: PrepareOrder, isAgain: boolean): void {
  const { road, id, restart } = order;
  const words = road === "standby" ? "physical replication (standby)" : "logical replication";
  if (judged.reasons.length > 0 && !(isAgain && judged.access))
    throw new MigrationError("follow-impossible", `${words} is not possible: ${judged.reasons.join("; ")}`, {
      hint: "nothing was changed; synlift plan on the old host says which kind of replication fits",
    });
  if (facts.role && facts.role.comment !== markOf(id))
    throw new MigrationError(
      "follow-impossible",
      `the role ${FOLLOW_ROLE} is of another follow (${facts.role.comment ?? "no comment"})`,
      {
        hint: "undo that one first: synlift follow stop on its new host, or synlift rollback with its folder on this one",
      },
    );
  const slot = slotNameOf(id);
  if (!isAgain && facts.slots.some(({ name }) => name === slot))
    throw new MigrationError(
      "follow-impossible",
      `there is a replication slot ${slot} that this follow did not make`,
      {
        hint: "nothing was changed; look whose it is: SELECT * FROM pg_replication_slots",
      },
    );
  if (judged.needsRestart && !restart)
    throw new MigrationError(
      "follow-impossible",
      "logical replication needs wal_level = logical, and for that one restart of PostgreSQL, in which Synapse loses its connections for some seconds",
      { hint: "nothing was changed; agree on a time, and run it again with --restart-postgresql" },
    );
}

/** Our own slot is no reason against us. */
async function readFactsWithout(
  slot: string | undefined,
  { databases, administrator }: PrepareOrder,
  system: System,
): Promise<SourceFacts> {
  const facts = await readSourceFacts(databases, administrator, system);
  return { ...facts, slots: facts.slots.filter(({ name }) => name !== slot) };
}

async function restartForLogical(
  facts: SourceFacts,
  connect: () => Promise<PostgresSession>,
  system: System,
  progress: Pick<Progress, "note">,
): Promise<void> {
  const unit = await unitOfPostgres(facts, system);
  if (unit === undefined)
    throw new RestartNeeded(
      "follow-impossible",
      "PostgreSQL has to be restarted now for wal_level = logical, and no systemd unit of it was found on the old host",
      {
        hint: "restart PostgreSQL, then run the same command again; synlift follow stop takes the setting back",
      },
    );
  progress.note(`restarting PostgreSQL: systemctl restart ${unit}`);
  try {
    await restartPostgres(unit, connect, system);
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== "start-failed") throw error;
    const { code, message, hint, reason } = error;
    throw new RestartNeeded(code, message, { hint, reason, cause: error });
  }
}

async function undoQuietly(
  record: FollowRecord,
  system: System,
  progress: Pick<Progress, "note">,
): Promise<void> {
  const undone = await tryRead(() => undoFollow(record, system, progress));
  for (const line of undone?.leftToDo ?? ["what was changed could not be undone: synlift rollback does it"])
    progress.note(`still to do on the old host: ${line}`);
}

interface Login {
  readonly place: Place;
  readonly password: string;
  readonly names: readonly string[];
  readonly road: Road;
}

/**
 * That the role gets in where the tunnel will end, in the same way: with a password, without TLS. For a standby a replication
 * connection, too. Throws `follow-impossible` with what PostgreSQL says.
 */
async function assertLogsIn(
  { place, password, names, road }: Login,
  { postgres, programs }: System,
): Promise<void> {
  const to = (dbname: string): PostgresAddress => ({
    parameters: {
      host: place.host,
      port: String(place.port),
      user: FOLLOW_ROLE,
      dbname,
      sslmode: "disable",
      gssencmode: "disable",
    },
    password,
  });
  try {
    for (const name of names) await (await postgres.connect(to(name))).close();
    if (road === "standby") {
      const { parameters } = to("replication");
      const physical = { parameters: { ...parameters, replication: "true" }, password };
      const ask = ["--no-psqlrc", "--tuples-only", "--command=IDENTIFY_SYSTEM"];
      await programs.run(postgresCall("psql", physical, ask));
    }
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError(
      "follow-impossible",
      `the role ${FOLLOW_ROLE} cannot log in at ${place.host}:${place.port}, where the tunnel would end: ${error.message}`,
      {
        hint: "look at pg_hba.conf, and whether PostgreSQL has read it again since it was changed: SELECT pg_reload_conf()",
        cause: error,
        reason: error.reason,
      },
    );
  }
}
