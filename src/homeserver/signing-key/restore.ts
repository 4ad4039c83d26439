import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";

/**
 * Whether the key may be written at a path ("absent") or is there already ("same"). A key is never replaced: with
 * another one under its name the server would be another to the federation, and nobody could make the old one again.
 *
 * Throws `target-not-empty` when anything else is there.
 */
export async function keepSigningKey(
  path: string,
  content: Uint8Array,
  files: Files,
): Promise<"absent" | "same"> {
  const found = await files.look(path);
  if (!found) return "absent";
  if (found.kind === "file" && Buffer.from(content).equals(await files.readWhole(path))) return "same";
  throw new MigrationError("target-not-empty", `there is another signing key at ${path}`, {
    hint: "it may be the key of another homeserver: keep a copy somewhere safe before you take it away",
  });
}
