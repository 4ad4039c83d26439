import { MigrationError } from "../../../errors.ts";
import type { TarEntry } from "../../../pipeline/tar.ts";
import { Tee } from "../../../pipeline/tee.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import { addTime, shortTime } from "../../../system/trace/trace.ts";
import { uploadIdAt, UPLOADS } from "../store/layout.ts";

/** A small file in memory. */
export interface WholeFile {
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly mtimeMs: number;
  /** Valid until `release`. */
  readonly content: Uint8Array;
  /** Of the content, in lower-case hex. */
  readonly sha256: string;
  release(): void;
}

/** An entry of the backup. */
export interface MediaEntry extends TarEntry {
  /** For one that is in memory and was found unchanged after it was read: the same once more, for somebody else. */
  readonly share?: (() => WholeFile) | undefined;
  /** Whether it comes from a storage provider, as the store does not have it. */
  readonly elsewhere?: boolean;
  /** Once its content was read: why that is not the file, though it has its length; undefined when it is. */
  readonly fault?: (() => string | undefined) | undefined;
}

/** Greater than any key. */
const FINISHED = "\uffff";

/** Bytes and number of small files that the backup may be ahead of the archive. */
const AHEAD = { bytes: 1024 * 1024, files: 500 };

/** The backup reads files by itself; the archive reads along. */
const BACKUP = 0;
const ARCHIVE = 1;

/**
 * Two artifacts that are made at the same time from the same files. Both visit them in the same order, each skipping what it
 * does not need; where both need a file it is read once. The one that is ahead waits, so that nothing has to be buffered.
 */
export class SharedReads {
  /** Where each is: a key, greater with every file. */
  readonly #at: [string, string] = ["", ""];
  /** Small files that the archive has not come to, by their keys, in their order. */
  readonly #window = new Map<string, WholeFile>();
  #windowBytes = 0;
  #offered: { readonly key: string; readonly fork: Tee; readonly fault: MediaEntry["fault"] } | undefined;
  #failure: { readonly error: unknown } | undefined;
  #waiting: (() => void)[] = [];

  /**
   * The entries of the backup, whose uploads the archive may read along: those of the store, what else is in the store,
   * then what is elsewhere. Leaves at their end.
   */
  async *backup(entries: AsyncIterable<MediaEntry>): AsyncIterable<TarEntry> {
    try {
      for await (const entry of entries) {
        const round = entry.elsewhere === true ? 1 : 0;
        const key = isUpload(entry.name) ? keyOf(entry.name, round) : undefined;
        if (key === undefined) {
          if (!entry.name.startsWith(`${UPLOADS}/`)) this.#pass(keyOf("\ufffe", round));
          yield entry;
        } else if (entry.share) {
          await this.#show(key, entry.share);
          yield entry;
        } else yield { ...entry, content: () => this.#offer(key, entry) };
      }
    } finally {
      this.leave("backup");
    }
  }

  /**
   * An upload for the archive, by its name below the store; `alone` reads it where the backup does not. Throws
   * `file-failed` at the end of what the backup could not read to its end and has filled up.
   */
  async *archive(name: string, alone: () => Bytes, elsewhere = false): Bytes {
    const key = keyOf(name, elsewhere ? 1 : 0);
    await this.#arrive(ARCHIVE, key);
    const offered = this.#offered;
    if (this.#at[BACKUP] !== key || offered?.key !== key) {
      yield* alone();
      return;
    }
    yield* offered.fork.read(ARCHIVE);
    const fault = offered.fault?.();
    if (fault !== undefined) throw new MigrationError("file-failed", fault);
  }

  /** Whether nobody else reads the same files, or not any more. */
  get isArchiveAlone(): boolean {
    return this.#at[BACKUP] === FINISHED;
  }

  /**
   * A small upload for the archive, by its name below the store; undefined when the backup does not have it, or has it as
   * a stream: then `archive` has it. The caller releases it.
   */
  async takeWhole(name: string): Promise<WholeFile | undefined> {
    const key = keyOf(name, 0);
    await this.#arrive(ARCHIVE, key);
    const found = this.#window.get(key);
    if (found) this.#forget(key, found);
    return found;
  }

  /** Nothing more is wanted: the other goes on alone. May be called twice. */
  leave(side: "backup" | "archive"): void {
    this.#at[side === "backup" ? BACKUP : ARCHIVE] = FINISHED;
    this.#dropPassed();
    this.#tell();
  }

  /** One of them failed: the other fails too, with the same error, at its next file. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#tell();
  }

  /** All uploads up to there have come by. */
  #pass(key: string): void {
    this.#at[BACKUP] = key;
    this.#tell();
  }

  /** Keeps a small file until the archive has come to it, or passed it. Waits when it keeps too many. */
  async #show(key: string, share: () => WholeFile): Promise<void> {
    this.#pass(key);
    if (this.#at[ARCHIVE] > key) return;
    const file = share();
    this.#window.set(key, file);
    this.#windowBytes += file.size;
    this.#tell();
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      if (this.#windowBytes <= AHEAD.bytes && this.#window.size <= AHEAD.files) return;
      await this.#change("waits of the backup for the archive");
    }
  }

  /** What the archive has passed it does not want. */
  #dropPassed(): void {
    for (const [key, file] of this.#window) {
      if (key >= this.#at[ARCHIVE]) return;
      this.#forget(key, file);
      file.release();
    }
  }

  #forget(key: string, file: WholeFile): void {
    this.#window.delete(key);
    this.#windowBytes -= file.size;
    this.#tell();
  }

  async *#offer(key: string, entry: MediaEntry): Bytes {
    const { fault } = entry;
    const fork = new Tee(entry.content());
    this.#offered = { key, fork, fault };
    try {
      await this.#arrive(BACKUP, key);
      if (this.#at[ARCHIVE] !== key) await fork.detach(ARCHIVE);
      yield* fork.read(BACKUP);
    } finally {
      await fork.detach(BACKUP);
    }
  }

  /** Waits until the other is as far. */
  async #arrive(side: 0 | 1, key: string): Promise<void> {
    this.#at[side] = key;
    if (side === ARCHIVE) this.#dropPassed();
    this.#tell();
    const other = side === BACKUP ? ARCHIVE : BACKUP;
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      if (this.#at[other] >= key) return;
      await this.#change(
        side === BACKUP ? "waits of the backup for the archive" : "waits of the archive for the backup",
      );
    }
  }

  async #change(what: string): Promise<void> {
    const began = shortTime();
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    addTime(what, began);
  }

  #tell(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

const isUpload = (name: string) =>
  name.startsWith(`${UPLOADS}/`) && uploadIdAt(name.slice(UPLOADS.length + 1)) !== undefined;

/** The store comes first: all of it before anything elsewhere. */
const keyOf = (name: string, round: number) => `${round}${name}`;
