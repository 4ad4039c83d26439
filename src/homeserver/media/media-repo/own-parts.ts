import { join } from "node:path";
import { z } from "zod";
import type { Files } from "../../../system/files/files.ts";
import { type ArchiveRecord, recordSchema } from "../archive/record.ts";
import { OWN_FOLDER, parseJson } from "./journal.ts";

const schema = z.object({ size: z.int(), records: z.array(recordSchema) });

/** Another name than those of matrix-media-repo's parts; no reader of the format goes by names. */
const nameOf = (number: number) => `uploads-part-${number}.tgz`;

/**
 * The parts of an archive that are made here of uploads that were fetched one by one. What each holds is written down
 * beside it once it is complete: a part without that is none.
 */
export class OwnParts {
  readonly #folder: string;
  readonly #files: Files;
  readonly #records: ArchiveRecord[] = [];
  #count = 0;
  #bytes = 0;

  private constructor(folder: string, files: Files) {
    this.#folder = folder;
    this.#files = files;
  }

  /** Those of an earlier run, up to the first that is not there any more or is not what was written. */
  static async read(folder: string, files: Files): Promise<OwnParts> {
    const parts = new OwnParts(folder, files);
    for (;;) {
      const path = parts.#listPath(parts.#count + 1);
      if (!(await files.lstat(path))) return parts;
      const list = schema.safeParse(parseJson(await files.readText(path)));
      const part = await files.lstat(parts.nextPath);
      if (!list.success || part?.kind !== "file" || part.size !== list.data.size) return parts;
      parts.#add(list.data);
    }
  }

  /** Of all parts. */
  get records(): readonly ArchiveRecord[] {
    return this.#records;
  }

  get count(): number {
    return this.#count;
  }

  /** Of all parts together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Where the next part is to be written. */
  get nextPath(): string {
    return join(this.#folder, nameOf(this.#count + 1));
  }

  /** The next part is complete, and so long. */
  async complete(size: number, records: readonly ArchiveRecord[]): Promise<void> {
    const list = { size, records: [...records] };
    await this.#files.writeAtomically(this.#listPath(this.#count + 1), JSON.stringify(list));
    this.#add(list);
  }

  #add({ size, records }: z.infer<typeof schema>): void {
    this.#count += 1;
    this.#bytes += size;
    this.#records.push(...records);
  }

  #listPath = (number: number) => join(this.#folder, OWN_FOLDER, `${nameOf(number)}.json`);
}
