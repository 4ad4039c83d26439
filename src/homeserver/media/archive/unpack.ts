import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { unpackTar } from "../../../pipeline/tar.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Files } from "../../../system/files/files.ts";
import { Folders, type MediaTarget } from "../restore.ts";

/** The parts of an archive, and nothing else, as files in its folder below the target. Writes over what an earlier run left. */
export async function unpackParts(
  archive: Bytes,
  folder: string,
  target: MediaTarget,
  files: Files,
): Promise<void> {
  const folders = new Folders(target, files);
  await folders.make(join(target.store, folder));
  for await (const { name, kind, content } of unpackTar(archive)) {
    const part = new RegExp(`^${folder}/(export-(?:part-[1-9]\\d*|manifest)\\.tgz)$`).exec(name)?.[1];
    if (part === undefined || kind !== "file")
      throw new MigrationError(
        "archive-damaged",
        `the archive holds ${JSON.stringify(name)}, which is not a part of it`,
        {
          hint: "ask the person who made the bundle",
        },
      );
    const path = join(target.store, folder, part);
    const file = await files.begin(path, 0o640, { sync: false });
    try {
      for await (const chunk of content) await file.write(chunk);
      await file.finish();
    } finally {
      await file.abandon();
    }
    if (target.owner) await files.setOwner(path, target.owner.uid, target.owner.gid);
  }
}
