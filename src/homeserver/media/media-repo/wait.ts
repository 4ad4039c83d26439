import { MigrationError } from "../../../errors.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import type { ExportPart, MediaRepoApi } from "./api.ts";
import type { ExportJournal, ExportJournalFile } from "./journal.ts";

/** Milliseconds between two looks at a task. */
const POLL_INTERVAL = 2_000;

/** Looks in a row that may stay without an answer: a server that is started again is back by then. */
const MAX_SILENT_POLLS = 15;

/** Milliseconds in which at least one more part must be made: a part is 200 MiB, and may go to a slow bucket. */
const STALL_TIMEOUT = 3_600_000;

/**
 * Waits until matrix-media-repo has made the export, and answers its parts. What is made so far, against what it holds,
 * is the progress. Throws `program-failed` when the export failed, or when nothing more of it came for an hour; a
 * failed one is forgotten, so that the next run begins another.
 */
export async function waitForExport(
  api: MediaRepoApi,
  { exportId, taskId, held }: ExportJournal,
  journal: ExportJournalFile,
  { machine, signal }: Pick<System, "machine" | "signal">,
  progress: Progress,
): Promise<readonly ExportPart[]> {
  const id = "media-export/make";
  progress.begin({ id, label: "export in matrix-media-repo", unit: "bytes", total: held.bytes });
  const failed = async (why: string) => {
    await journal.remove();
    return new MigrationError("program-failed", `${api.where} could not make the export: ${why}`, {
      hint: "its log says more; then run the same command again, which begins another export",
    });
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
      if (!task) throw await failed("the task no longer exists there");
      if (task.fault !== "") throw await failed(task.fault);
      if (task.finished) {
        if (parts.length === 0) throw await failed("the task is over, and nothing was made");
        progress.end(id);
        return parts;
      }
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
