import { MigrationError, reasonOf } from "../../../errors.ts";
import { formatBytes } from "../../../report/units.ts";
import {
  connectionString,
  type PostgresAddress,
  type PostgresSession,
} from "../../../system/postgres/postgres.ts";
import { quoteLiteral } from "../../../system/query.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { describeStderr } from "../../../system/programs/ssh.ts";
import { FULL } from "./free-space.ts";
import type { StandbyServer } from "./standby.ts";
import { serverCall } from "./standby-server.ts";

export interface BaseBackup {
  /** The old server for this process. */
  readonly old: PostgresAddress;
  /** The same for programs of the new server's account: libpq's keywords. */
  readonly oldForServer: Readonly<Record<string, string>>;
  readonly slot: string | null;
  /** "spread" takes the time of a checkpoint, some minutes, and does not slow down the old server; "fast" writes at once. */
  readonly checkpoint: "spread" | "fast";
  /** As pg_basebackup takes it: bytes a second, such as 20M. */
  readonly maxRate: string | undefined;
}

/** Milliseconds between two looks at the progress. */
const LOOK_MS = 1000;

/**
 * Copies the data folder of the old server into an empty one, while it runs. The slot is made before, or made anew where an earlier copy
 * was broken off: then it has kept what is not needed any more. Throws `disk-full`, `program-failed`, `database-unreachable`.
 */
export async function copyOldServer(
  backup: BaseBackup,
  server: StandbyServer,
  system: System,
  progress: Progress,
): Promise<void> {
  const session = await system.postgres.connect(backup.old, { writes: true });
  try {
    if (backup.slot !== null) await makeSlot(backup.slot, session, system);
    await copyWithProgress(backup, server, session, system, progress);
  } finally {
    await session.close();
  }
}

/**
 * Ends what a killed run has left copying into this folder. It would go on writing there and, when it fails, remove what is there: so it is
 * killed, and gone before anything else happens.
 */
export async function endCopies(
  { data, programs: folder }: StandbyServer,
  { machine, programs, signal }: System,
): Promise<void> {
  const left = () =>
    machine.processes().filter(({ args }) => args[0] === `${folder}/pg_basebackup` && args.includes(data));
  for (let found = left(); found.length > 0; found = left()) {
    const pids = found.map(({ pid }) => String(pid));
    // They may end meanwhile.
    await programs.run({ name: "kill", args: ["-KILL", ...pids] }).catch(() => undefined);
    await machine.wait(100, signal);
  }
}

interface SlotState {
  readonly active: boolean;
}

async function makeSlot(slot: string, session: PostgresSession, { machine, signal }: System): Promise<void> {
  const find = () =>
    session.all<SlotState>(`SELECT active FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(slot)}`);
  let found = await find();
  // The connection of a killed pg_basebackup may last until the server notices.
  for (let wait = 0; found[0]?.active === true && wait < 60; wait++) {
    await machine.wait(1000, signal);
    found = await find();
  }
  if (found.length > 0) await session.run(`SELECT pg_drop_replication_slot(${quoteLiteral(slot)});`);
  await session.run(`SELECT pg_create_physical_replication_slot(${quoteLiteral(slot)}, true);`);
}

/** From PostgreSQL 13 on. */
const PROGRESS = `
  SELECT phase, backup_total::float8 AS total, backup_streamed::float8 AS streamed FROM pg_stat_progress_basebackup`;

interface Copied {
  readonly phase: string;
  readonly total: number | null;
  readonly streamed: number;
}

async function copyWithProgress(
  backup: BaseBackup,
  server: StandbyServer,
  session: PostgresSession,
  system: System,
  progress: Progress,
): Promise<void> {
  const { files, machine, programs, signal } = system;
  const { slot, checkpoint, maxRate } = backup;
  const args = [
    ...["--no-password", "-d", connectionString(backup.oldForServer), "-D", server.data],
    ...["-X", "stream", "-c", checkpoint, ...(slot === null ? [] : ["-S", slot])],
    // Without it the old server does not estimate how much there is.
    ...["--progress", ...(maxRate === undefined ? [] : ["--max-rate", maxRate])],
  ];
  const { tells } = await session.one<{ tells: boolean }>(
    "SELECT to_regclass('pg_catalog.pg_stat_progress_basebackup') IS NOT NULL AS tells",
  );
  const over = new AbortController();
  const copying = programs
    .run({
      ...serverCall(server, "pg_basebackup", args, system),
      // Its progress is asked of the server; what is left of its output is what went wrong.
      mapError: (failure, ended) => {
        const said = describeStderr({ stderr: ended.stderr.replaceAll(/^.*\r/gm, "") });
        return new MigrationError(
          failure.code,
          `the copy of the old server was broken off: ${said || failure.message}`,
          {
            hint: "run the same command again: the copy begins from its start",
            reason: failure.reason,
          },
        );
      },
    })
    .finally(() => {
      over.abort();
    });
  let least = Infinity;
  const watching = (async () => {
    const told = new TellCopied(progress, checkpoint);
    while (!over.signal.aborted) {
      const [now] = tells ? await session.all<Copied>(PROGRESS) : [];
      if (now) told.tell(now);
      least = Math.min(least, (await files.diskSpace(server.data)).free);
      await machine.wait(LOOK_MS, AbortSignal.any([signal, over.signal])).catch(() => undefined);
    }
    return told;
  })();
  // The copy itself says what failed; that its progress cannot be asked for is no failure.
  const watched = watching.catch(() => undefined);
  try {
    await copying;
  } catch (error) {
    await watched;
    signal.throwIfAborted();
    if (reasonOf(error, "exit-status") && (least < FULL || saysNoSpace(error)))
      throw diskFull(server, least, error);
    throw error;
  }
  (await watched)?.end();
}

/** It removes what it has written before anybody can look. What the old server cannot write, it could not "get". */
const saysNoSpace = (error: unknown): boolean =>
  error instanceof MigrationError &&
  /error: could not (?:write|create|open|close|fsync) .*: No space left on device/.test(error.message);

const diskFull = ({ data }: StandbyServer, free: number, cause: unknown) =>
  new MigrationError(
    "disk-full",
    `the disk with ${data} became full during the copy${free < FULL ? `: ${formatBytes(free)} were left` : ""}`,
    {
      hint: "make room there, or name a folder on a larger disk with --data-dir, then run the same command again: nothing on the old server depends on it",
      cause,
    },
  );

const COPY = { id: "follow/copy", label: "copy of the old server's data", unit: "bytes" } as const;

/** Tells what the old server says of a copy. */
export class TellCopied {
  readonly #progress: Progress;
  readonly #checkpoint: BaseBackup["checkpoint"];
  #done: number | undefined;
  #isWaiting = false;

  constructor(progress: Progress, checkpoint: BaseBackup["checkpoint"]) {
    this.#progress = progress;
    this.#checkpoint = checkpoint;
  }

  tell({ phase, total, streamed }: Copied): void {
    if (this.#done === undefined && streamed === 0) {
      if (this.#isWaiting || !phase.startsWith("waiting for checkpoint")) return;
      this.#isWaiting = true;
      this.#progress.note(
        this.#checkpoint === "fast"
          ? "the old server finishes a checkpoint before the copy begins, as fast as it can"
          : "the old server finishes a checkpoint before the copy begins; it takes its time for that, up to some minutes, so that nobody notices",
      );
      return;
    }
    if (this.#done === undefined) this.#progress.begin(total === null ? COPY : { ...COPY, total });
    this.#progress.advance(COPY.id, streamed - (this.#done ?? 0));
    this.#done = streamed;
  }

  end(): void {
    if (this.#done === undefined) this.#progress.begin(COPY);
    this.#progress.end(COPY.id);
  }
}
