import { createHash } from "node:crypto";
import { join } from "node:path";
import { MigrationError } from "../../src/errors.ts";
import { type Files, SMALL_FILE, type SmallFile } from "../../src/system/files/files.ts";

const NOTHING = { size: 0, mode: 0, mtimeMs: 0, content: new Uint8Array(), sha256: "" };

/**
 * Small files, of at most `limit` bytes, read with `lstat` and `read` of these files: for tests in which these do not what
 * real ones do.
 */
export const smallFilesBy = (
  files: Pick<Files, "lstat" | "read">,
  limit = SMALL_FILE,
): Pick<Files, "smallFiles"> => ({
  smallFiles: (folder) => ({
    async read(names) {
      const found: SmallFile[] = [];
      for (const name of names) found.push(await readOne(join(folder, name), files, limit));
      return { files: found, release: () => undefined };
    },
    close: () => undefined,
  }),
});

async function readOne(
  path: string,
  { lstat, read }: Pick<Files, "lstat" | "read">,
  limit: number,
): Promise<SmallFile> {
  const found = await lstat(path);
  if (found?.kind !== "file") return { ...NOTHING, outcome: "gone" };
  if (found.size > limit) return { ...NOTHING, outcome: "other" };
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of read(path)) chunks.push(Uint8Array.from(chunk));
  } catch (error) {
    if (error instanceof MigrationError) return { ...NOTHING, outcome: "other" };
    throw error;
  }
  const content = Buffer.concat(chunks);
  const { size, mode, mtimeMs } = found;
  const now = await lstat(path);
  if (content.length !== size || (now && (now.size !== size || now.mtimeMs !== mtimeMs)))
    return { ...NOTHING, outcome: "other" };
  const sha256 = createHash("sha256").update(content).digest("hex");
  return { outcome: "read", size, mode, mtimeMs, content, sha256 };
}
