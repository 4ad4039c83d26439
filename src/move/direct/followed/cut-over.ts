import { MigrationError } from "../../../errors.ts";
import { STATISTICS_DELAY_MS } from "../../../homeserver/database/count.ts";
import type { Counters, Followed } from "../../../homeserver/database/follow/compare/comparison.ts";
import {
  assertOnlyWrittenBySynlift,
  compareAtCut,
  CUT_LIMITS,
} from "../../../homeserver/database/follow/compare/cut.ts";
import type { Sides } from "../../../homeserver/database/follow/compare/sides.ts";
import {
  type CountedTables,
  readTables,
  wasWritten,
} from "../../../homeserver/database/follow/compare/tables.ts";
import { compareWhole } from "../../../homeserver/database/follow/compare/whole.ts";
import { restoreRoleDefault } from "../../../homeserver/database/fence.ts";
import type { DatabaseSection } from "../../../homeserver/database/section.ts";
import { describeBehind, raiseSequences } from "../../../homeserver/database/sequences.ts";
import { excludedRows, NOTHING_KEPT, removeExcludedRows } from "../../../homeserver/scope.ts";
import type { PostgresSession } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { type FollowState, writeFollowState } from "../../follow/state.ts";
import { oldDatabase } from "../../follow/tunnel.ts";
import type { OldHostMessages } from "../protocol.ts";
import type { FollowingCopy, FollowingDatabase } from "./following-copy.ts";
import { COMPARED_FILE, type Compared, type Cut, savedComparison, savedCut } from "./saved.ts";
import { readFollowedSection } from "./section.ts";

/** What the cut-over works on: the tunnel to the old database is open, and no other process follows. */
export interface CutOver {
  readonly state: FollowState;
  readonly configDir: string;
  readonly copy: FollowingCopy;
}

const sidesOf = (
  { state, configDir }: Pick<CutOver, "state" | "configDir">,
  { oldName, administrator }: FollowingDatabase,
  { postgres }: Pick<System, "postgres">,
): Sides => ({
  old: () => postgres.connect(oldDatabase(state, configDir, oldName)),
  copy: () => postgres.connect(administrator),
});

/** Compares every row of every database while the old server runs, and saves what was found. Throws `comparison-failed`. */
export async function compareBeforehand(cut: CutOver, system: System, progress: Progress): Promise<Compared> {
  const { state, configDir, copy } = cut;
  const { machine, signal } = system;
  const found: Partial<Record<FollowingDatabase["store"], Compared["main"]>> = {};
  for (const database of copy.databases)
    found[database.store] = await compareWhole(sidesOf(cut, database, system), copy, {
      follows: copy.covers.bind(copy),
      machine,
      signal,
      progress,
    });
  const { main, state: ofState } = found;
  if (!main) throw new TypeError("the main database always follows");
  const compared = { follow: state.id, main, ...(ofState ? { state: ofState } : {}) };
  await savedComparison.write(configDir, compared, system.files);
  await writeFollowState(
    configDir,
    { ...state, compared: { at: main.at, position: main.position, file: COMPARED_FILE } },
    system.files,
  );
  return compared;
}

/** Resolves once the copy has everything that the old server has written until now: it is connected, then. Throws `connection-failed`. */
export const catchUp = async (cut: CutOver, system: System): Promise<void> =>
  cut.copy.reach(await lastPosition(cut, system));

/** Whether the old server still counts on from the comparison: not after a crash there. */
export async function isComparisonUsable(cut: CutOver, compared: Compared, system: System): Promise<boolean> {
  for (const database of cut.copy.databases) {
    const before = compared[database.store];
    const session = await sidesOf(cut, database, system).old();
    const { since } = await readTables(session).finally(() => session.close());
    if (before?.countedSince !== since) return false;
  }
  return true;
}

/**
 * The cut-over, once the old server is fenced: waits until the copy has everything, compares, makes it a server of its own, and
 * lifts what the fence has brought here. Returns the inventory's sections. May be repeated after an interruption at any moment. Throws
 * `comparison-failed`, `source-changed`, `connection-failed`, `restore-failed`.
 */
export async function cutOver(
  cut: CutOver,
  compared: Compared,
  { roles }: Pick<OldHostMessages["fenced"], "roles">,
  system: System,
  progress: Progress,
): Promise<Partial<Record<FollowingDatabase["store"], DatabaseSection>>> {
  const { state, configDir, copy } = cut;
  const { files } = system;
  let made: Cut;
  if (await copy.follows()) {
    made = await compareFenced(cut, compared, roles, system, progress);
    // From here on the copy may be a server of its own: the next run must know what it has.
    await savedCut.write(configDir, made, files);
    await writeFollowState(configDir, { ...(await latest(state, compared)), stage: "fenced" }, files);
    await copy.detach();
  } else made = await readInterrupted(cut, system);
  await writeFollowState(configDir, { ...(await latest(state, compared)), stage: "detached" }, files);
  const sections: Partial<Record<FollowingDatabase["store"], DatabaseSection>> = {};
  if (copy.ofWholeServer) {
    await liftFence(cut, made, system);
    for (const database of copy.databases) if (!made.writing) await assertUntouched(database, system);
  }
  const writing = { ...made, writing: true };
  await savedCut.write(configDir, writing, files);
  for (const database of copy.databases)
    sections[database.store] = await finishDatabase(database, { cut, compared, made }, system, progress);
  await writeFollowState(configDir, { ...(await latest(state, compared)), stage: "done" }, files);
  return sections;
}

/** The comparison may have been made after the state was read. */
const latest = (state: FollowState, { main }: Compared): Promise<FollowState> =>
  Promise.resolve({ ...state, compared: { at: main.at, position: main.position, file: COMPARED_FILE } });

async function compareFenced(
  cut: CutOver,
  compared: Compared,
  roles: Cut["roles"],
  system: System,
  progress: Progress,
): Promise<Cut> {
  const { machine } = system;
  const position = await lastPosition(cut, system);
  await cut.copy.reach(position);
  const at = new Date(machine.now()).toISOString();
  const found: Partial<Cut["databases"]> = {};
  for (const database of cut.copy.databases) {
    const whole = compared[database.store];
    if (!whole) throw new TypeError("every database was compared beforehand");
    const sides = sidesOf(cut, database, system);
    const session = await sides.old();
    try {
      const { since, tables } = await readTables(session);
      const section = await readFollowedSection(session, database.store);
      const result = await compareAtCut(sides, whole, {
        follows: cut.copy.covers.bind(cut.copy),
        limits: CUT_LIMITS,
        machine,
        progress,
      });
      found[database.store] = {
        ...result,
        tables: { ...result.tables },
        section,
        counters: countersIn(tables),
        countedSince: since,
      };
    } finally {
      await session.close();
    }
  }
  const { main, state } = found;
  if (!main) throw new TypeError("the main database always follows");
  return {
    format: "synlift-cut",
    version: 1,
    follow: cut.state.id,
    position,
    at,
    roles: roles.map((role) => ({ ...role })),
    databases: { main, ...(state ? { state } : {}) },
    writing: false,
  };
}

/**
 * The position after everything that the old server has written, which is on its disk and will be sent: a record of our own, committed,
 * takes along what was committed without waiting for the disk (PostgreSQL documentation, Asynchronous Commit).
 */
async function lastPosition({ state, configDir }: CutOver, { postgres }: System): Promise<string> {
  const session = await postgres.connect(oldDatabase(state, configDir), { writes: true });
  try {
    await session.run(
      "SET LOCAL synchronous_commit = 'local'; SELECT pg_logical_emit_message(true, 'synlift', 'cut-over');",
    );
    const { position } = await session.one<{ position: string }>(
      "SELECT pg_current_wal_flush_lsn()::text AS position",
    );
    return position;
  } finally {
    await session.close();
  }
}

/** What the run before this one has found, if the old server has not written since. Throws `source-changed`, `target-unsuitable`. */
async function readInterrupted(cut: CutOver, system: System): Promise<Cut> {
  const made = await savedCut.read(cut.configDir, cut.state, system.files);
  if (!made)
    throw new MigrationError("target-unsuitable", "the copy was promoted, and not by a cut-over of synlift", {
      hint: "it is no copy any more: begin again with synlift follow stop, then synlift follow",
    });
  for (const database of cut.copy.databases) {
    const before = made.databases[database.store];
    const session = await sidesOf(cut, database, system).old();
    const { since, tables } = await readTables(session).finally(() => session.close());
    if (before?.countedSince === since && sameCounters(before.counters, tables)) continue;
    throw new MigrationError(
      "source-changed",
      "the old server has written since the copy was promoted, and the copy does not have these changes",
      {
        hint: "the copy cannot follow any more: synlift follow stop, then synlift follow, and cut over again; meanwhile the old server can run (on the old host: synlift rollback)",
      },
    );
  }
  return made;
}

const sameCounters = (before: Readonly<Record<string, Counters>>, now: CountedTables["tables"]) =>
  Object.keys(before).length === now.size &&
  [...now].every(([name, { counters }]) => before[name] && !wasWritten(before[name], counters));

const countersIn = (tables: CountedTables["tables"]): Record<string, Counters> =>
  Object.fromEntries([...tables].map(([name, { counters }]) => [name, { ...counters }]));

/** The fence of the old host is in its log, and so here too. Nothing else was meant by it. */
async function liftFence({ copy }: CutOver, { roles }: Cut, { postgres }: System): Promise<void> {
  for (const { oldName, administrator } of copy.databases) {
    const due = roles.filter(({ database }) => database === oldName);
    if (due.length === 0) continue;
    const session = await postgres.connect(administrator, { writes: true });
    try {
      for (const one of due) await restoreRoleDefault(session, one);
    } finally {
      await session.close();
    }
  }
}

/** A standby counts nothing that comes with the log. */
async function assertUntouched({ administrator }: FollowingDatabase, { postgres }: System): Promise<void> {
  const session = await postgres.connect(administrator);
  try {
    assertOnlyWrittenBySynlift(await readTables(session), new Set());
  } finally {
    await session.close();
  }
}

/** Deletes what is not moved, raises sequences that were behind on the old host already, and counts what was written here. */
async function finishDatabase(
  { store, target, administrator }: FollowingDatabase,
  { cut: { state, copy }, compared, made }: { cut: CutOver; compared: Compared; made: Cut },
  { postgres, machine, signal }: System,
  progress: Progress,
): Promise<DatabaseSection> {
  const [whole, seen] = [compared[store], made.databases[store]];
  if (!whole || !seen) throw new TypeError("every database was compared");
  // As the new server itself logs in: what does not work for it is seen here.
  const session = await postgres.connect(target, { writes: true });
  try {
    if (store === "main") await session.run(removeExcludedRows("postgres").join("\n"));
    for (const one of await raiseSequences(session, { indexed: true }))
      progress.note(`raised a sequence that was behind at the source: ${describeBehind(one)}`);
  } finally {
    await session.close();
  }
  const { since, tables } = await countedNow(administrator, { postgres, machine, signal });
  if (copy.ofWholeServer && store === "main")
    assertOnlyWrittenBySynlift({ since, tables }, namesOfExcluded(tables));
  const followed: Followed = {
    road: state.road,
    whole: { at: whole.at, position: whole.position },
    cut: { at: made.at, position: made.position, seconds: seen.seconds },
    tables: seen.tables,
    counters: countersIn(tables),
    countedSince: since,
  };
  const rows = Object.fromEntries(Object.entries(seen.tables).map(([name, one]) => [name, one.rows]));
  return { ...seen.section, rows, followed };
}

const namesOfExcluded = (tables: CountedTables["tables"]): ReadonlySet<string> => {
  const names = new Set(excludedRows(NOTHING_KEPT).map(({ table }) => table));
  return new Set([...tables.keys()].filter((name) => names.has(name.split(".").at(-1) ?? "")));
};

const CLOSING_WAIT_MS = 20;
const CLOSING_LOOKS = 500;

/** Connections of this run to the session's database, besides it. */
async function ownLeft(session: PostgresSession): Promise<number> {
  const pids = session.ownBackends.map(({ pid }) => pid).join(", ");
  const { count } = await session.one<{ count: number }>(
    `SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid IN (${pids})`,
  );
  return count;
}

async function countedNow(
  address: FollowingDatabase["administrator"],
  { postgres, machine, signal }: Pick<System, "postgres" | "machine" | "signal">,
): Promise<CountedTables> {
  const session: PostgresSession = await postgres.connect(address);
  try {
    const { version } = await session.one<{ version: number }>(
      "SELECT current_setting('server_version_num')::int AS version",
    );
    // A connection that was closed here ends a moment later there, and tells what it has written as it does.
    for (let left = CLOSING_LOOKS; left > 0 && (await ownLeft(session)) > 0; left -= 1)
      await machine.wait(CLOSING_WAIT_MS, signal);
    if (version < 150_000) await machine.wait(STATISTICS_DELAY_MS, signal);
    return await readTables(session);
  } finally {
    await session.close();
  }
}
