import { MigrationError } from "../../errors.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { System } from "../../system/system.ts";
import { lockPath } from "./state.ts";

/** Held while a process follows, or cuts over. Throws `bundle-in-use` where another process has it. */
export async function acquireFollowLock(configDir: string, { files, machine }: System) {
  try {
    return await acquireLock(lockPath(configDir), files, machine, configDir);
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== "bundle-in-use") throw error;
    throw new MigrationError("bundle-in-use", "another process of synlift follows the old server already", {
      hint: `synlift follow status shows how the copy is; to end that process: Ctrl-C where it runs, or systemctl stop synlift-follow. ${error.message}`,
      cause: error,
    });
  }
}
