import { type ErrorCode, MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";

const TOLERATED: ReadonlySet<ErrorCode> = new Set(["disk-full", "file-failed"]);

/**
 * Writes that may fail without ending the run: it must be possible to start a server again whose disk is full, although
 * that cannot be recorded.
 */
export class BestEffort {
  #why: MigrationError | undefined;

  /** Undefined when it could not be written; throws every other failure. */
  async attempt<T>(write: () => Promise<T>): Promise<T | undefined> {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof MigrationError) || !TOLERATED.has(error.code)) throw error;
      this.#why ??= error;
      return undefined;
    }
  }

  findings(folder: string): Finding[] {
    if (!this.#why) return [];
    return [
      {
        id: "record-not-written",
        level: "warning",
        sentence: `not everything that was done could be recorded in ${folder}: ${this.#why.message}`,
        hint: `once the server runs, the customer_* files there are no longer needed: remove them to free disk space, and run the same command again`,
      },
    ];
  }
}
