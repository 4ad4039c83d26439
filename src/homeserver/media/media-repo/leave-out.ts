import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";

/** Bytes: a list of some hundred thousand. */
const LIMIT = 32 * 1024 * 1024;

/**
 * The media IDs in a list of MXC URIs of one server, a line each; empty lines are passed over. Throws `bad-usage` for a
 * line that is none, and what reading throws.
 */
export async function readLeaveOut(
  path: string,
  serverName: string,
  files: Files,
): Promise<ReadonlySet<string>> {
  const start = `mxc://${serverName}/`;
  const ids = new Set<string>();
  const lines = new TextDecoder().decode(await files.readWhole(path, LIMIT)).split("\n");
  for (const [index, line] of lines.entries()) {
    const mxc = line.trim();
    if (mxc === "") continue;
    if (!mxc.startsWith(start) || mxc.length === start.length)
      throw new MigrationError("bad-usage", `${path}: line ${index + 1} is not an MXC URI of ${serverName}`, {
        hint: `write a line for each upload: ${start}…`,
      });
    ids.add(mxc.slice(start.length));
  }
  return ids;
}
