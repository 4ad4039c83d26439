import { type ErrorCode, MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";

const UNWRITABLE: ReadonlySet<ErrorCode> = new Set(["disk-full", "file-failed"]);

/**
 * For what is worth more than its being written down: a server that stands still because the disk is full must be able
 * to serve again although nothing can be noted of it.
 */
export class Unwritten {
  #why: MigrationError | undefined;

  /** Undefined when it could not be written; throws every other failure. */
  async unless<T>(write: () => Promise<T>): Promise<T | undefined> {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof MigrationError) || !UNWRITABLE.has(error.code)) throw error;
      this.#why ??= error;
      return undefined;
    }
  }

  findings(folder: string): Finding[] {
    if (!this.#why) return [];
    return [
      {
        id: "record-unwritten",
        level: "warning",
        sentence: `not all that was done could be written down in ${folder}: ${this.#why.message}`,
        hint: `once the server serves, the customer_* files there are of no use: make room with them, and run the same command again, which may be repeated`,
      },
    ];
  }
}
