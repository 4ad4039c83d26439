import { MigrationError } from "../../../errors.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import type { ExportPart, MediaRepoApi } from "./api.ts";
import type { ExportJournal } from "./journal.ts";

/** Milliseconds between two looks at a task. */
const POLL_INTERVAL = 2_000;

/** Looks in a row that may stay without an answer: a server that is started again is back by then. */
const MAX_SILENT_POLLS = 15;

/** Milliseconds in which at least one more part must be made: a part is 200 MiB, and may go to a slow bucket. */
const STALL_TIMEOUT = 3_600_000;

/** What came of an export. */
export interface MadeExport {
  readonly parts: readonly ExportPart[];
  /** Why it is not whole; undefined when its maker says that it is. */
  readonly fault: string | undefined;
}

/**
 * Waits until matrix-media-repo has made the export, and answers its parts: of one that failed those that were made.
 * What is made so far, against what it holds, is the progress. Throws `program-failed` when nothing more of it came for
 * an hour.
 */
export async function waitForExport(
  api: MediaRepoApi,
  { id: exportId, taskId }: NonNullable<ExportJournal["export"]>,
  held: ExportJournal["held"],
  { machine, signal }: Pick<System, "machine" | "signal">,
  progress: Progress,
): Promise<MadeExport> {
  const id = "media-export/make";
  progress.begin({ id, label: "export in matrix-media-repo", unit: "bytes", total: held.bytes });
  const ended = (parts: readonly ExportPart[], fault?: string): MadeExport => {
    progress.end(id);
    return { parts, fault };
  };
  let told = 0;
  let silent = 0;
  for (let movedAt = machine.elapsed(); ;) {
    const looked = await pollTask(api, exportId, taskId).catch((error: unknown) => {
      silent += 1;
      const lost = error instanceof MigrationError && error.code === "connection-failed";
      if (!lost || silent > MAX_SILENT_POLLS) throw error;
      return "silent" as const;
    });
    if (looked !== "silent") {
      silent = 0;
      const { task, parts } = looked;
      const made = parts.reduce((sum, { size }) => sum + size, 0);
      if (made > told) {
        // Compressed, and with a manifest: it may be less or more than what it holds.
        const now = Math.min(made, held.bytes);
        if (now > told) progress.advance(id, now - told);
        movedAt = machine.elapsed();
        told = made;
      }
      if (!task) return ended(parts, "the task no longer exists there");
      if (task.finished) return ended(parts, task.fault === "" ? undefined : task.fault);
    }
    if (machine.elapsed() - movedAt > STALL_TIMEOUT)
      throw new MigrationError(
        "program-failed",
        `${api.where} made no progress with the export for an hour`,
        {
          hint: "its log says more; run the same command again to keep waiting; if it was restarted since, remove the folder first",
        },
      );
    await machine.wait(POLL_INTERVAL, signal);
  }
}

/** The task first: parts that are listed after its end are all parts. */
async function pollTask(api: MediaRepoApi, exportId: string, taskId: number) {
  const task = await api.task(taskId);
  return { task, parts: await api.parts(exportId) };
}
