import { join } from "node:path";
import { SAFE_NAME } from "../bundle/layout.ts";
import { MigrationError } from "../errors.ts";
import { type Digest, Digester } from "../pipeline/digest.ts";
import type { Files } from "../system/files/files.ts";
import type { FileStore } from "./file-store.ts";
import type { Attempt, LocalFile, Proof, Remote, WantedFile } from "./remote.ts";

/** Makes a remote of a place that knows files. Each file has a partial name until its hash was compared. */
export function storeRemote(store: FileStore, files: Files): Remote {
  return {
    async have(signal) {
      const all = await store.list(signal);
      return new Map([...all].filter(([name]) => SAFE_NAME.test(name)));
    },

    async put(file, attempt) {
      assertSafe(file.name);
      const there = await store.list(attempt.signal);
      const partial = partialName(file);
      for (const name of there.keys())
        if (isPartialOf(file.name, name) && name !== partial) await store.remove(name, attempt.signal);
      if (there.get(file.name) === file.size) {
        const proof = await proven(store, file.name, file, attempt);
        if (proof !== undefined) return proof;
      }
      const begun = there.get(partial) ?? 0;
      const from = store.appends && begun <= file.size ? begun : 0;
      if (begun > from) await store.remove(partial, attempt.signal);
      await assertSize(file, files);
      attempt.resumed(from);
      // An empty file has to be created too.
      if (from < file.size || from === 0) await store.write(partial, { ...file, from }, attempt);
      const proof = await proven(store, partial, file, attempt);
      if (proof === undefined) throw await whyDifferent(file, partial, store, { files, attempt });
      await store.rename(partial, file.name, attempt.signal);
      return proof;
    },

    async prove(file, attempt) {
      assertSafe(file.name);
      if ((await store.list(attempt.signal)).get(file.name) !== file.size) return undefined;
      return proven(store, file.name, file, attempt);
    },

    async get(file, folder, attempt) {
      assertSafe(file.name);
      const size = (await store.list(attempt.signal)).get(file.name);
      if (size === undefined)
        throw new MigrationError("file-missing", `${store.address} has no ${file.name}`, {
          hint: "the bundle there is incomplete: send it again, then fetch it",
        });
      if (size !== file.size) throw differsThere(store, file, `it has ${size} bytes instead of ${file.size}`);
      await fetchInto(file, folder, { store, files, attempt });
    },

    async read(name, limit, signal) {
      assertSafe(name);
      const size = (await store.list(signal)).get(name);
      if (size === undefined) return undefined;
      const chunks: Uint8Array[] = [];
      let read = 0;
      for await (const chunk of store.read(name, 0, signal)) {
        read += chunk.length;
        if (read > limit)
          throw new MigrationError("bundle-damaged", `${name} at ${store.address} is too large`, {
            hint: "check that this is the folder of a bundle",
          });
        chunks.push(Uint8Array.from(chunk));
      }
      return Buffer.concat(chunks);
    },

    async remove(name, signal) {
      assertSafe(name);
      for (const found of (await store.list(signal)).keys())
        if (found === name || isPartialOf(name, found)) await store.remove(found, signal);
    },

    close: () => store.close(),
  };
}

/** Hexadecimal digits of the hash in a partial name. */
const HASH_DIGITS = 24;

/** With a dot in front, so that `cat NAME.part-*` never takes it. */
export const partialName = ({ name, sha256 }: WantedFile) =>
  `.${name}.${sha256.slice(0, HASH_DIGITS)}.partial`;

const isPartialOf = (name: string, found: string) =>
  found.startsWith(`.${name}.`) &&
  new RegExp(`^[0-9a-f]{${HASH_DIGITS}}\\.partial$`).test(found.slice(name.length + 2));

/** Names come from a manifest that somebody else may have written. */
function assertSafe(name: string): void {
  if (!SAFE_NAME.test(name))
    throw new MigrationError(
      "bundle-damaged",
      `${JSON.stringify(name.slice(0, 200))} is no file name of a bundle`,
    );
}

async function proven(
  store: FileStore,
  name: string,
  wanted: WantedFile,
  attempt: Attempt,
): Promise<Proof | undefined> {
  const found = await store.digest(name, wanted, attempt);
  const { size, sha256 } = wanted;
  return found.size === size && found.sha256 === sha256 ? found.proof : undefined;
}

async function assertSize({ path, size }: LocalFile, files: Files): Promise<void> {
  const found = await files.stat(path);
  if (found === undefined) throw new MigrationError("file-missing", `there is no file ${path}`);
  if (found.size !== size) throw changedHere(path);
}

const changedHere = (path: string) =>
  new MigrationError("bundle-damaged", `${path} no longer has the hash that the bundle recorded for it`, {
    hint: "run synlift verify on the bundle; if it is damaged, run the export again",
  });

/** What arrived is not what the manifest says: the file here has changed, or it was damaged on the way or over there. */
async function whyDifferent(
  file: LocalFile,
  partial: string,
  store: FileStore,
  { files, attempt }: { files: Files; attempt: Attempt },
): Promise<MigrationError> {
  await store.remove(partial, attempt.signal);
  const { sha256 } = await digestHere(files, file.path, attempt);
  if (sha256 !== file.sha256) return changedHere(file.path);
  return new MigrationError(
    "transfer-failed",
    `${file.name} arrived at ${store.address} with another hash, and was removed there`,
    { hint: "run the same command again; if that happens again, check memory and disk of the other host" },
  );
}

async function digestHere(files: Files, path: string, { signal, checked }: Attempt): Promise<Digest> {
  const tally = new Digester();
  for await (const chunk of files.read(path, { reuse: true })) {
    signal.throwIfAborted();
    tally.add(chunk);
    checked(chunk.length);
  }
  return tally.result();
}

const differsThere = ({ address }: FileStore, { name }: WantedFile, why: string) =>
  new MigrationError("bundle-damaged", `${name} at ${address} is damaged: ${why}`, {
    hint: "send it again from the host that made the bundle",
  });

/** Continues a partial file here, whose bytes are hashed first. */
async function fetchInto(
  file: WantedFile,
  folder: string,
  { store, files, attempt }: { store: FileStore; files: Files; attempt: Attempt },
): Promise<void> {
  const { signal, resumed, moved, checked } = attempt;
  const partial = join(folder, partialName(file));
  const begun = (await files.lstat(partial))?.size ?? 0;
  const from = begun <= file.size ? begun : 0;
  const tally = new Digester();
  if (from > 0)
    for await (const chunk of files.read(partial, { from: 0, to: from, reuse: true })) {
      signal.throwIfAborted();
      tally.add(chunk);
      checked(chunk.length);
    }
  resumed(from);
  const growing = await files.grow(partial, from);
  try {
    let left = file.size - from;
    if (left > 0)
      for await (const chunk of store.read(file.name, from, signal)) {
        if (chunk.length > left) throw differsThere(store, file, "it is longer than its size there");
        tally.add(chunk);
        await growing.write(chunk);
        left -= chunk.length;
        moved(chunk.length);
        signal.throwIfAborted();
      }
    if (left > 0)
      throw new MigrationError(
        "transfer-failed",
        `${file.name} from ${store.address} ended ${left} bytes early`,
      );
    await growing.sync();
  } catch (error) {
    // Nothing can be continued from a file that is damaged.
    if (error instanceof MigrationError && error.code === "bundle-damaged") await files.remove(partial);
    throw error;
  } finally {
    await growing.close();
  }
  if (tally.result().sha256 !== file.sha256) {
    await files.remove(partial);
    if (from === 0) throw differsThere(store, file, "its hash is not the one in the manifest");
    throw new MigrationError("transfer-failed", `${file.name}, continued at byte ${from}, has another hash`, {
      hint: "run the same command again: it is fetched anew",
    });
  }
  await files.rename(partial, join(folder, file.name));
  await files.syncFolder(folder);
}
