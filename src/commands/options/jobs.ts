import { z } from "zod";
import type { FromArchives } from "../../move/restore/fill-with-pg-restore.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";
import { clearFolderOf, type spoolSchema } from "./pipe.ts";

/** How a database that was dumped with --db-format custom is restored. */
export const ARCHIVE_OPTIONS: readonly Option[] = [
  {
    flags: "--jobs <number>",
    about:
      "parallel jobs of pg_restore, for a bundle with --db-format custom; default: number of cores, at most 8",
  },
];

const WORDS = "write a whole number from 1 to 64";

export const archiveSchema = {
  jobs: z.coerce.number(WORDS).int(WORDS).min(1, WORDS).max(64, WORDS).optional(),
};

/** More jobs than this mostly wait for the disk. */
const MOST_JOBS = 8;

export const archivesOf = (
  given: z.infer<z.ZodObject<typeof archiveSchema & typeof spoolSchema>>,
  layout: { readonly mediaDir: string },
  system: Pick<System, "machine">,
): FromArchives => ({
  folder: clearFolderOf(given, layout, system),
  jobs: given.jobs ?? Math.min(MOST_JOBS, system.machine.cores),
});
