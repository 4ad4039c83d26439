import { type Dirent, lstatSync, readdirSync, type Stats } from "node:fs";
import { errnoOf } from "./file-errors.ts";

/** An entry found by a directory walk; folders are included only on request. */
export interface WalkEntry {
  /** Relative to the walked folder: "aa/bb/name". Empty for that folder itself, if it is unreadable. */
  readonly name: string;
  /** "closed": it exists but cannot be read. */
  readonly kind: (typeof KINDS)[number];
  readonly size: number;
  /** The nine permission bits. */
  readonly mode: number;
  /** Milliseconds since 1970. */
  readonly mtimeMs: number;
  /** The owner; left out when it is unknown. */
  readonly uid?: number;
}

const KINDS = ["file", "link", "other", "closed", "folder"] as const;

/** Entries in a form for messages between threads, which costs a tenth of a thousand objects. */
export interface EntryBatch {
  /** Separated by NUL, which no file name can contain. */
  readonly names: string;
  /** Five numbers (`NUMBERS_PER_ENTRY`) for each entry: kind, size, mode, time, owner; the owner is -1 when it is unknown. */
  readonly numbers: Float64Array;
  /** This is the last batch. */
  readonly last: boolean;
}

/** Numbers for each entry. */
export const NUMBERS_PER_ENTRY = 5;

/** The maximum number of entries and opened folders in one batch, after which the event loop gets a turn. */
const BATCH = 1000;

/** Walks a directory tree with synchronous calls, in batches, so that it can pause after each batch. */
export class DirectoryWalker {
  readonly #root: string;
  readonly #folders: boolean;
  readonly #open: { readonly prefix: string; readonly names: readonly string[]; next: number }[];
  #names: string[] = [];
  #numbers: number[] = [];

  /** `name` is relative to `root`; a trailing slash means a folder. `folders`: yield folders too, before their content. */
  constructor(root: string, name: string, folders = false) {
    this.#root = root;
    this.#folders = folders;
    this.#open = [{ prefix: "", names: [name], next: 0 }];
  }

  /** The next batch, which may be empty. */
  take(): EntryBatch {
    this.#names = [];
    this.#numbers = [];
    for (let steps = 0; steps < BATCH && this.#open.length > 0;) {
      const folder = this.#open.at(-1)!;
      const name = folder.names[folder.next++];
      if (name === undefined) {
        this.#open.pop();
        continue;
      }
      steps += 1;
      if (name.endsWith("/")) this.#enter(`${folder.prefix}${name}`);
      else this.#look(`${folder.prefix}${name}`);
    }
    return {
      names: this.#names.join("\0"),
      numbers: Float64Array.from(this.#numbers),
      last: this.#open.length === 0,
    };
  }

  #enter(prefix: string): void {
    const names = namesIn(`${this.#root}/${prefix}`);
    if (names === "closed") this.#tell(prefix.slice(0, -1), "closed");
    else if (names === "gone") this.#unreadable(prefix.slice(0, -1));
    else {
      if (this.#folders) this.#look(prefix.slice(0, -1), "told");
      this.#open.push({ prefix, names, next: 0 });
    }
  }

  /** `folder`: whether a folder is entered or only yielded. */
  #look(name: string, folder: "entered" | "told" = "entered"): void {
    try {
      const found = lstatSync(`${this.#root}/${name}`);
      // It was replaced by a folder after the listing.
      if (found.isDirectory() && folder === "entered") this.#enter(`${name}/`);
      else this.#tell(name, kindOf(found), found.size, found.mode & 0o777, found.mtimeMs, found.uid);
    } catch (error) {
      if (isGone(error)) this.#unreadable(name);
      else this.#tell(name, "closed");
    }
  }

  /** A removed entry is left out. But a name that is not valid UTF-8 cannot be looked up and only seems removed. */
  #unreadable(name: string): void {
    if (name.includes("\uFFFD")) this.#tell(name, "other");
  }

  #tell(name: string, kind: WalkEntry["kind"], size = 0, mode = 0, mtimeMs = 0, uid = -1): void {
    this.#names.push(name);
    this.#numbers.push(KINDS.indexOf(kind), size, mode, mtimeMs, uid);
  }
}

const kindOf = (found: Stats): WalkEntry["kind"] =>
  found.isFile() ? "file" : found.isSymbolicLink() ? "link" : found.isDirectory() ? "folder" : "other";

/** The names in a folder, sorted by code unit; folders have a trailing slash. */
export function namesIn(folder: string): readonly string[] | "gone" | "closed" {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return (entries.length > 1 ? entries.sort(byName) : entries).map((entry) =>
      entry.isDirectory() ? `${entry.name}/` : entry.name,
    );
  } catch (error) {
    return isGone(error) ? "gone" : "closed";
  }
}

export function unpackEntries({ names, numbers }: EntryBatch): WalkEntry[] {
  if (numbers.length === 0) return [];
  return names.split("\0").map((name, index) => {
    const [kind, size, mode, mtimeMs, uid] = numbers.subarray(
      index * NUMBERS_PER_ENTRY,
      (index + 1) * NUMBERS_PER_ENTRY,
    );
    return {
      name,
      kind: KINDS[kind!]!,
      size: size!,
      mode: mode!,
      mtimeMs: mtimeMs!,
      ...(uid === -1 ? {} : { uid: uid! }),
    };
  });
}

const byName = (a: Dirent, b: Dirent) => (a.name < b.name ? -1 : 1);

const isGone = (error: unknown) => errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR";
