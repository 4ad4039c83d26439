import { z } from "zod";
import { optionGroup } from "../command.ts";

const JOBS_ERROR = "write a whole number from 1 to 64";

/** More jobs than this mostly wait for the disk. */
const MOST_JOBS = 8;

/** How a database that was dumped with --db-format custom is restored. */
export const JOBS_OPTIONS = optionGroup({
  heading: "Bundles with --db-format custom",
  options: [
    {
      flags: "--jobs <number>",
      about: "parallel jobs of pg_restore",
      default: `number of cores, at most ${MOST_JOBS}`,
    },
  ],
  schema: {
    jobs: z.coerce.number(JOBS_ERROR).int(JOBS_ERROR).min(1, JOBS_ERROR).max(64, JOBS_ERROR).optional(),
  },
  read: ({ jobs }, { cores }: { readonly cores: number }): number => jobs ?? Math.min(MOST_JOBS, cores),
});
