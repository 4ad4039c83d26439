import { basename, extname } from "node:path";
import { PATHS_NAME } from "./packed-file.ts";

/** The folders of the archive, by what is in them. A configuration folder must not get one of these names. */
const FOLDERS = ["appservices", "secrets", "tls", "files", "templates"];

/** Assigns unique names inside the archive: the file's own name, with `-2`, `-3` before its extension when taken. */
export class EntryNames {
  readonly #taken = new Set([PATHS_NAME, ...FOLDERS]);

  take(folder: string, path: string): string {
    const own = safeName(basename(path));
    const end = extname(own);
    for (let number = 1; ; number++) {
      const name = number === 1 ? own : `${own.slice(0, own.length - end.length)}-${number}${end}`;
      const whole = folder === "" ? name : `${folder}/${name}`;
      if (this.#taken.has(whole)) continue;
      this.#taken.add(whole);
      return whole;
    }
  }
}

/** A name that restore accepts, also for a file whose own name has special characters. */
export function safeName(name: string): string {
  const safe = name.replaceAll(/[\0-\x1f\x7f\\/]/g, "_");
  return safe === "" || safe === "." || safe === ".." ? "config" : safe;
}
