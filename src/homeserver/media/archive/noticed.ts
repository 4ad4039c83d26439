import { MigrationError } from "../../../errors.ts";

/** So many are named; of more only the number is known. */
export const NAMED = 1000;

const SHOWN = 5;

/** Uploads that went away or changed while they were packed. */
export class Noticed {
  unread = 0;
  readonly #some: string[] = [];

  /** What and why, for people. */
  add(what: string): void {
    this.unread += 1;
    if (this.#some.length < SHOWN) this.#some.push(what);
  }

  /** Throws `media-missing` when there are any and nobody accepted that. */
  mustBeRead({ store, accepted }: { store: string; accepted: boolean }): void {
    if (this.unread === 0 || accepted) return;
    const more = this.unread > SHOWN ? `; and ${this.unread - SHOWN} more` : "";
    throw new MigrationError(
      "media-missing",
      `${this.unread} uploads in ${store} could not be read to their end: ${this.#some.join("; ")}${more}`,
      {
        hint: "see that nothing writes there and that the disk is well, then run the same command again; or go on without them: --accept media-missing",
      },
    );
  }
}
