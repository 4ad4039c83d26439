import { z } from "zod";
import type { PgRestoreOptions } from "../../move/restore/fill-with-pg-restore.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";
import { type pipeSchema, plainDumpFolder } from "./pipe.ts";

/** How a database that was dumped with --db-format custom is restored. */
export const JOBS_OPTIONS: readonly Option[] = [
  {
    flags: "--jobs <number>",
    about:
      "parallel jobs of pg_restore, for a bundle with --db-format custom; default: number of cores, at most 8",
  },
];

const JOBS_ERROR = "write a whole number from 1 to 64";

export const jobsSchema = {
  jobs: z.coerce.number(JOBS_ERROR).int(JOBS_ERROR).min(1, JOBS_ERROR).max(64, JOBS_ERROR).optional(),
};

/** More jobs than this mostly wait for the disk. */
const MOST_JOBS = 8;

export const pgRestoreOptions = (
  given: z.infer<z.ZodObject<typeof jobsSchema & typeof pipeSchema>>,
  layout: { readonly mediaDir: string },
  system: Pick<System, "machine">,
): PgRestoreOptions => ({
  folder: plainDumpFolder(given, layout, system),
  jobs: given.jobs ?? Math.min(MOST_JOBS, system.machine.cores),
});
