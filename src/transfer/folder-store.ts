import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Digester } from "../pipeline/digest.ts";
import type { System } from "../system/system.ts";
import { dropFromCache } from "./drop-from-cache.ts";
import type { FileStore } from "./file-store.ts";
import type { Pace } from "./pace.ts";
import type { Destination } from "./remote.ts";
import { storeRemote } from "./store-remote.ts";

type Host = Pick<System, "files" | "programs">;

/** A folder of this host, such as a mounted disk or share. */
export function folderDestination(folder: string, { files, programs }: Host, pace: Pace): Destination {
  return {
    address: folder,
    async open(_signal, { create }) {
      if (create) await files.makeFolder(folder);
      const found = await files.stat(folder);
      if (found === undefined) throw new MigrationError("file-missing", `there is no folder ${folder}`);
      if (found.kind !== "folder")
        throw new MigrationError("bad-usage", `${folder} is not a folder`, {
          hint: "give the path of a folder",
        });
      return storeRemote(folderStore(folder, { files, programs }, pace), files);
    },
  };
}

function folderStore(folder: string, { files, programs }: Host, pace: Pace): FileStore {
  const at = (name: string) => join(folder, name);
  return {
    address: folder,
    appends: true,

    async list() {
      const found = new Map<string, number>();
      for (const name of await files.list(folder)) {
        const entry = await files.lstat(at(name));
        if (entry?.kind === "file") found.set(name, entry.size);
      }
      return found;
    },

    async write(name, { path, from, size }, { signal, moved }) {
      const growing = await files.grow(at(name), from);
      try {
        for await (const chunk of files.read(path, { from, to: size, reuse: true })) {
          await pace(chunk.length, signal);
          signal.throwIfAborted();
          await growing.write(chunk);
          moved(chunk.length);
        }
        await growing.sync();
      } finally {
        await growing.close();
      }
    },

    read: (name, from) => files.read(at(name), { from, reuse: true }),

    async digest(name, _wanted, { signal, checked }) {
      await dropFromCache(at(name), programs);
      const tally = new Digester();
      for await (const chunk of files.read(at(name), { from: 0, reuse: true })) {
        signal.throwIfAborted();
        tally.add(chunk);
        checked(chunk.length);
      }
      return { ...tally.result(), proof: "read-back" };
    },

    async rename(from, to) {
      await files.rename(at(from), at(to));
      await files.syncFolder(folder);
    },

    remove: (name) => files.remove(at(name)),
    close: () => Promise.resolve(),
  };
}
