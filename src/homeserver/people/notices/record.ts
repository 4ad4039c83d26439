import { z } from "zod";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";

const schema = z.object({
  format: z.literal("synlift-notices"),
  version: z.literal(1),
  /** Who got what: the campaign's id, then user id and time (ISO 8601, UTC). */
  campaigns: z.record(z.string(), z.record(z.string(), z.string())),
});

/** Who was sent which text: a small file of our own, private and rewritten whole. */
export class NoticeRecord {
  readonly path: string;
  readonly #files: Files;
  readonly #campaigns: Map<string, Map<string, string>>;
  #changed = false;

  private constructor(path: string, campaigns: Map<string, Map<string, string>>, files: Files) {
    this.path = path;
    this.#campaigns = campaigns;
    this.#files = files;
  }

  /** Empty when there is no such file yet. Throws `bundle-damaged` when it is something else. */
  static async read(path: string, files: Files): Promise<NoticeRecord> {
    if ((await files.stat(path)) === undefined) return new NoticeRecord(path, new Map(), files);
    let campaigns: z.infer<typeof schema>["campaigns"];
    try {
      campaigns = schema.parse(
        JSON.parse(new TextDecoder().decode(await files.readWhole(path, LARGEST))),
      ).campaigns;
    } catch (error) {
      if (error instanceof MigrationError) throw error;
      throw new MigrationError("bundle-damaged", `${path} is not a record of notices`, {
        hint: "name another file; if it was one, remove it: who got the notice is in the server's database too",
      });
    }
    const known = Object.entries(campaigns).map(
      ([id, people]) => [id, new Map(Object.entries(people))] as const,
    );
    return new NoticeRecord(path, new Map(known), files);
  }

  has(campaign: string, userId: string): boolean {
    return this.#campaigns.get(campaign)?.has(userId) === true;
  }

  add(campaign: string, userId: string, time: number): void {
    const people = this.#campaigns.get(campaign) ?? new Map<string, string>();
    this.#campaigns.set(campaign, people.set(userId, new Date(time).toISOString()));
    this.#changed = true;
  }

  /** Does nothing when nothing changed. */
  async save(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const campaigns = Object.fromEntries(
      [...this.#campaigns].map(([id, people]) => [id, Object.fromEntries(people)]),
    );
    const content = { format: "synlift-notices", version: 1, campaigns };
    await this.#files.writeAtomically(this.path, `${JSON.stringify(content, undefined, 1)}\n`);
  }
}

/** Bytes: half a million people. */
const LARGEST = 64 * 1024 * 1024;
