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
  /** Null where matrix-media-repo makes no exports. */
  export: z
    .object({
      /** A secret: see `exportIdSchema`. */
      id: exportIdSchema,
      taskId: z.int(),
    })
    .nullable(),
  /** What matrix-media-repo held when the export was begun. */
  held: z.object({ files: z.number(), bytes: z.number() }),
  /** There from when the export is made, or was given up: then none. */
  parts: z.array(partSchema).optional(),
  /** Why the export is not whole; left out where its maker says that it is. */
  fault: z.string().optional(),
  /** Whether its manifest was replaced by one that names uploads fetched one by one, too. */
  ownManifest: z.boolean().default(false),
  /** Whether the archive was complete once, and nothing is being added to it. */
  finished: z.boolean().default(false),
});

/**
 * Throws `archive-damaged` for the folder of an export that was begun and is not finished: its archive may be readable,
 * and hold a part of the uploads only.
 */
export async function assertFinished(folder: string, files: Files): Promise<void> {
  const path = join(folder, OWN_FOLDER, "export.json");
  if (!(await files.lstat(path))) return;
  const found = schema.safeParse(parseJson(await files.readText(path)));
  if (found.success && found.data.finished) return;
  throw new MigrationError("archive-damaged", `the export into ${folder} is not finished`, {
    hint: "run synlift media export with this folder again, which continues it",
  });
}

/** Undefined for a text that is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

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
    const { success, data: found } = schema.safeParse(parseJson(await this.#files.readText(this.#path)));
    if (!success)
      throw new MigrationError("bad-usage", `${this.#path} is not a journal of an export`, {
        hint: `remove ${this.#folder} and run the same command again`,
      });
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
}
