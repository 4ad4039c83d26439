import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { listTables } from "../../../homeserver/database/count.ts";
import { databaseFacts, majorOf } from "../../../homeserver/database/facts.ts";
import { fillExclusively } from "../../../homeserver/database/fill/exclusive.ts";
import { inspectTarget } from "../../../homeserver/database/fill/inspect-target.ts";
import {
  emptyDatabase,
  isMarked,
  markHalfFilled,
  newMark,
} from "../../../homeserver/database/fill/interrupted.ts";
import { noteSearchPath } from "../../../homeserver/database/fill/notes.ts";
import { UNENCRYPTED_DUMP } from "../../../homeserver/database/fill/unencrypted-dump.ts";
import { copyDatabase } from "../../../homeserver/database/follow/logical/copy.ts";
import { publishedTables } from "../../../homeserver/database/follow/logical/publication.ts";
import { createSlot, dropSlot, slotState } from "../../../homeserver/database/follow/logical/slot.ts";
import { subscribe } from "../../../homeserver/database/follow/logical/subscription.ts";
import { findProgram } from "../../../homeserver/database/program.ts";
import { analyze, finishDatabase } from "../../../homeserver/database/restore.ts";
import { createRole } from "../../../homeserver/database/role/create.ts";
import { formatCount } from "../../../report/units.ts";
import type { Account } from "../../../system/machine.ts";
import type { PostgresAddress, PostgresSession } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { recordFolder } from "../../restore/record.ts";
import { type FollowState, writeFollowState } from "../state.ts";
import { connectToOld, oldDatabase, oldServerForServer, openTunnel } from "../tunnel.ts";
import { addressesOf, type LogicalCopy, serverAccount, serverFacts } from "./choose.ts";

/** Connections at once that read the old database: it serves people meanwhile. */
const MOST_JOBS = 4;

interface Place {
  readonly configDir: string;
}

/**
 * Copies the old database and subscribes to its changes, unless an earlier run did. What an earlier run left in part is removed, and
 * copied again: a snapshot cannot outlive the connection that has it. Throws what a copy throws, `target-not-empty`, `bad-usage`.
 */
export async function copyLogical(
  state: FollowState,
  { configDir }: Place,
  system: System,
  progress: Progress,
): Promise<FollowState> {
  const here = logicalOf(state);
  if (state.stage !== "copying") {
    await writeFollowState(configDir, state, system.files);
    return state;
  }
  const addresses = await addressesOf(here, system);
  const account = await accountOf(addresses.role.administrator, system);
  const tunnel = await openTunnel(state, configDir, account, system);
  try {
    // Before anything is made here: it says best why the old server does not let the copy in.
    await (await connectToOld(state, configDir, system)).close();
    await createRole(addresses.role, system);
    const target = addresses.role.address;
    const { data } = await serverFacts(here, system);
    const copied = here.copied ? state : await copyRows(state, { configDir, target, data }, system, progress);
    const { old } = state;
    const administrator = await system.postgres.connect(addresses.administrator, { writes: true });
    try {
      const { passfile = "", ...publisher } = oldServerForServer(state);
      await subscribe(administrator, {
        name: here.subscription,
        publication: publicationOf(state),
        slot: slotOf(state),
        publisher: { ...publisher, dbname: old.database },
        passfile,
      });
    } finally {
      await administrator.close();
    }
    const following: FollowState = { ...copied, stage: "following" };
    await writeFollowState(configDir, following, system.files);
    progress.note(`the copy of ${state.serverName} is complete, and follows the old server`);
    return following;
  } finally {
    await tunnel.close();
  }
}

async function accountOf(administrator: PostgresAddress, system: System): Promise<Account> {
  const session = await system.postgres.connect(administrator);
  return serverAccount(session, system).finally(() => session.close());
}

/** Everything up to the position at which the slot begins; both sides are compared whole. */
async function copyRows(
  state: FollowState,
  { configDir, target, data }: Place & { target: PostgresAddress; data: string },
  system: System,
  progress: Progress,
): Promise<FollowState> {
  const { postgres, programs, files, machine, signal } = system;
  const here = logicalOf(state);
  const source = oldDatabase(state, configDir);
  const slot = slotOf(state);
  const old = await postgres.connect(source, { writes: true });
  try {
    const complete = await completedBefore(here, target, { old, slot }, system);
    if (complete) return await save(state, { ...here, mark: null, copied: complete }, configDir, system);
    // Of a run that was broken off: what it holds back is of no use.
    await dropSlot(old, slot, machine);
    const tables = await publishedTables(old, publicationOf(state));
    if (!tables)
      throw new MigrationError(
        "database-unsupported",
        `the old database has no publication ${publicationOf(state)} any more`,
        {
          hint: "take away what was begun, then begin again: synlift follow stop",
        },
      );
    const { serverVersion, serverVersionText } = await databaseFacts(old);
    const found = await findPrograms({ serverVersion, serverVersionText }, target, system);
    const wanted = { address: target, section: { serverVersion } };
    return await fillExclusively(target, postgres, async () => {
      const before = { mark: here.mark ?? undefined, rows: undefined };
      if (here.mark !== null) await emptyDatabase(target, before, { postgres, machine });
      await inspectTarget(wanted, postgres);
      const mark = newMark(machine.uuid());
      await save(state, { ...here, mark }, configDir, system);
      await markHalfFilled(target, { mark, from: `the database of ${state.serverName}` }, postgres);
      progress.note(
        "waiting for a moment at which no transaction of the old database is older than the copy",
      );
      const begun = await createSlot({ address: source, slot, serverVersion, psql: found.psql }, programs);
      const folder = join(recordFolder(configDir), "follow-definitions");
      await files.makeFolder(folder);
      await files.setMode(folder, 0o700);
      try {
        const contents = await copyDatabase(
          {
            source,
            target,
            tables,
            folder,
            data,
            programs: found,
            snapshot: begun.snapshot,
            jobs: Math.max(1, Math.min(machine.cores, MOST_JOBS)),
            snapshotRead: () => begun.close(),
          },
          { postgres, programs, files, machine, progress, signal },
        );
        await finishDatabase(target, { programs, psql: found.psql, mark, allRows: true });
        const all = Object.values(contents);
        const rows = all.reduce((sum, one) => sum + one.rows, 0);
        progress.note(
          `all ${formatCount(rows)} rows in ${all.length} tables are the same on both hosts at position ${begun.position} of the old server's log`,
        );
      } finally {
        await begun.close();
        await removeDefinitions(folder, system);
      }
      await analyze(target, postgres);
      await noteSearchPath(target, postgres, progress);
      const copied = { at: new Date(machine.now()).toISOString(), position: begun.position };
      return save(state, { ...here, mark: null, copied }, configDir, system);
    });
  } finally {
    await old.close();
  }
}

/**
 * What a run that was killed has copied to the end without recording it: the transaction that ends a copy drops its mark. The slot
 * still is where the copy was made.
 */
async function completedBefore(
  { mark }: LogicalCopy,
  target: PostgresAddress,
  { old, slot }: { old: PostgresSession; slot: string },
  { postgres, machine }: System,
): Promise<LogicalCopy["copied"] | undefined> {
  if (mark === null || (await isMarked(target, mark, postgres))) return undefined;
  const session = await postgres.connect(target);
  const tables = await listTables(session).finally(() => session.close());
  const begun = await slotState(old, slot);
  if (tables.length === 0 || !begun || begun.walStatus === "lost") return undefined;
  await analyze(target, postgres);
  return { at: new Date(machine.now()).toISOString(), position: begun.confirmed };
}

async function removeDefinitions(folder: string, { files }: System): Promise<void> {
  for (const name of [UNENCRYPTED_DUMP, `.${UNENCRYPTED_DUMP}.unfinished`])
    await files.remove(join(folder, name));
  await files.removeEmptyFolder(folder);
}

async function save(
  state: FollowState,
  here: LogicalCopy,
  configDir: string,
  { files }: System,
): Promise<FollowState> {
  const saved: FollowState = { ...state, here };
  await writeFollowState(configDir, saved, files);
  return saved;
}

async function findPrograms(
  { serverVersion, serverVersionText }: { serverVersion: number; serverVersionText: string },
  target: PostgresAddress,
  system: System,
): Promise<{ pgDump: string; pgRestore: string; psql: string }> {
  const session = await system.postgres.connect(target);
  const there = await databaseFacts(session).finally(() => session.close());
  const source = { major: majorOf(serverVersion), versionText: serverVersionText };
  return {
    pgDump: await findProgram({ program: "pg_dump", ...source }, system),
    pgRestore: await findProgram(
      {
        program: "pg_restore",
        major: Math.min(source.major, majorOf(there.serverVersion)),
        versionText: serverVersionText,
      },
      system,
    ),
    psql: await findProgram({ program: "psql", major: 0, versionText: "" }, system),
  };
}

/** Throws `bad-usage` for a copy that is a standby. */
export function logicalOf({ here }: Pick<FollowState, "here">): LogicalCopy {
  if (here.kind === "logical") return here;
  throw new MigrationError("bad-usage", "this copy is a standby, and no subscription");
}

export function slotOf({ old }: Pick<FollowState, "old">): string {
  if (old.slot !== null) return old.slot;
  throw new MigrationError(
    "database-unsupported",
    "logical replication needs a replication slot on the old host, and none was made",
  );
}

function publicationOf({ old }: Pick<FollowState, "old">): string {
  if (old.publication !== undefined) return old.publication;
  throw new MigrationError(
    "database-unsupported",
    "logical replication needs a publication on the old host, and none was made",
  );
}
