import { deserialize, serialize } from "node:v8";
// The same in-memory IndexedDB as the SDK of the encrypted conversations has.
import "fake-indexeddb/auto";

/** What is used of IndexedDB (W3C Indexed Database API 3.0): its types belong to the browser's, which the project has nowhere else. */
interface Request<Result> {
  readonly result: Result;
  readonly error: Error | null;
  onsuccess: () => void;
  onerror: () => void;
}

interface Database {
  readonly objectStoreNames: Iterable<string>;
  createObjectStore(name: string, options: Pick<KeptStore, "keyPath" | "autoIncrement">): Store;
  transaction(store: string, mode: "readonly" | "readwrite"): { objectStore(name: string): Store };
  close(): void;
}

interface Store {
  readonly keyPath: KeptStore["keyPath"];
  readonly autoIncrement: boolean;
  readonly indexNames: Iterable<string>;
  index(name: string): KeptStore["indexes"][number];
  createIndex(
    name: string,
    keyPath: string | string[],
    options: { unique: boolean; multiEntry: boolean },
  ): void;
  getAllKeys(): Request<unknown[]>;
  getAll(): Request<unknown[]>;
  put(value: unknown, key?: unknown): Request<unknown>;
}

const { indexedDB } = globalThis as unknown as {
  readonly indexedDB: {
    databases(): Promise<{ readonly name: string; readonly version: number }[]>;
    open(name: string, version?: number): Request<Database> & { onupgradeneeded: () => void };
  };
};

interface KeptStore {
  readonly name: string;
  readonly keyPath: string | string[] | null;
  readonly autoIncrement: boolean;
  readonly indexes: readonly {
    readonly name: string;
    readonly keyPath: string | string[];
    readonly unique: boolean;
    readonly multiEntry: boolean;
  }[];
  readonly keys: readonly unknown[];
  readonly values: readonly unknown[];
}

interface KeptDatabase {
  readonly name: string;
  readonly version: number;
  readonly stores: readonly KeptStore[];
}

/** All keys of all devices of this process, for another process. No device may run meanwhile. */
export async function keptKeys(): Promise<Uint8Array> {
  const databases: KeptDatabase[] = [];
  for (const { name, version } of await indexedDB.databases()) {
    const database = await done(indexedDB.open(name));
    const names = [...database.objectStoreNames];
    const stores = await Promise.all(names.map((store) => readStore(database, store)));
    database.close();
    databases.push({ name, version, stores });
  }
  return serialize(databases);
}

/** The devices of the other process find their keys here. Those of devices that this process knows are left as they are. */
export async function restoreKeys(kept: Uint8Array): Promise<void> {
  const known = new Set((await indexedDB.databases()).map(({ name }) => name));
  for (const { name, version, stores } of deserialize(kept) as KeptDatabase[]) {
    if (known.has(name)) continue;
    const opening = indexedDB.open(name, version);
    opening.onupgradeneeded = () => {
      for (const { name, keyPath, autoIncrement, indexes } of stores) {
        const store = opening.result.createObjectStore(name, { keyPath, autoIncrement });
        for (const { name, keyPath, unique, multiEntry } of indexes)
          store.createIndex(name, keyPath, { unique, multiEntry });
      }
    };
    const database = await done(opening);
    for (const { name, keyPath, keys, values } of stores) {
      const store = database.transaction(name, "readwrite").objectStore(name);
      for (const [at, value] of values.entries())
        await done(keyPath === null ? store.put(value, keys[at]) : store.put(value));
    }
    database.close();
  }
}

async function readStore(database: Database, name: string): Promise<KeptStore> {
  const store = database.transaction(name, "readonly").objectStore(name);
  const indexes = [...store.indexNames].map((index) => {
    const { name, keyPath, unique, multiEntry } = store.index(index);
    return { name, keyPath, unique, multiEntry };
  });
  const [keys, values] = [await done(store.getAllKeys()), await done(store.getAll())];
  return { name, keyPath: store.keyPath, autoIncrement: store.autoIncrement, indexes, keys, values };
}

function done<Value>(request: Request<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => {
      resolve(request.result);
    };
    request.onerror = () => {
      reject(request.error ?? new Error("IndexedDB failed without a reason"));
    };
  });
}
