import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { formatBytes } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Progress } from "../../../system/progress.ts";
import type { ExportPart, MediaRepoApi } from "./api.ts";

/** Throws `archive-damaged` for names that are no names of files in one folder, each its own. */
export function assertPartNames(parts: readonly ExportPart[], where: string): void {
  const names = new Set<string>();
  for (const { name } of parts) {
    if (/^\w[\w.-]{0,199}$/.test(name) && !names.has(name)) names.add(name);
    else
      throw new MigrationError(
        "archive-damaged",
        `${where} names a part ${JSON.stringify(name)}, which is not a safe file name, or is used twice`,
        { hint: "remove the folder and run the same command again, which begins another export" },
      );
  }
}

/**
 * Brings those parts of an export that are not in the folder yet with all their bytes. Each has its name only when it
 * is whole and on the disk. Throws `disk-full` before it begins, and what the API throws.
 */
export async function fetchParts(
  api: MediaRepoApi,
  exportId: string,
  parts: readonly ExportPart[],
  { folder, files, progress }: { folder: string; files: Files; progress: Progress },
): Promise<void> {
  const wanted: ExportPart[] = [];
  for (const part of parts) {
    const found = await files.lstat(join(folder, part.name));
    if (found?.kind !== "file" || found.size !== part.size) wanted.push(part);
  }
  const total = sum(wanted);
  const work = { id: "media-export/fetch", label: "parts of the archive" };
  const { id } = work;
  progress.begin({ ...work, unit: "bytes", total });
  if (wanted.length < parts.length)
    progress.remark(work, `${parts.length - wanted.length} of ${parts.length} parts are complete already`);
  const { free } = await files.diskSpace(folder);
  if (total > free)
    throw new MigrationError(
      "disk-full",
      `${folder} has ${formatBytes(free)} of free disk space, and ${formatBytes(total)} of the archive are still to be downloaded`,
      { hint: "free disk space, then run the same command again: it continues this export" },
    );
  for (const part of wanted) {
    await api.part(exportId, part, async ({ body }) => {
      const file = await files.begin(join(folder, part.name), 0o600);
      try {
        for await (const chunk of body) {
          if (file.size + chunk.length > part.size) throw otherSize(api, part);
          await file.write(chunk);
          progress.advance(id, chunk.length);
        }
        if (file.size !== part.size) throw otherSize(api, part);
        await file.finish();
      } finally {
        await file.abandon();
      }
    });
  }
  progress.end(id);
}

const sum = (parts: readonly ExportPart[]) => parts.reduce((all, { size }) => all + size, 0);

const otherSize = ({ where }: MediaRepoApi, { name, size }: ExportPart) =>
  new MigrationError(
    "connection-failed",
    `${where} sent ${name} with a size other than the announced ${size} bytes`,
    {
      hint: "run the same command again; if the error persists, remove the folder to start over",
    },
  );
