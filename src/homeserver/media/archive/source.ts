import { basename, join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { unpackTar } from "../../../pipeline/tar.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";

/** One file of an archive. Its content is to be read, or left, before the next is asked for. */
export interface Member {
  readonly name: string;
  readonly content: Bytes;
}

/** The files of an archive, wherever they lie. */
export interface ArchiveSource {
  /** For people. */
  readonly where: string;
  /** All of them, from the first; may be called again. */
  members(): AsyncIterable<Member>;
}

/**
 * The regular files of a folder, as matrix-media-repo writes them, in the order of their names. Subfolders are left, as
 * its own importer leaves them; `other` is told of what is no gzip file and has no name of one, which its importer
 * would stop at. Throws `file-missing`.
 */
export function archiveInFolder(
  folder: string,
  files: Files,
  other: (name: string) => void = () => undefined,
): ArchiveSource {
  return {
    where: folder,
    async *members() {
      for (const name of await files.list(folder)) {
        const path = join(folder, name);
        if ((await files.stat(path))?.kind !== "file") continue;
        if (await isGzip(path, files)) yield { name, content: files.read(path) };
        else if (/\.t?gz$/i.test(name)) throw notGzip(path);
        else other(name);
      }
    },
  };
}

/** The files in the one folder of a tar archive: what a bundle's artifact holds. */
export function archiveInTar(open: () => Bytes, where: string): ArchiveSource {
  return {
    where,
    async *members() {
      for await (const { name, kind, content } of unpackTar(open())) {
        if (kind === "folder") continue;
        if (kind !== "file" || !/^[^/]+\/[^/]+$/.test(name) || name.includes(".."))
          throw new MigrationError(
            "archive-damaged",
            `${where} holds ${JSON.stringify(name)}, which is not a part of an archive`,
            {
              hint: "ask the person who made it",
            },
          );
        yield { name: basename(name), content };
      }
    },
  };
}

/** RFC 1952, 2.3.1. */
async function isGzip(path: string, files: Files): Promise<boolean> {
  const start: number[] = [];
  for await (const chunk of files.read(path, { to: 2 })) start.push(...chunk);
  return start[0] === 0x1f && start[1] === 0x8b;
}

const notGzip = (path: string) =>
  new MigrationError("archive-damaged", `${path} is not compressed by gzip, and has the name of a part`, {
    hint: "copy it again from where it was made",
  });
