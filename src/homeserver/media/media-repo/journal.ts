import { join } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import { exportIdSchema, partSchema } from "./api.ts";

/** Below the folder of an archive. The importer of matrix-media-repo leaves folders in it, as our reader does. */
export const OWN_FOLDER = ".media-export";

const schema = z.object({
  version: z.literal(1),
  url: z.string(),
  serverName: z.string(),
  /** A secret: see `exportIdSchema`. */
  exportId: exportIdSchema,
  taskId: z.int(),
  /** What matrix-media-repo held when the export was begun. */
  held: z.object({ files: z.number(), bytes: z.number() }),
  /** There from when the export is made. */
  parts: z.array(partSchema).optional(),
});

/** What a second run must know of the first. */
export type ExportJournal = z.infer<typeof schema>;

/** The journal of one folder; only its owner can read it. */
export class ExportJournalFile {
  readonly #path: string;
  readonly #folder: string;
  readonly #files: Files;

  constructor(folder: string, files: Files) {
    this.#path = join(folder, OWN_FOLDER, "export.json");
    this.#folder = folder;
    this.#files = files;
  }

  /** Undefined when no export was begun. Throws `bad-usage` for a journal of another export, or none that can be read. */
  async read(asked: { url: string; serverName: string }): Promise<ExportJournal | undefined> {
    if (!(await this.#files.lstat(this.#path))) return undefined;
    let found: ExportJournal;
    try {
      found = schema.parse(JSON.parse(await this.#files.readText(this.#path)));
    } catch (error) {
      if (error instanceof MigrationError) throw error;
      throw new MigrationError("bad-usage", `${this.#path} is not a journal of an export`, {
        hint: `remove ${this.#folder} and run the same command again`,
      });
    }
    if (found.url === asked.url && found.serverName === asked.serverName) return found;
    throw new MigrationError(
      "bad-usage",
      `${this.#folder} has an export of ${found.serverName} from ${found.url}`,
      {
        hint: "name another folder, or the same server and address again",
      },
    );
  }

  async write(journal: ExportJournal): Promise<void> {
    await this.#files.writeAtomically(this.#path, `${JSON.stringify(journal)}\n`);
  }

  async remove(): Promise<void> {
    await this.#files.remove(this.#path);
  }
}
