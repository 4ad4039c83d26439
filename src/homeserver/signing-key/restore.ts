import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";

/**
 * Whether the key may be written to a path ("absent") or exists there already ("same"). A key is never replaced: with
 * a different key other servers would no longer accept its signatures, and the old one could not be recreated.
 *
 * Throws `target-not-empty` when anything else is there.
 */
export async function checkExistingKey(
  path: string,
  content: Uint8Array,
  files: Files,
): Promise<"absent" | "same"> {
  const found = await files.lstat(path);
  if (!found) return "absent";
  if (found.kind === "file" && Buffer.from(content).equals(await files.readWhole(path))) return "same";
  throw new MigrationError("target-not-empty", `there is another signing key at ${path}`, {
    hint: "it may be the key of another homeserver: keep a copy in a safe place before you remove it",
  });
}
