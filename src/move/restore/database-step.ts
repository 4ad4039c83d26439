import { MigrationError } from "../../errors.ts";
import {
  DATABASE_SECTION,
  dumpArtifact,
  MAS_DATABASE_SECTION,
  STATE_SECTION,
} from "../../homeserver/database/export.ts";
import { fillExclusively } from "../../homeserver/database/fill/exclusive.ts";
import {
  createDatabase,
  inspectTarget,
  isMissingDatabase,
} from "../../homeserver/database/fill/inspect-target.ts";
import { type BegunRestore, isMark, isMarked } from "../../homeserver/database/fill/interrupted.ts";
import { noteSearchPath, warnOfSuperuser } from "../../homeserver/database/fill/notes.ts";
import { withWhatIsLeft } from "../../homeserver/database/fill/not-empty.ts";
import { knowsRestrict } from "../../homeserver/database/fill/restrict.ts";
import { leaveOutUnknownSettings, readSettings } from "../../homeserver/database/fill/settings.ts";
import { removeUnencryptedDump } from "../../homeserver/database/fill/unencrypted-dump.ts";
import { verifyPortedDatabase } from "../../homeserver/database/port/gates.ts";
import { findProgram } from "../../homeserver/database/program.ts";
import { analyze, restoreDatabase } from "../../homeserver/database/restore.ts";
import { describeBehind, raiseSequences } from "../../homeserver/database/sequences.ts";
import { SQLITE_ARTIFACT } from "../../homeserver/database/sqlite/export.ts";
import { restoreSqlite } from "../../homeserver/database/sqlite/restore.ts";
import { schemaTable, type Store } from "../../homeserver/database/store.ts";
import { type DatabaseRestore, describeTarget, openTarget } from "../../homeserver/database/target.ts";
import { verifyDatabase } from "../../homeserver/database/verify.ts";
import type { Journal } from "../../journal/journal.ts";
import type { Step } from "../../journal/step.ts";
import type { Bytes } from "../../pipeline/transform.ts";
import type { Owner } from "../../system/files/owned-folder.ts";
import { type PostgresAddress, postgresProgramVersion } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import type { Delivery } from "./delivery.ts";
import { fillWithPgRestore, isCustomFormat, type PgRestoreOptions } from "./fill-with-pg-restore.ts";
import { fillByPort, isPorted, portedRows, type PortingByPython } from "./port-step.ts";

/** The restore step of each database. `filling` is the journal fact that names the bundle and the database during the restore. */
const PACKED = {
  main: { step: "restore/database", label: "database", filling: "filling" },
  state: { step: "restore/database-state", label: "state database", filling: "filling-state" },
  mas: {
    step: "restore/database-mas",
    filling: "filling-mas",
    label: "authentication service's database",
  },
} as const;

const SECTIONS = { main: DATABASE_SECTION, state: STATE_SECTION, mas: MAS_DATABASE_SECTION } as const;

const fillingFact = (id: string, { target }: DatabaseRestore) => `${id} ${describeTarget(target)}`;

/** Whether an earlier run started or finished restoring this database from this bundle. */
export const wasBegun = (id: string, restore: DatabaseRestore, journal: Journal) =>
  wasRestored(id, restore, journal) ||
  wasFilling(id, restore, journal) ||
  halfFilled(id, restore, journal) !== undefined;

/** Whether the journal says that this database was restored from this bundle. */
export const wasRestored = (id: string, restore: DatabaseRestore, journal: Journal) =>
  journal.steps[PACKED[restore.store].step]?.inputs["bundle"] === id;

/** The journal fact during a pg_restore, without the mark: an interruption leaves the database partly restored. */
const halfFact = (id: string, restore: DatabaseRestore) => `half ${fillingFact(id, restore)}`;

/** An unfinished pg_restore of this database from this bundle by an earlier run; undefined when there is none. */
export function halfFilled(id: string, restore: DatabaseRestore, journal: Journal): BegunRestore | undefined {
  const fact = journal.facts[PACKED[restore.store].filling];
  const bare = halfFact(id, restore);
  if (fact === bare) return { mark: undefined };
  const mark = fact?.startsWith(`${bare} `) ? fact.slice(bare.length + 1) : "";
  return isMark(mark) ? { mark } : undefined;
}

const wasFilling = (id: string, restore: DatabaseRestore, journal: Journal) =>
  journal.facts[PACKED[restore.store].filling] === fillingFact(id, restore);

/** The inventory section of a database. */
export const sectionName = (store: Store) => SECTIONS[store];

/** The plain name of a database's artifact. */
export const artifactOf = ({ store, section }: DatabaseRestore) =>
  section.engine === "sqlite" ? SQLITE_ARTIFACT : dumpArtifact(store, section.dumpFormat ?? "plain");

interface Into {
  readonly journal: Journal;
  /** The owner of an SQLite file. */
  readonly owner: Owner;
  /** For dumps in PostgreSQL's custom format. */
  readonly pgRestore?: PgRestoreOptions | undefined;
  /** Bytes of such a dump, decrypted. */
  readonly clearBytes?: ((one: DatabaseRestore) => number) | undefined;
  /** For a database of SQLite that becomes one of PostgreSQL. */
  readonly porting?: PortingByPython | undefined;
}

/** Restores the database. Already done when it was restored from this same bundle. */
export function databaseStep(
  delivery: Delivery,
  restore: DatabaseRestore,
  { journal, owner, pgRestore, clearBytes, porting }: Into,
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
    const partlyFilled = (mark: string) => journal.setFact(filling, `${halfFact(id, restore)} ${mark}`);
    if (target.engine === "postgres" && isPorted(restore)) {
      if (!porting) throw new TypeError("a database of SQLite needs `porting`");
      const begun = halfFilled(id, restore, journal);
      const from = { id, content, begun, partlyFilled, filled: begins };
      await fillByPort(target.address, restore, from, { porting, owner, journal }, system, progress);
    } else if (target.engine === "postgres" && isCustomFormat(restore)) {
      const write = delivery.write?.bind(delivery, artifactOf(restore), label);
      if (!pgRestore || !write) throw new TypeError("a custom dump needs `pgRestore` and `write`");
      const begun = halfFilled(id, restore, journal);
      const marks = { partlyFilled, filled: begins };
      const dump = { id, write, bytes: clearBytes?.(restore) ?? 0, label, begun, marks };
      await fillWithPgRestore(
        ...([target.address, restore, dump] as const),
        { from: pgRestore, owner, journal },
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
    id: step,
    label,
    inputs: { bundle: id, database },
    findFault: () => describeLoss(restore, system),
    async run() {
      await removeUnencryptedDump(journal, system.files, progress);
      if (!(await wasFilled(id, restore, journal, system))) await fill();
      if (target.engine === "postgres") {
        if (store !== "mas") await raiseAndTell(target.address, system, progress);
        await analyze(target.address, system.postgres);
      }
      return { database };
    },
  };
}

/**
 * Raises the sequences that were behind the ids in use on the old host already, as after a hard kill: with them, Synapse
 * would not start on either host.
 */
async function raiseAndTell(
  address: PostgresAddress,
  { postgres }: Pick<System, "postgres">,
  progress: Pick<Progress, "note">,
): Promise<void> {
  const session = await postgres.connect(address, { writes: true });
  const raised = await raiseSequences(session).finally(() => session.close());
  for (const one of raised)
    progress.note(`raised a sequence that was behind at the source: ${describeBehind(one)}`);
}

async function fillPostgres(
  address: PostgresAddress,
  { section, store }: DatabaseRestore,
  { content, begins }: { content: Bytes; begins: () => Promise<void> },
  system: System,
  progress: Progress,
): Promise<void> {
  const { commandPrefix } = address;
  const psql = await findProgram(
    { program: "psql", major: 0, versionText: "", through: commandPrefix },
    system,
  );
  const { text } = await postgresProgramVersion(psql, system.programs, commandPrefix);
  if (!knowsRestrict(text)) {
    progress.note(
      `psql ${text} cannot block meta-commands in a dump: restore only bundles you trust, or update psql`,
    );
  }
  const restrictKey = knowsRestrict(text) ? system.machine.uuid().replaceAll("-", "") : undefined;
  const wanted = { address, section, store };
  if (!(await inspectTarget(wanted, system.postgres))) await createDatabase(address, system.postgres);
  await warnOfSuperuser(address, system.postgres, progress);
  await fillExclusively(address, system.postgres, async () => {
    // Another run may have filled it a moment ago.
    await inspectTarget(wanted, system.postgres);
    await begins();
    const { programs } = system;
    const adapt = leaveOutUnknownSettings(await readSettings(address, system.postgres), (name) => {
      progress.note(`the dump sets ${name}, which this server does not know: that line was left out`);
    });
    await restoreDatabase(address, content, {
      programs,
      psql,
      restrictKey,
      adapt,
      store,
      kept: section.kept,
    }).catch(async (error: unknown) => {
      throw await withWhatIsLeft(error, address, system.postgres);
    });
  });
  await noteSearchPath(address, system.postgres, progress);
}

/**
 * Why a database that an earlier run restored is not usable; undefined when it is. A run that was interrupted after its
 * COMMIT counts as restored.
 */
export async function reasonNotRestored(
  id: string,
  restore: DatabaseRestore,
  journal: Journal,
  system: System,
): Promise<string | undefined> {
  const { target, store } = restore;
  const inputs = journal.steps[PACKED[store].step]?.inputs;
  if (inputs?.["bundle"] === id && inputs["database"] === describeTarget(target))
    return describeLoss(restore, system);
  return (await wasFilled(id, restore, journal, system)) ? undefined : "it is not on the new host";
}

/** What happened to a restored database; undefined when it is still there. */
async function describeLoss({ target, store }: DatabaseRestore, system: System): Promise<string | undefined> {
  try {
    // Left by a run that was interrupted while it added rows.
    if (target.engine === "sqlite" && (await system.files.lstat(`${target.path}-journal`)))
      await system.sqlite.execute(target.path, [], { recoverable: true });
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

/** Whether an earlier run finished restoring without recording it: the journal has only its start. */
export async function wasFilled(
  id: string,
  restore: DatabaseRestore,
  journal: Journal,
  system: System,
): Promise<boolean> {
  const { target } = restore;
  const mark = halfFilled(id, restore, journal)?.mark;
  // The COMMIT removes the mark. Rows alone prove nothing, because indexes are created after them.
  const unmarked =
    mark !== undefined &&
    target.engine === "postgres" &&
    !(await isMarked(target.address, mark, system.postgres));
  return (unmarked || wasFilling(id, restore, journal)) && (await isFilled(restore, journal, system));
}

/** Whether every gate of the database passes: a run that was interrupted after its COMMIT did not record it. */
async function isFilled(restore: DatabaseRestore, journal: Journal, system: System): Promise<boolean> {
  const { target, section, store } = restore;
  // The counts are saved before the COMMIT: without them there was no COMMIT.
  if (!("rows" in section)) return false;
  let session: QuerySession | undefined;
  try {
    session = await openTarget(target, system);
    if (!(await isThere(session, store))) return false;
    const findings = isPorted(restore)
      ? await verifyPortedDatabase(section, portedRows(journal), session)
      : await verifyDatabase(section, session, store);
    return findings.every(({ level }) => level !== "blocker");
  } catch (error) {
    // Missing, or not what it should be: the restore that follows reports it.
    if (error instanceof MigrationError) return false;
    throw error;
  } finally {
    await session?.close();
  }
}

const isCode = (error: unknown, code: MigrationError["code"]) =>
  error instanceof MigrationError && error.code === code;
