import { MigrationError } from "../../../errors.ts";
import { BoundedList } from "../store/bounded-list.ts";

/** So many are named; of more only the number is known. */
export const NAMED = 1000;

const SHOWN = 5;

/** Uploads that went away or changed while they were packed. */
export class UnreadUploads {
  readonly #unread = new BoundedList(SHOWN);
  readonly #files = new BoundedList(NAMED);
  #isLost = false;

  get unread(): number {
    return this.#unread.count;
  }

  /** Names of those that lie in the store, below it: the first thousand. */
  get files(): readonly string[] {
    return this.#files.some;
  }

  /** Whether one of them has no file in the store: a second pass would not find it. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** What and why, for people, and which file of the store, if any. */
  add(what: string, file: string | undefined): void {
    this.#unread.add(what);
    if (file === undefined) this.#isLost = true;
    else this.#files.add(file);
  }

  /** Throws `media-missing` when there are any and nobody accepted that. */
  assertAllRead({ store, accepted }: { store: string; accepted: boolean }): void {
    if (this.unread === 0 || accepted) return;
    const more = this.unread > SHOWN ? `; and ${this.unread - SHOWN} more` : "";
    throw new MigrationError(
      "media-missing",
      `${this.unread} uploads in ${store} could not be read completely: ${this.#unread.some.join("; ")}${more}`,
      {
        hint: "check that nothing writes there and that the disk has no errors, then run the same command again; or continue without them: --accept media-missing",
      },
    );
  }
}
