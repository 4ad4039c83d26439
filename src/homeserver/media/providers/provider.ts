import { join } from "node:path";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";
import type { ObjectStore, ObjectStores, StoredObject } from "../../../system/s3/object-store.ts";
import type { Homeserver } from "../../homeserver.ts";
import { bucketOf, storageProviders } from "./providers.ts";

/** A file in a storage provider, by its path as it would be below the media store. */
export type Provided = StoredObject;

/** A storage provider in which Synapse looks for files, and that we can read too. Nothing is written there. */
export interface ReadableProvider {
  /** For people; no secrets. */
  readonly name: string;
  /** Undefined when it is not there. Asked in the order of paths, it is quick. */
  find(path: string): Promise<Provided | undefined>;
  /** All files below a folder of the store, in batches. Links are left out. */
  list(folder: string, signal: AbortSignal): AsyncIterable<readonly Provided[]>;
  /** Throws when the file is not as it was found. */
  read(file: Provided): Bytes;
  /** May be called twice. */
  close(): void;
}

/** Those of a homeserver's storage providers that we can read, in the order in which Synapse asks them. Throws `config-unreadable`. */
export function openProviders(
  homeserver: Homeserver,
  { files, objects }: { files: Files; objects: ObjectStores },
): ReadableProvider[] {
  return storageProviders(homeserver).flatMap(({ folder, settings }) => {
    if (folder !== null) return [folderProvider(folder, files)];
    const address = bucketOf(settings);
    return address ? [new BucketProvider(objects.open(address))] : [];
  });
}

/** Synapse's own provider, `file_system`: the same layout in another folder (synapse/media/storage_provider.py). */
export function folderProvider(folder: string, files: Files): ReadableProvider {
  return {
    name: folder,
    async find(path) {
      const found = await files.lstat(join(folder, path));
      return found?.kind === "file" ? { name: path, size: found.size, mtimeMs: found.mtimeMs } : undefined;
    },
    async *list(below, signal) {
      for await (const batch of files.walk(join(folder, below), signal)) {
        yield batch
          .filter(({ kind }) => kind === "file")
          .map(({ name, size, mtimeMs }) => ({ name: `${below}/${name}`, size, mtimeMs }));
      }
    },
    async *read({ name, size }) {
      yield* files.read(join(folder, name), { to: size });
    },
    close() {},
  };
}

/** A bucket that holds the files under the same paths, behind a prefix (s3_storage_provider.py). */
export class BucketProvider implements ReadableProvider {
  readonly name: string;
  readonly #objects: ObjectStore;
  #seen: ListedRange = { from: "", to: "", objects: new Map() };
  #inOrder = true;

  constructor(objects: ObjectStore) {
    this.#objects = objects;
    this.name = objects.name;
  }

  /** One list request returns a thousand objects in the time of a single lookup: so the following ones are already known. */
  async find(path: string): Promise<Provided | undefined> {
    if (this.#inOrder && !this.#covers(path)) await this.#lookFrom(path);
    return this.#inOrder ? this.#seen.objects.get(path) : this.#objects.look(path);
  }

  #covers(path: string): boolean {
    const { from, to } = this.#seen;
    return path > from && (to === undefined || path <= to);
  }

  async #lookFrom(path: string): Promise<void> {
    const from = path.slice(0, -1);
    let batch: readonly Provided[] = [];
    for await (batch of this.#objects.list(`${path.split("/")[0]!}/`, from)) break;
    const names = batch.map(({ name }) => name);
    // Some servers keep no order, as AWS's own directory buckets do: then each object is looked at by itself.
    this.#inOrder = names.every((name, index) => name > (names[index - 1] ?? from));
    this.#seen = { from, to: names.at(-1), objects: new Map(batch.map((one) => [one.name, one])) };
  }

  async *list(folder: string, signal: AbortSignal): AsyncIterable<readonly Provided[]> {
    for await (const batch of this.#objects.list(`${folder}/`)) {
      signal.throwIfAborted();
      // Some tools create an empty object to represent a folder.
      yield batch.filter(({ name }) => !name.endsWith("/"));
    }
  }

  read({ name, size }: Provided): Bytes {
    return this.#objects.read(name, size);
  }

  close(): void {
    this.#objects.close();
  }
}

/** All objects between two names, of which the first is left out. To the end when there is no second. */
interface ListedRange {
  readonly from: string;
  readonly to: string | undefined;
  readonly objects: ReadonlyMap<string, Provided>;
}

/** Where the file of an upload lies in a provider, with the length that its row says. */
export interface LocatedFile {
  readonly provider: ReadableProvider;
  readonly file: Provided;
}

/** The first provider that has the file as long as it should be; undefined when none has. */
export async function findInProviders(
  path: string,
  length: number,
  providers: readonly ReadableProvider[],
): Promise<LocatedFile | undefined> {
  for (const provider of providers) {
    const file = await provider.find(path);
    if (file?.size === length) return { provider, file };
  }
  return undefined;
}
