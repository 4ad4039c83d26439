import { MigrationError } from "../../errors.ts";
import {
  DATABASE_SECTION,
  dumpArtifact,
  MAS_DATABASE_SECTION,
  STATE_SECTION,
} from "../../homeserver/database/export.ts";
import { removeClearDump } from "../../homeserver/database/fill/clear-dump.ts";
import { fillAlone } from "../../homeserver/database/fill/exclusive.ts";
import { type Begun, isMark, isMarked } from "../../homeserver/database/fill/half-filled.ts";
import {
  createDatabase,
  inspectTarget,
  isMissingDatabase,
} from "../../homeserver/database/fill/inspect-target.ts";
import { tellSearchPath, warnOfSuperuser } from "../../homeserver/database/fill/remarks.ts";
import { knowsRestrict } from "../../homeserver/database/fill/restrict.ts";
import { findProgram } from "../../homeserver/database/program.ts";
import { analyze, restoreDatabase } from "../../homeserver/database/restore.ts";
import { SQLITE_ARTIFACT } from "../../homeserver/database/sqlite/export.ts";
import { restoreSqlite } from "../../homeserver/database/sqlite/restore.ts";
import { schemaTable, type Store } from "../../homeserver/database/store.ts";
import { type DatabaseRestore, describeTarget, openTarget } from "../../homeserver/database/target.ts";
import { verifyDatabase } from "../../homeserver/database/verify.ts";
import type { Journal } from "../../journal/journal.ts";
import type { Step } from "../../journal/step.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import type { Owner } from "../../system/files/owned-folder.ts";
import { type PostgresAddress, postgresProgramVersion } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import type { Delivery } from "./delivery.ts";
import { comesAsArchive, fillFromArchive, type FromArchives } from "./fill-with-pg-restore.ts";

/** What is restored of each store. `filling` is what the journal says meanwhile: by which bundle, and which database. */
const PACKED = {
  main: { step: "restore/database", label: "database", filling: "filling" },
  state: { step: "restore/database-state", label: "state database", filling: "filling-state" },
  mas: {
    ...{ step: "restore/database-mas", filling: "filling-mas" },
    label: "authentication service's database",
  },
} as const;

const SECTIONS = { main: DATABASE_SECTION, state: STATE_SECTION, mas: MAS_DATABASE_SECTION } as const;

const fillingFact = (id: string, { target }: DatabaseRestore) => `${id} ${describeTarget(target)}`;

/** Whether an earlier run began to fill this database from this bundle, or has filled it. */
export const wasBegun = (id: string, restore: DatabaseRestore, journal: Journal) =>
  wasRestored(id, restore, journal) ||
  wasFilling(id, restore, journal) ||
  halfFilled(id, restore, journal) !== undefined;

/** Whether an earlier run has filled this database from this bundle, and said so. */
export const wasRestored = (id: string, restore: DatabaseRestore, journal: Journal) =>
  journal.steps[PACKED[restore.store].step]?.inputs["bundle"] === id;

/** What the journal says while pg_restore fills it, before the mark: where that breaks off, something is left. */
const halfFact = (id: string, restore: DatabaseRestore) => `half ${fillingFact(id, restore)}`;

/** What an earlier run began that was to fill this database from this bundle, over several connections, and came to no end. */
export function halfFilled(id: string, restore: DatabaseRestore, journal: Journal): Begun | undefined {
  const fact = journal.facts[PACKED[restore.store].filling];
  const bare = halfFact(id, restore);
  if (fact === bare) return { mark: undefined };
  const mark = fact?.startsWith(`${bare} `) ? fact.slice(bare.length + 1) : "";
  return isMark(mark) ? { mark } : undefined;
}

const wasFilling = (id: string, restore: DatabaseRestore, journal: Journal) =>
  journal.facts[PACKED[restore.store].filling] === fillingFact(id, restore);

/** Under which name it was counted. */
export const sectionName = (store: Store) => SECTIONS[store];

/** What a database is packed as, by its plain name. */
export const artifactOf = ({ store, section }: DatabaseRestore) =>
  section.engine === "sqlite" ? SQLITE_ARTIFACT : dumpArtifact(store, section.dumpFormat ?? "plain");

interface Into {
  readonly journal: Journal;
  /** Whom a file is to belong to. */
  readonly owner: Owner;
  /** Where one comes as such, */
  readonly archives?: FromArchives | undefined;
  /** and how large it is. */
  readonly clearBytes?: (one: DatabaseRestore) => number;
}

/** Fills the database. Done when it was filled by this very bundle. */
export function databaseStep(
  delivery: Delivery,
  restore: DatabaseRestore,
  { journal, owner, archives, clearBytes }: Into,
  system: System,
  progress: Progress,
): Step {
  const { id } = delivery;
  const { target, store, section } = restore;
  const { step, label, filling } = PACKED[store];
  const database = describeTarget(target);
  const fill = async () => {
    const content = delivery.content(artifactOf(restore), label);
    const begins = () => journal.setFact(filling, fillingFact(id, restore));
    if (target.engine === "postgres" && comesAsArchive(restore)) {
      const write = delivery.write?.bind(delivery, artifactOf(restore), label);
      if (!archives || !write) throw new TypeError("nobody said where and how a dump is written down");
      const begun = halfFilled(id, restore, journal);
      const half = (mark: string) => journal.setFact(filling, `${halfFact(id, restore)} ${mark}`);
      const marks = { half, whole: begins };
      const dump = { id, write, bytes: clearBytes?.(restore) ?? 0, label, begun, marks };
      await fillFromArchive(
        ...([target.address, restore, dump] as const),
        { from: archives, owner, journal },
        system,
        progress,
      );
    } else if (target.engine === "postgres") {
      await fillPostgres(target.address, restore, { content, begins }, system, progress);
    } else {
      await begins();
      await restoreSqlite(target.path, content, { ...system, owner, kept: section.kept });
    }
  };
  return {
    ...{ id: step, label },
    inputs: { bundle: id, database },
    check: () => whatIsGone(restore, system),
    async run() {
      await removeClearDump(journal, system.files, progress);
      if (!(await wasFilled(id, restore, journal, system))) await fill();
      if (target.engine === "postgres") await analyze(target.address, system.postgres);
      return { database };
    },
  };
}

async function fillPostgres(
  address: PostgresAddress,
  { section, store }: DatabaseRestore,
  { content, begins }: { content: Bytes; begins: () => Promise<void> },
  system: System,
  progress: Progress,
): Promise<void> {
  const { through } = address;
  const psql = await findProgram({ program: "psql", major: 0, versionText: "", through }, system);
  const { text } = await postgresProgramVersion(psql, system.programs, through);
  if (!knowsRestrict(text)) {
    progress.note(
      `psql ${text} cannot be kept from commands in a dump: restore only what you trust, or update it`,
    );
  }
  const guardKey = knowsRestrict(text) ? system.machine.uuid().replaceAll("-", "") : undefined;
  const wanted = { address, section, store };
  if (!(await inspectTarget(wanted, system.postgres))) await createDatabase(address, system.postgres);
  await warnOfSuperuser(address, system.postgres, progress);
  await fillAlone(address, system.postgres, async () => {
    // Another run may have filled it a moment ago.
    await inspectTarget(wanted, system.postgres);
    await begins();
    const { programs } = system;
    await restoreDatabase(address, content, { programs, psql, guardKey, store, kept: section.kept });
  });
  await tellSearchPath(address, system.postgres, progress);
}

/**
 * Why a database is not there as an earlier run has filled it; undefined when it is. One that was filled by a run which
 * was stopped after its COMMIT is there.
 */
export async function whyNotRestored(
  id: string,
  restore: DatabaseRestore,
  journal: Journal,
  system: System,
): Promise<string | undefined> {
  const { target, store } = restore;
  const inputs = journal.steps[PACKED[store].step]?.inputs;
  if (inputs?.["bundle"] === id && inputs["database"] === describeTarget(target))
    return whatIsGone(restore, system);
  return (await wasFilled(id, restore, journal, system)) ? undefined : "the new host does not have it";
}

/** What became of a database that was filled; undefined when it is still there. */
async function whatIsGone({ target, store }: DatabaseRestore, system: System): Promise<string | undefined> {
  try {
    // Left by a run that was stopped while it added rows.
    if (target.engine === "sqlite" && (await system.files.look(`${target.path}-journal`)))
      await system.sqlite.change(target.path, [], { mendable: true });
    const session = await openTarget(target, system);
    return (await isThere(session, store).finally(() => session.close()))
      ? undefined
      : "the database was emptied";
  } catch (error) {
    if (isMissingDatabase(error)) return "the database was dropped";
    if (target.engine === "sqlite" && isCode(error, "file-missing")) return "the database was removed";
    throw error;
  }
}

async function isThere(session: QuerySession, store: Store): Promise<boolean> {
  const { there } = await session.one<{ there: number }>(
    session.engine === "postgres"
      ? `SELECT CASE WHEN to_regclass('${schemaTable(store)}') IS NULL THEN 0 ELSE 1 END AS there`
      : "SELECT count(*) AS there FROM sqlite_master WHERE name = 'schema_version'",
  );
  return there > 0;
}

/** Whether an earlier run came to its end, of which the journal knows the beginning: it could not say so any more. */
export async function wasFilled(
  id: string,
  restore: DatabaseRestore,
  journal: Journal,
  system: System,
): Promise<boolean> {
  const { target } = restore;
  const mark = halfFilled(id, restore, journal)?.mark;
  // The mark goes with the COMMIT. Rows alone do not tell: indexes come after them.
  const unmarked =
    mark !== undefined &&
    target.engine === "postgres" &&
    !(await isMarked(target.address, mark, system.postgres));
  return (unmarked || wasFilling(id, restore, journal)) && (await isFilled(restore, system));
}

/** Whether every gate of the database is passed already: a run that was stopped after its COMMIT could not say so. */
async function isFilled({ target, section, store }: DatabaseRestore, system: System): Promise<boolean> {
  // What was counted is written down before the COMMIT: where it is not, there was none.
  if (!("rows" in section)) return false;
  let session: QuerySession | undefined;
  try {
    session = await openTarget(target, system);
    if (!(await isThere(session, store))) return false;
    return (await verifyDatabase(section, session, store)).every(({ level }) => level !== "blocker");
  } catch (error) {
    // Not there yet, or not what it should be: what comes next says so in its own words.
    if (error instanceof MigrationError) return false;
    throw error;
  } finally {
    await session?.close();
  }
}

const isCode = (error: unknown, code: MigrationError["code"]) =>
  error instanceof MigrationError && error.code === code;
