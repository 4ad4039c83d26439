import { z } from "zod";
import { linesOf } from "../../../system/programs/lines.ts";
import { jsonIn } from "../../../system/json.ts";
import type { Files, Unfinished } from "../../../system/files/files.ts";

/** Uploads that were compared by hash at an earlier time on this host: a file that has not changed since need not be read again. */
export interface HashedBefore {
  /** Milliseconds since 1970: before the first of them was read. */
  readonly at: number;
  /** Whether this upload had this hash. Asked in the order of their ids. */
  has(id: string, sha256: string): Promise<boolean>;
  /** Ends the reading of the list. */
  close(): Promise<void>;
}

const headSchema = z.object({
  format: z.literal("synlift-hashed"),
  version: z.literal(1),
  at: z.number(),
  store: z.string(),
});

/** The list that `HashedList` has written of this media store; undefined where there is none, or none that can be read. */
export async function openHashed(
  path: string,
  store: string,
  files: Files,
): Promise<HashedBefore | undefined> {
  if (!(await files.lstat(path))) return undefined;
  const lines = each(linesOf(files.read(path)));
  const head = await lines.next();
  const parsed = headSchema.safeParse(jsonIn(head.done ? "" : head.value));
  if (!parsed.success || parsed.data.store !== store) {
    await lines.return(undefined);
    return undefined;
  }
  let next = await lines.next();
  return {
    at: parsed.data.at,
    async has(id, sha256) {
      for (;;) {
        if (next.done) return false;
        const [found = "", hash] = next.value.split(" ");
        if (found > id) return false;
        if (found === id) return hash === sha256;
        next = await lines.next();
      }
    },
    async close() {
      await lines.return(undefined);
    },
  };
}

async function* each(pieces: AsyncIterable<readonly string[]>): AsyncGenerator<string, undefined> {
  for await (const lines of pieces) yield* lines;
}

/** Lines that are written together. */
const TOGETHER = 1000;

/** Writes such a list, which appears once it is complete. */
export class HashedList {
  readonly #file: Unfinished;
  #lines: string[] = [];

  private constructor(file: Unfinished, at: number, store: string) {
    this.#file = file;
    this.#lines.push(JSON.stringify({ format: "synlift-hashed", version: 1, at, store }));
  }

  /** `at` is a time before the first file is read. The caller calls `abandon` in the end. */
  static async begin(
    path: string,
    { at, store }: { readonly at: number; readonly store: string },
    files: Files,
  ): Promise<HashedList> {
    return new HashedList(await files.begin(path), at, store);
  }

  /** In the order of their ids. */
  async add(id: string, sha256: string): Promise<void> {
    this.#lines.push(`${id} ${sha256}`);
    if (this.#lines.length >= TOGETHER) await this.#write();
  }

  async finish(): Promise<void> {
    await this.#write();
    await this.#file.finish();
  }

  /** Removes what is not finished. */
  async abandon(): Promise<void> {
    await this.#file.abandon();
  }

  async #write(): Promise<void> {
    const lines = this.#lines;
    this.#lines = [];
    if (lines.length > 0) await this.#file.write(new TextEncoder().encode(`${lines.join("\n")}\n`));
  }
}
