import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { Files } from "../../../system/files/files.ts";
import { ALL_FOLDERS } from "../store/folders.ts";
import type { StoredFile } from "../store/store.ts";

/**
 * Which files a first archive holds, so that a second one can hold the rest. Stored beside the bundle, unencrypted: so each
 * file is listed as a keyed hash of its name, size and time, which nobody without the bundle's salt can compute.
 * Files are told in the order of the walk, folder by folder, so that two walks can be held against each other with one
 * folder in memory.
 */
export class PackedList {
  readonly #key: KeyObject;
  #prefix: string | undefined;
  #text = "";

  /** `key` is the bundle's salt. */
  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key);
  }

  add(file: StoredFile): void {
    const prefix = prefixOf(file.name);
    if (prefix !== this.#prefix) this.#text += `${JSON.stringify(prefix)}\n`;
    this.#prefix = prefix;
    this.#text += `${hashOf(file, this.#key)}\n`;
  }

  /** Whether enough was added that it is worth a write. */
  get isFull(): boolean {
    return this.#text.length >= FULL;
  }

  /** What was added since it was last taken. */
  take(): Uint8Array {
    const taken = Buffer.from(this.#text);
    this.#text = "";
    return taken;
  }
}

/** Characters. */
const FULL = 64 * 1024;

/** A list that was written down. */
export interface SavedList {
  /** Of several lists, each goes on where the one before it ended. */
  readonly path: string | readonly string[];
  /** What it was made with. */
  readonly key: Uint8Array;
  /** It was made on another host, of files that came in an archive, which keeps whole seconds. */
  readonly wholeSeconds?: boolean;
}

/** As an archive keeps it. */
export const inWholeSeconds = (file: StoredFile): StoredFile => ({
  ...file,
  mtimeMs: Math.floor(file.mtimeMs / 1000) * 1000,
});

/** Of the files of a walk, those that a list does not hold, or not as they are now. Throws as the walk does. */
export async function* filesNotListed(
  walked: AsyncIterable<StoredFile>,
  list: SavedList,
  files: Files,
): AsyncIterable<StoredFile> {
  const reader = new PackedListReader(list, files);
  try {
    for await (const file of walked) if (!(await reader.holds(file))) yield file;
  } finally {
    await reader.close();
  }
}

/** Reads a list side by side with a walk. */
export class PackedListReader {
  readonly #groups: AsyncGenerator<Group, undefined>;
  readonly #wholeSeconds: boolean;
  /** Made once: making one from bytes costs six times as much as the hash of a name. */
  readonly #key: KeyObject;
  #group: IteratorResult<Group, undefined> | undefined;

  constructor({ path, key, wholeSeconds = false }: SavedList, files: Files) {
    this.#groups = groupsIn([path].flat(), files);
    this.#key = createSecretKey(key);
    this.#wholeSeconds = wholeSeconds;
  }

  /** Whether the list holds a file as it is now. To be asked of each in the order of the walk. */
  async holds(file: StoredFile): Promise<boolean> {
    const prefix = prefixOf(file.name);
    let group = (this.#group ??= await this.#groups.next());
    while (group.done !== true && comesBefore(group.value.prefix, prefix))
      this.#group = group = await this.#groups.next();
    if (group.done === true || group.value.prefix !== prefix) return false;
    return group.value.hashes.has(hashOf(this.#wholeSeconds ? inWholeSeconds(file) : file, this.#key));
  }

  async close(): Promise<void> {
    await this.#groups.return(undefined);
  }
}

interface Group {
  readonly prefix: string;
  readonly hashes: Set<string>;
}

async function* groupsIn(paths: readonly string[], files: Files): AsyncGenerator<Group, undefined> {
  let group: Group | undefined;
  for (const path of paths)
    for await (const line of linesIn(path, files)) {
      if (!line.startsWith('"')) group?.hashes.add(line);
      else if (JSON.parse(line) !== group?.prefix) {
        if (group) yield group;
        group = { prefix: JSON.parse(line) as string, hashes: new Set() };
      }
    }
  if (group) yield group;
  return undefined;
}

async function* linesIn(path: string, files: Files): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of files.read(path)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

/** "local_content/aa", "remote_content/example.org/aa": one of some thousand folders. */
function prefixOf(name: string): string {
  let end = name.indexOf("/");
  for (let more = name.startsWith("remote_") ? 2 : 1; more > 0 && end !== -1; more -= 1)
    end = name.indexOf("/", end + 1);
  return end === -1 ? name : name.slice(0, end);
}

/** In the order of `walkStore`. */
function comesBefore(one: string, other: string): boolean {
  const [a, b] = [rank(one), rank(other)];
  // "a/b" comes before "a-/b" in a walk, as it goes folder by folder.
  return a === b ? one.replaceAll("/", "\0") < other.replaceAll("/", "\0") : a < b;
}

const rank = (prefix: string) => ALL_FOLDERS.findIndex((folder) => prefix.startsWith(`${folder}/`));

const hashOf = ({ name, size, mtimeMs }: StoredFile, key: KeyObject) =>
  createHmac("sha256", key).update(`${name}\0${size}\0${mtimeMs}`).digest("base64url").slice(0, 22);
