import { MigrationError } from "../../src/errors.ts";
import { type Files, realFiles } from "../../src/system/files/files.ts";
import { smallFilesBy } from "./small-files.ts";

/** A disk on which some files are not what they were: one cannot be opened, one breaks off after so many bytes. */
export function onBadDisk(bad: Readonly<Record<string, number>>): Files {
  const files: Files = {
    ...realFiles,
    async *read(path, range) {
      const good = bad[path];
      if (good === undefined) {
        yield* realFiles.read(path, range);
        return;
      }
      if (good > 0) yield* realFiles.read(path, { to: good });
      throw new MigrationError("file-failed", `cannot read ${path}: EIO: i/o error, read`);
    },
  };
  return { ...files, ...smallFilesBy(files) };
}
