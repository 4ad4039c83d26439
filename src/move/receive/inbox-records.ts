import { join } from "node:path";
import { z } from "zod";
import type { System } from "../../system/system.ts";
import type { WantedFile } from "../../transfer/remote.ts";
import { jsonIn } from "../../system/json.ts";
import { layoutOf, mayBeSent } from "./layout.ts";

const recordSchema = z.object({ name: z.string(), size: z.number(), sha256: z.string(), at: z.string() });
const completeSchema = z.object({
  bundle: z.string(),
  subject: z.string(),
  at: z.string(),
  /** Whether the hook has been run. */
  told: z.boolean(),
});

/** The bundle of a customer, once all of it has arrived. */
export type CompleteRecord = z.infer<typeof completeSchema>;

/** What is known of a customer's files, on disk: what was announced, what was compared, and which bundle is complete. */
export class InboxRecords {
  readonly #uploads: string;
  readonly #proven: string;
  readonly #complete: string;
  readonly #host: Pick<System, "files" | "machine">;

  constructor(customer: string, root: string, host: Pick<System, "files" | "machine">) {
    const layout = layoutOf(root);
    this.#uploads = layout.uploads(customer);
    this.#proven = layout.proven(customer);
    this.#complete = layout.complete(customer);
    this.#host = host;
  }

  /** Uploads that are not finished. Unreadable records are removed. */
  uploads(): Promise<WantedFile[]> {
    return this.#recordsIn(this.#uploads);
  }

  /** Files whose content was compared. Unreadable records are removed. */
  proven(): Promise<WantedFile[]> {
    return this.#recordsIn(this.#proven);
  }

  addUpload(id: string, file: WantedFile): Promise<void> {
    return this.#write(this.#uploads, id, file);
  }

  addProven(file: WantedFile): Promise<void> {
    return this.#write(this.#proven, file.name, file);
  }

  removeUpload(id: string): Promise<void> {
    return this.#host.files.remove(join(this.#uploads, `${id}.json`));
  }

  removeProven(name: string): Promise<void> {
    return this.#host.files.remove(join(this.#proven, `${name}.json`));
  }

  /** Undefined when there is none, or it cannot be read. */
  async complete(): Promise<CompleteRecord | undefined> {
    const { files } = this.#host;
    if (!(await files.lstat(this.#complete))) return undefined;
    return completeSchema.safeParse(jsonIn(await files.readText(this.#complete))).data;
  }

  async saveComplete(complete: CompleteRecord): Promise<void> {
    const { files } = this.#host;
    await files.makeFolder(join(this.#complete, ".."));
    await files.writeAtomically(this.#complete, `${JSON.stringify(complete)}\n`);
  }

  removeComplete(): Promise<void> {
    return this.#host.files.remove(this.#complete);
  }

  async #write(folder: string, name: string, file: WantedFile): Promise<void> {
    const { files, machine } = this.#host;
    await files.makeFolder(folder);
    const at = new Date(machine.now()).toISOString();
    await files.writeAtomically(join(folder, `${name}.json`), `${JSON.stringify({ ...plain(file), at })}\n`);
  }

  /** A record that a power failure left unreadable is that of a file which is sent again. */
  async #recordsIn(folder: string): Promise<WantedFile[]> {
    const { files } = this.#host;
    if (!(await files.lstat(folder))) return [];
    const records: WantedFile[] = [];
    for (const name of await files.list(folder)) {
      if (name.startsWith(".")) continue;
      const read = recordSchema.safeParse(jsonIn(await files.readText(join(folder, name))));
      if (read.success && mayBeSent(read.data.name)) records.push(plain(read.data));
      else await files.remove(join(folder, name));
    }
    return records;
  }
}

/** Only what belongs to a file. */
export const plain = ({ name, size, sha256 }: WantedFile): WantedFile => ({ name, size, sha256 });
