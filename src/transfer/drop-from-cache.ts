import { MigrationError } from "../errors.ts";
import type { Programs } from "../system/programs/programs.ts";

/**
 * Asks the kernel to forget the pages of a synced file, so that reading it back reads the disk or the server of the share
 * (coreutils manual, dd: "nocache" with count=0). Only a request: where it is not possible, the cache is read.
 */
export async function dropFromCache(path: string, programs: Pick<Programs, "run">): Promise<void> {
  await programs
    .run({ name: "dd", args: [`if=${path}`, "iflag=nocache", "count=0", "status=none"], timeout: 10_000 })
    .catch((error: unknown) => {
      if (!(error instanceof MigrationError)) throw error;
    });
}
