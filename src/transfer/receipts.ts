import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Files } from "../system/files/files.ts";
import type { Proof, WantedFile } from "./remote.ts";

const receiptSchema = z.object({
  size: z.int().nonnegative(),
  sha256: z.string(),
  proof: z.enum(["hashed-there", "read-back"]),
  /** ISO 8601. */
  at: z.string(),
});

const schema = z.object({
  format: z.literal("synlift-receipts"),
  version: z.literal(1),
  /** By address, then by file name. */
  remotes: z.record(z.string(), z.record(z.string(), receiptSchema)),
});

export type Receipt = z.infer<typeof receiptSchema>;

/**
 * Which files were proven to be at a remote, so that a later run need not read them again. A small file that is rewritten
 * whole after each. Where it cannot be written, the run goes on, and a later one proves everything again.
 */
export class Receipts {
  /** Why it could not be written, once that was tried. */
  unsaved: MigrationError | undefined;
  readonly #path: string;
  readonly #files: Files;
  readonly #remotes: Map<string, Map<string, Receipt>>;
  #turn: Promise<void> = Promise.resolve();

  private constructor(path: string, files: Files, remotes: Map<string, Map<string, Receipt>>) {
    this.#path = path;
    this.#files = files;
    this.#remotes = remotes;
  }

  /** A missing file has no receipts, and neither has one that cannot be read: receipts only save time. */
  static async open(path: string, files: Files): Promise<Receipts> {
    let remotes: z.infer<typeof schema>["remotes"] = {};
    try {
      if (await files.lstat(path)) ({ remotes } = schema.parse(JSON.parse(await files.readText(path))));
    } catch {
      remotes = {};
    }
    const known = Object.entries(remotes).map(
      ([address, all]) => [address, new Map(Object.entries(all))] as const,
    );
    return new Receipts(path, files, new Map(known));
  }

  /** The receipt of exactly this file. */
  find(address: string, { name, size, sha256 }: WantedFile): Receipt | undefined {
    const found = this.#remotes.get(address)?.get(name);
    return found?.size === size && found.sha256 === sha256 ? found : undefined;
  }

  /** Whether anything was sent to this remote. */
  knows(address: string): boolean {
    return (this.#remotes.get(address)?.size ?? 0) > 0;
  }

  async record(
    address: string,
    { name, size, sha256 }: WantedFile,
    proof: Proof,
    now: number,
  ): Promise<void> {
    const all = this.#remotes.get(address) ?? new Map<string, Receipt>();
    this.#remotes.set(address, all.set(name, { size, sha256, proof, at: new Date(now).toISOString() }));
    await this.#save();
  }

  async forget(address: string, name: string): Promise<void> {
    if (this.#remotes.get(address)?.delete(name) === true) await this.#save();
  }

  #save(): Promise<void> {
    const remotes = Object.fromEntries(
      [...this.#remotes].map(([address, all]) => [address, Object.fromEntries(all)]),
    );
    const text = `${JSON.stringify({ format: "synlift-receipts", version: 1, remotes }, null, 2)}\n`;
    this.#turn = this.#turn.then(async () => {
      try {
        await this.#files.writeAtomically(this.#path, text);
      } catch (error) {
        if (!(error instanceof MigrationError)) throw error;
        this.unsaved = error;
      }
    });
    return this.#turn;
  }
}
